//! The Orca compiler: source text to typed tree to intermediate code to native code.
//!
//! Phases are functions from one representation to the next that share a `session::Session`; they never print, exit or
//! open files. The binary `orcac` parses arguments and shows what comes back.
//!
//! This file is the pipeline: one function a question that a user can ask.

pub mod session;
pub mod source;
pub mod symbol;

pub mod diagnostics;

pub mod ast;
pub mod lexer;
pub mod parser;

pub mod resolve;
pub mod typecheck;

pub mod hir;
pub mod patterns;

pub mod mir;
pub mod opt;

pub mod codegen;
pub mod link;

use std::path::PathBuf;

use codegen::{CodegenError, Dump};
use link::LinkError;
use session::Session;

/// The Orca sources that the user named.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// The file with OrcaMain.
    pub main: PathBuf,
    /// Other files; units are found there, too.
    pub files: Vec<PathBuf>,
}

/// Called when a phase is done, with the phase's name.
pub type Done<'a> = &'a mut dyn FnMut(&'static str);

/// Why a program without errors has still no code.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error(transparent)]
    Codegen(#[from] CodegenError),
    #[error(transparent)]
    Link(#[from] LinkError),
}

/// What `orcac dump` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Tokens,
    Ast,
    Hir,
    Mir,
    Clif,
    Asm,
}

/// Finds errors in files; tells whether there are none. No OrcaMain is needed.
pub fn check(session: &mut Session, files: &[PathBuf], done: Done<'_>) -> bool {
    let is_right = typecheck::check_files(session, files);
    done("check");
    is_right
}

/// Source to optimised intermediate code; nothing if there are errors.
pub fn compile(session: &mut Session, input: &Input, done: Done<'_>) -> Option<mir::Program> {
    let typed = typecheck::check_program(session, &input.main, &input.files)?;
    done("check");
    let mut program = mir::lower::lower(session, &typed);
    done("lower");
    if cfg!(debug_assertions) {
        mir::verify::assert_valid(&program, "lowering");
        done("verify");
    }
    opt::run(&mut program, session.options.opt_level);
    done("optimise");
    Some(program)
}

/// How the session wants code to be generated.
pub fn codegen_options(session: &Session) -> codegen::Options {
    codegen::Options {
        opt_level: session.options.opt_level,
        debug_info: session.options.debug_info,
    }
}

/// Source to executable. Gives what the linker said; nothing if there are errors.
pub fn build(
    session: &mut Session,
    input: &Input,
    foreign: Vec<PathBuf>,
    output: PathBuf,
    done: Done<'_>,
) -> Result<Option<String>, BuildError> {
    let Some(program) = compile(session, input, done) else {
        return Ok(None);
    };
    let object = codegen::aot::compile(&program, codegen_options(session))?;
    done("generate code");
    let options = &session.options;
    let request = link::Request {
        object,
        foreign,
        output,
        sysroot: options.sysroot.clone(),
        debug_info: options.debug_info,
        verbose: options.verbose,
    };
    let said = link::link(&request)?;
    done("link");
    Ok(Some(said))
}

/// The text form of a phase. With errors there is none, except for tokens and the tree, which show what was understood.
pub fn dump(
    session: &mut Session,
    input: &Input,
    phase: Phase,
    done: Done<'_>,
) -> Result<Option<String>, BuildError> {
    Ok(match phase {
        Phase::Tokens | Phase::Ast => dump_text(session, input, phase),
        Phase::Hir => typecheck::check_program(session, &input.main, &input.files)
            .map(|program| hir::print::print(&program)),
        Phase::Mir => compile(session, input, done).map(|program| mir::text::print(&program)),
        Phase::Clif => dump_code(session, input, Dump::Clif, done)?,
        Phase::Asm => dump_code(session, input, Dump::Asm, done)?,
    })
}

fn dump_text(session: &mut Session, input: &Input, phase: Phase) -> Option<String> {
    let file = session.load(&input.main).ok()?;
    Some(match phase {
        Phase::Tokens => {
            let lexed = lexer::lex(session, file);
            lexer::dump(session, &lexed)
        }
        _ => {
            let tree = parser::parse_file(session, file);
            ast::print::print(session, &tree)
        }
    })
}

fn dump_code(
    session: &mut Session,
    input: &Input,
    dump: Dump,
    done: Done<'_>,
) -> Result<Option<String>, BuildError> {
    let Some(program) = compile(session, input, done) else {
        return Ok(None);
    };
    Ok(Some(codegen::dump(
        &program,
        codegen_options(session),
        dump,
    )?))
}
