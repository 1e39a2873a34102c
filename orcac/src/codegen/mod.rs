//! From the mid-level representation to machine code, through Cranelift, for any `Module`.
//!
//! Expects a program that `mir::verify` accepts. Guarantees that every function is defined, and the program's descriptors under
//! [`orca_abi::PROGRAM_SYMBOL`], by the conventions of `orca-abi`. Reports nothing: an error is a defect of the compiler or a program that
//! is too large for it. Nothing here knows whether the result goes to a file (`aot`) or to memory (`jit`).
//!
//! - All calls between functions are System V calls; r15 holds the control block and is never touched.
//! - The run-time system is called through the table in the control block only, so that code does not depend on where it lies.
//! - Data is reached by 64-bit addresses: code lies far from it in an executable.
//! - There are no library calls, not even `memcpy`.
//! - Stack frames are probed page by page, so that every overflow hits the guard.
//!
//! Implements: [Thesis §4.5] code generation, though to machine code instead of C.

mod body;
mod call;
mod check;
mod descriptor;
mod memory;

pub mod aot;
pub mod jit;

use cranelift_codegen::isa::{CallConv, OwnedTargetIsa};
use cranelift_codegen::settings::{Configurable, Flags};
use cranelift_codegen::{Context, ir, settings};
use cranelift_frontend::FunctionBuilderContext;
use cranelift_module::{DataId, FuncId, Linkage, Module, ModuleError};

use crate::mir::{Function, FunctionId, Program, Ty};

/// How to generate code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// 0 compiles fast, 1 and 2 compile to fast code.
    pub opt_level: u8,
    /// Keeps a frame pointer in every function.
    pub debug_info: bool,
}

/// Why there is no code.
#[derive(Debug, thiserror::Error)]
pub enum CodegenError {
    #[error("this host cannot run compiled Orca code: {0}")]
    Host(String),
    #[error("no code for {function}: {message}")]
    Function { function: String, message: String },
    #[error("no code: {0}")]
    Module(Box<ModuleError>),
    #[error("no object file: {0}")]
    Object(String),
}

impl From<ModuleError> for CodegenError {
    fn from(error: ModuleError) -> CodegenError {
        CodegenError::Module(Box::new(error))
    }
}

/// What was defined in the module.
#[derive(Debug)]
pub(crate) struct Emitted {
    pub(crate) program: DataId,
    pub(crate) functions: Vec<FuncId>,
}

/// One function's machine code, as its descriptor tells it.
#[derive(Clone, Debug)]
pub(crate) struct Compiled {
    size: u32,
    /// (offset, line), sorted by offset.
    lines: Vec<(u32, u32)>,
}

/// A text form of the generated code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dump {
    /// Cranelift's input.
    Clif,
    /// Its output.
    Asm,
}

/// The target: x86-64 with the extensions that every processor of the last fifteen years has.
///
/// Not the host's own extensions: executables are carried to other hosts.
fn target(options: Options) -> Result<OwnedTargetIsa, CodegenError> {
    let host = |message: String| CodegenError::Host(message);
    let mut flags = settings::builder();
    let is_fast = options.opt_level == 0;
    let settings = [
        ("opt_level", if is_fast { "none" } else { "speed" }),
        (
            "regalloc_algorithm",
            if is_fast {
                "single_pass"
            } else {
                "backtracking"
            },
        ),
        (
            "enable_verifier",
            if cfg!(debug_assertions) {
                "true"
            } else {
                "false"
            },
        ),
        ("is_pic", "false"),
        ("enable_pinned_reg", "true"),
        ("enable_probestack", "true"),
        ("probestack_strategy", "inline"),
        ("unwind_info", "false"),
        (
            "preserve_frame_pointers",
            if options.debug_info { "true" } else { "false" },
        ),
    ];
    for (name, value) in settings {
        flags
            .set(name, value)
            .map_err(|error| host(error.to_string()))?;
    }
    let mut builder =
        cranelift_native::builder_with_options(false).map_err(|error| host(error.to_owned()))?;
    for extension in [
        "has_sse3",
        "has_ssse3",
        "has_sse41",
        "has_sse42",
        "has_popcnt",
    ] {
        builder
            .enable(extension)
            .map_err(|error| host(error.to_string()))?;
    }
    builder
        .finish(Flags::new(flags))
        .map_err(|error| host(error.to_string()))
}

/// Names of functions that Cranelift may want to call. It never does, see above; the linker would say so.
fn libcall_name(call: ir::LibCall) -> String {
    format!("orca_has_no_library_call_{call:?}")
}

/// Defines a whole program in a module.
pub(crate) fn emit(module: &mut dyn Module, program: &Program) -> Result<Emitted, CodegenError> {
    let names = declare(module, program)?;
    let mut compiled = Vec::with_capacity(program.functions.len());
    let mut context = module.make_context();
    let mut builder_context = FunctionBuilderContext::new();
    for (index, function) in program.functions.iter().enumerate() {
        body::build(
            module,
            &names,
            function,
            &mut context.func,
            &mut builder_context,
        );
        module
            .define_function(names.functions[index], &mut context)
            .map_err(|error| describe(function, &error))?;
        compiled.push(measure(&context));
        module.clear_context(&mut context);
    }
    descriptor::define(module, &names, &compiled)?;
    Ok(Emitted {
        program: names.data,
        functions: names.functions,
    })
}

/// The generated code of all functions as text.
pub fn dump(program: &Program, options: Options, dump: Dump) -> Result<String, CodegenError> {
    let mut module = aot::new_module(&program.name, options)?;
    let names = declare(&mut module, program)?;
    let mut text = String::new();
    for (index, function) in program.functions.iter().enumerate() {
        let mut context = module.make_context();
        context.set_disasm(dump == Dump::Asm);
        let mut builder_context = FunctionBuilderContext::new();
        body::build(
            &mut module,
            &names,
            function,
            &mut context.func,
            &mut builder_context,
        );
        let id = FunctionId(index_u32(index));
        text.push_str(&format!("; {id} {}\n", function.name));
        match dump {
            Dump::Clif => text.push_str(&context.func.display().to_string()),
            Dump::Asm => {
                let isa = module.isa();
                let code = context
                    .compile(isa, &mut Default::default())
                    .map_err(|error| describe(function, &error.inner))?;
                text.push_str(code.vcode.as_deref().unwrap_or_default());
            }
        }
        text.push('\n');
    }
    Ok(text)
}

fn describe(function: &Function, error: &dyn std::fmt::Debug) -> CodegenError {
    CodegenError::Function {
        function: function.name.clone(),
        message: format!("{error:?}"),
    }
}

/// What the module calls things.
pub(crate) struct Names<'a> {
    pub(crate) program: &'a Program,
    pub(crate) functions: Vec<FuncId>,
    /// Descriptors and constants, in one piece.
    pub(crate) data: DataId,
    pub(crate) layout: descriptor::Layout,
}

fn declare<'a>(module: &mut dyn Module, program: &'a Program) -> Result<Names<'a>, CodegenError> {
    let mut functions = Vec::with_capacity(program.functions.len());
    for function in &program.functions {
        let signature = signature(function);
        let name = format!("orca.{}", function.name);
        functions.push(module.declare_function(&name, Linkage::Local, &signature)?);
    }
    let data = module.declare_data(orca_abi::PROGRAM_SYMBOL, Linkage::Export, false, false)?;
    Ok(Names {
        program,
        functions,
        data,
        layout: descriptor::Layout::of(program),
    })
}

fn signature(function: &Function) -> ir::Signature {
    let mut signature = ir::Signature::new(CallConv::SystemV);
    for parameter in &function.blocks[0].parameters {
        signature.params.push(ir::AbiParam::new(clif_type(
            function.values[parameter.index()],
        )));
    }
    signature
        .returns
        .extend(function.result.map(|ty| ir::AbiParam::new(clif_type(ty))));
    signature
}

fn clif_type(ty: Ty) -> ir::Type {
    match ty {
        Ty::I8 => ir::types::I8,
        Ty::I16 => ir::types::I16,
        Ty::I32 => ir::types::I32,
        Ty::I64 => ir::types::I64,
        Ty::F32 => ir::types::F32,
        Ty::F64 => ir::types::F64,
    }
}

/// Size and lines of the code that was just made.
fn measure(context: &Context) -> Compiled {
    let code = context
        .compiled_code()
        .expect("the function was just defined");
    let mut lines: Vec<(u32, u32)> = Vec::new();
    for range in code.buffer.get_srclocs_sorted() {
        let line = if range.loc.is_default() {
            0
        } else {
            range.loc.bits()
        };
        if line != 0 && lines.last().is_none_or(|(_, last)| *last != line) {
            lines.push((range.start, line));
        }
    }
    Compiled {
        size: code.buffer.total_size(),
        lines,
    }
}

fn index_u32(index: usize) -> u32 {
    u32::try_from(index).expect("tables have fewer than 2^32 rows")
}
