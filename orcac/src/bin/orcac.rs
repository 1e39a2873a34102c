//! The command `orcac`: arguments in, text and exit status out. Everything else is the library's.
//!
//! The compiler runs on a thread with a large stack, so that deeply nested input cannot overflow it, and whatever panics there becomes
//! one message and the status of an internal error.

use std::backtrace::BacktraceStatus;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, Parser, Subcommand, ValueEnum};
use orcac::diagnostics::codes;
use orcac::diagnostics::render::{Style, render};
use orcac::session::{Keywords, MessageFormat, Options, Session};
use orcac::source::DiskFiles;
use orcac::{BuildError, Input, Phase};

/// Fine.
const STATUS_FINE: u8 = 0;
/// The program has errors.
const STATUS_ERRORS: u8 = 1;
/// The command line is wrong.
const STATUS_USAGE: u8 = 2;
/// `orcac run`: a file cannot be read.
#[cfg(feature = "run")]
const STATUS_NO_INPUT: u8 = 66;
/// `orcac run --timeout`.
#[cfg(feature = "run")]
const STATUS_TIMEOUT: u8 = 124;
/// The compiler is wrong.
const STATUS_INTERNAL: u8 = 75;

/// Only what is used is ever backed by memory.
const STACK_SIZE: usize = 1 << 30;

/// The compiler of the parallel programming language Orca.
#[derive(Parser)]
#[command(
    name = "orcac",
    version,
    max_term_width = 100,
    subcommand_required = true
)]
#[command(after_help = "`orcac COMMAND --help` tells more about a command.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compile a program to an executable.
    Build(Build),
    /// Compile a program in memory and run it here.
    Run(Run),
    /// Look for errors only.
    Check(Check),
    /// Show the access patterns of every process type.
    Patterns(Patterns),
    /// Show what a phase of the compiler makes of a program.
    Dump(DumpArguments),
    /// Tell what a diagnostic means, with examples.
    Explain {
        /// The code, as E0201.
        code: String,
    },
}

#[derive(Args)]
struct Build {
    /// The file with OrcaMain: NAME.orca, or NAME.imp.
    main: PathBuf,
    /// Other Orca files (.orca, .spf, .imp), and C sources, objects and archives (.c, .o, .a).
    files: Vec<PathBuf>,
    /// The executable; by default MAIN without its extension, in the current folder.
    #[arg(short = 'o', value_name = "EXE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct Run {
    /// The file with OrcaMain: NAME.orca, or NAME.imp.
    main: PathBuf,
    /// Other Orca files (.orca, .spf, .imp).
    files: Vec<PathBuf>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    run: RunOptions,
    /// Arguments of the program.
    #[arg(last = true, help_heading = "Arguments")]
    args: Vec<OsString>,
}

#[derive(Args)]
#[command(next_help_heading = "Run options")]
struct RunOptions {
    /// Number of processors.
    #[arg(short = 'n', value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1024))]
    processors: u32,
    /// Bytes of a process' stack, as 256K, 64M or 1G.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    stack: Option<u64>,
    /// End the program after so many seconds.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    timeout: Option<u64>,
}

#[derive(Args)]
struct Check {
    /// Orca files: .orca, .spf, .imp.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct Patterns {
    /// The file with OrcaMain.
    main: PathBuf,
    /// As one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct DumpArguments {
    /// The phase.
    phase: DumpPhase,
    /// The file with OrcaMain.
    main: PathBuf,
    /// Other Orca files (.orca, .spf, .imp).
    files: Vec<PathBuf>,
    #[command(flatten)]
    common: Common,
}

#[derive(Clone, Copy, ValueEnum)]
enum DumpPhase {
    /// Words and marks of MAIN.
    Tokens,
    /// The tree of MAIN as written.
    Ast,
    /// The typed program.
    Hir,
    /// The access patterns.
    Patterns,
    /// Intermediate code.
    Mir,
    /// What Cranelift gets.
    Clif,
    /// Machine instructions.
    Asm,
}

#[derive(Args, Clone)]
struct Common {
    /// Look for units and included files in this folder, too.
    #[arg(short = 'I', value_name = "DIR")]
    import_dirs: Vec<PathBuf>,
    /// Define a name for conditional compilation.
    #[arg(short = 'D', value_name = "NAME")]
    defines: Vec<String>,
    /// Undefine a name, even one given by -D.
    #[arg(short = 'U', value_name = "NAME")]
    undefines: Vec<String>,
    /// Optimisation: 0 compiles fastest, 2 gives the fastest code [default: 2; run: 1].
    #[arg(short = 'O', value_name = "LEVEL", value_parser = clap::value_parser!(u8).range(0..=2))]
    opt_level: Option<u8>,
    /// Keep what debuggers want.
    #[arg(short = 'g')]
    debug_info: bool,
    /// Which spelling of keywords is reserved [default: the first keyword of each file decides].
    #[arg(long, value_name = "CASE")]
    keywords: Option<KeywordsArgument>,
    /// How diagnostics are shown.
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    message_format: FormatArgument,
    /// Where the run-time system is installed.
    #[arg(long, value_name = "DIR")]
    sysroot: Option<PathBuf>,
    /// Show how long each phase took.
    #[arg(long)]
    time_phases: bool,
    /// Say what is done.
    #[arg(short = 'v')]
    verbose: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum KeywordsArgument {
    Upper,
    Lower,
    Both,
}

#[derive(Clone, Copy, ValueEnum)]
enum FormatArgument {
    /// With the source text.
    Human,
    /// FILE:LINE:COL: error[CODE]: message.
    Short,
    /// One object a line.
    Json,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version go to standard output and are fine; mistakes have status 2.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() {
                STATUS_USAGE
            } else {
                STATUS_FINE
            });
        }
    };
    report_panics();
    let compiler = thread::Builder::new()
        .name("orcac".to_owned())
        .stack_size(STACK_SIZE)
        .spawn(move || execute(arguments.command));
    let status = match compiler {
        Ok(thread) => thread.join().unwrap_or(STATUS_INTERNAL),
        Err(error) => {
            eprintln!("orcac: cannot start: {error}");
            STATUS_INTERNAL
        }
    };
    ExitCode::from(status)
}

/// A panic is a defect of the compiler: say what to report.
fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let message = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        let place = panic
            .location()
            .map(|place| format!(" ({}:{})", place.file(), place.line()));
        eprintln!(
            "orcac: internal error: {message}{}\n\
             orcac {}; this is a defect of the compiler, please report it with the program and this command:\n    {}",
            place.unwrap_or_default(),
            env!("CARGO_PKG_VERSION"),
            command_line()
        );
        let backtrace = std::backtrace::Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            eprintln!("{backtrace}");
        }
    }));
}

fn command_line() -> String {
    let quote = |word: OsString| {
        let word = word.to_string_lossy().into_owned();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=+,:@".contains(c);
        if !word.is_empty() && word.chars().all(is_plain) {
            word
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    };
    std::env::args_os()
        .map(quote)
        .collect::<Vec<String>>()
        .join(" ")
}

fn execute(command: Command) -> u8 {
    match command {
        Command::Build(arguments) => build(arguments),
        Command::Run(arguments) => run(arguments),
        Command::Check(arguments) => check(arguments),
        Command::Patterns(arguments) => {
            let mut job = Job::new(&arguments.common, 2, &[]);
            job.patterns(&arguments.main, arguments.json)
        }
        Command::Dump(arguments) => dump(arguments),
        Command::Explain { code } => explain(&code),
    }
}

fn build(arguments: Build) -> u8 {
    let (foreign, files): (Vec<PathBuf>, Vec<PathBuf>) = arguments
        .files
        .into_iter()
        .partition(|file| is_foreign(file));
    let mut job = Job::new(&arguments.common, 2, &files);
    let input = Input {
        main: arguments.main,
        files,
    };
    let inputs = [&input.main]
        .into_iter()
        .chain(&input.files)
        .chain(&foreign);
    if let Some(status) = job.refuse(&input, inputs, STATUS_ERRORS) {
        return status;
    }
    let output = match arguments.output {
        Some(output) => output,
        None => PathBuf::from(input.main.file_stem().unwrap_or_default()),
    };
    if output.is_dir() {
        job.error(&format!(
            "{} is a folder; name the executable with -o",
            output.display()
        ));
        return STATUS_USAGE;
    }
    if [&input.main]
        .into_iter()
        .chain(&input.files)
        .chain(&foreign)
        .any(|file| *file == output)
    {
        job.error(&format!(
            "{} would be overwritten; choose another name with -o",
            output.display()
        ));
        return STATUS_USAGE;
    }
    let built = orcac::build(
        &mut job.session,
        &input,
        foreign,
        output,
        &mut job.clock.done(),
    );
    job.finish(built.map(|said| {
        said.map(|said| {
            eprint!("{said}");
            String::new()
        })
    }))
}

fn check(arguments: Check) -> u8 {
    let mut job = Job::new(&arguments.common, 2, &arguments.files);
    let input = Input {
        main: arguments.files[0].clone(),
        files: arguments.files[1..].to_vec(),
    };
    if let Some(status) = job.refuse(&input, &arguments.files, STATUS_ERRORS) {
        return status;
    }
    let is_right = orcac::check(&mut job.session, &arguments.files, &mut job.clock.done());
    job.finish(Ok(is_right.then(String::new)))
}

fn dump(arguments: DumpArguments) -> u8 {
    let mut job = Job::new(&arguments.common, 2, &arguments.files);
    let input = Input {
        main: arguments.main,
        files: arguments.files,
    };
    let phase = match arguments.phase {
        DumpPhase::Tokens => Phase::Tokens,
        DumpPhase::Ast => Phase::Ast,
        DumpPhase::Hir => Phase::Hir,
        DumpPhase::Patterns => return job.patterns(&input.main, false),
        DumpPhase::Mir => Phase::Mir,
        DumpPhase::Clif => Phase::Clif,
        DumpPhase::Asm => Phase::Asm,
    };
    let inputs = [&input.main].into_iter().chain(&input.files);
    if let Some(status) = job.refuse(&input, inputs, STATUS_ERRORS) {
        return status;
    }
    let dumped = orcac::dump(&mut job.session, &input, phase, &mut job.clock.done());
    job.finish(dumped)
}

#[cfg(feature = "run")]
fn run(arguments: Run) -> u8 {
    let mut job = Job::new(&arguments.common, 1, &arguments.files);
    let input = Input {
        main: arguments.main,
        files: arguments.files,
    };
    let inputs = [&input.main].into_iter().chain(&input.files);
    if let Some(status) = job.refuse(&input, inputs, STATUS_NO_INPUT) {
        return status;
    }
    let Some(program) = orcac::compile(&mut job.session, &input, &mut job.clock.done()) else {
        return job.finish(Ok(None));
    };
    let options = orcac::codegen_options(&job.session);
    let loaded = match orcac::run::load(&program, options) {
        Ok(loaded) => loaded,
        Err(error) => return job.finish(Err(error.into())),
    };
    job.clock.done()("generate code");
    // Warnings come before the program's own output.
    job.finish(Ok(Some(String::new())));
    if let Some(seconds) = arguments.run.timeout {
        thread::spawn(move || {
            // Nobody ever says that the program is over: this thread ends with the process.
            let (_never, over) = std::sync::mpsc::channel::<()>();
            let _ = over.recv_timeout(Duration::from_secs(seconds));
            eprintln!("orcac: the program was ended after {seconds} s");
            std::process::exit(i32::from(STATUS_TIMEOUT));
        });
    }
    let mut program_arguments = vec![input.main.into_os_string()];
    program_arguments.extend(arguments.args);
    let settings = orcac::run::Settings {
        processors: arguments.run.processors,
        arguments: program_arguments
            .into_iter()
            .map(OsString::into_encoded_bytes)
            .collect(),
        stack_size: arguments.run.stack,
    };
    let status = orcac::run::run(&loaded, &settings);
    u8::try_from(status).unwrap_or(STATUS_INTERNAL)
}

/// `64K` and so on.
fn parse_size(text: &str) -> Result<u64, String> {
    let units = [('K', 10), ('M', 20), ('G', 30)];
    let unit = units.iter().find_map(|(unit, shift)| {
        let digits = text
            .strip_suffix(*unit)
            .or_else(|| text.strip_suffix(unit.to_ascii_lowercase()))?;
        Some((digits, *shift))
    });
    let (digits, shift) = unit.unwrap_or((text, 0));
    let number: u64 = digits
        .parse()
        .map_err(|_| "expected a number, perhaps with K, M or G".to_owned())?;
    let size = number
        .checked_mul(1 << shift)
        .filter(|size| (16 << 10..=1 << 40).contains(size));
    size.ok_or_else(|| "expected 16K to 1024G".to_owned())
}

#[cfg(not(feature = "run"))]
fn run(arguments: Run) -> u8 {
    let job = Job::new(&arguments.common, 1, &[]);
    job.error("this compiler was built without `run`; use `orcac build`, and run the executable");
    STATUS_USAGE
}

fn explain(code: &str) -> u8 {
    match codes::find(code) {
        Some(entry) => {
            show(&format!(
                "{}: {}\n\n{}\n",
                entry.code, entry.title, entry.explain
            ));
            STATUS_FINE
        }
        None => {
            eprintln!("error: no diagnostic has the code `{code}`; codes look like E0201 or W0101");
            STATUS_USAGE
        }
    }
}

fn is_foreign(file: &Path) -> bool {
    file.extension()
        .is_some_and(|extension| ["c", "o", "a"].iter().any(|wanted| extension == *wanted))
}

fn is_orca(file: &Path) -> bool {
    file.extension().is_some_and(|extension| {
        ["orca", "spf", "imp"]
            .iter()
            .any(|wanted| extension == *wanted)
    })
}

/// To standard output; a reader that has gone away is not our problem.
fn show(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

/// One compilation, from options to exit status.
struct Job {
    session: Session,
    clock: Clock,
}

impl Job {
    fn new(common: &Common, opt_level: u8, files: &[PathBuf]) -> Job {
        let common = common.clone();
        let options = Options {
            import_dirs: common.import_dirs,
            defines: common.defines,
            undefines: common.undefines,
            keywords: match common.keywords {
                None => Keywords::Auto,
                Some(KeywordsArgument::Upper) => Keywords::Upper,
                Some(KeywordsArgument::Lower) => Keywords::Lower,
                Some(KeywordsArgument::Both) => Keywords::Both,
            },
            message_format: match common.message_format {
                FormatArgument::Human => MessageFormat::Human,
                FormatArgument::Short => MessageFormat::Short,
                FormatArgument::Json => MessageFormat::Json,
            },
            opt_level: common.opt_level.unwrap_or(opt_level),
            debug_info: common.debug_info,
            verbose: common.verbose,
            time_phases: common.time_phases,
            sysroot: common.sysroot,
            other_files: files.to_vec(),
        };
        Job {
            session: Session::new(options, Box::new(DiskFiles)),
            clock: Clock::start(),
        }
    }

    /// The status with which to stop at once, if there is something that no phase could work with.
    fn refuse<'a>(
        &self,
        input: &Input,
        files: impl IntoIterator<Item = &'a PathBuf>,
        unreadable: u8,
    ) -> Option<u8> {
        let orca = [&input.main].into_iter().chain(&input.files);
        if let Some(other) = orca.into_iter().find(|file| !is_orca(file)) {
            let name = other.display();
            let note = if other.is_file() {
                ""
            } else {
                " (and there is no such file)"
            };
            self.error(&format!(
                "{name} is no Orca source: expected NAME.orca, NAME.spf or NAME.imp{note}"
            ));
            return Some(STATUS_USAGE);
        }
        for file in files {
            let opened = File::open(file).and_then(|file| file.metadata());
            let problem = match opened {
                Ok(metadata) if metadata.is_dir() => "it is a folder".to_owned(),
                Ok(_) => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    "there is no such file".to_owned()
                }
                Err(error) => error.to_string(),
            };
            self.error(&format!("cannot read {}: {problem}", file.display()));
            return Some(unreadable);
        }
        None
    }

    /// An error that is not at a place of the source.
    fn error(&self, message: &str) {
        if self.session.options.message_format == MessageFormat::Json {
            let json = serde_json::json!({"severity": "error", "code": null, "message": message});
            eprintln!("{json}");
        } else {
            eprintln!("error: {message}");
        }
    }

    fn patterns(&mut self, main: &Path, _json: bool) -> u8 {
        self.error(&format!(
            "the access patterns of {} cannot be shown: this version of orcac does not compute them yet",
            main.display()
        ));
        STATUS_ERRORS
    }

    /// Shows what was found, and what was made.
    fn finish(&mut self, made: Result<Option<String>, BuildError>) -> u8 {
        let style = Style {
            format: self.session.options.message_format,
            colour: io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
            base: std::env::current_dir().ok(),
        };
        eprint!("{}", render(&self.session, &style));
        if self.session.options.time_phases {
            self.clock.show();
        }
        match made {
            Ok(Some(text)) => {
                show(&text);
                if self.session.has_errors() {
                    STATUS_ERRORS
                } else {
                    STATUS_FINE
                }
            }
            Ok(None) => STATUS_ERRORS,
            Err(error @ BuildError::Codegen(_)) => panic!("{error}"),
            Err(BuildError::Link(error)) => {
                self.error(&error.to_string());
                STATUS_ERRORS
            }
        }
    }
}

/// How long the phases took.
struct Clock {
    last: Instant,
    phases: Vec<(&'static str, Duration)>,
}

impl Clock {
    fn start() -> Clock {
        Clock {
            last: Instant::now(),
            phases: Vec::new(),
        }
    }

    fn done(&mut self) -> impl FnMut(&'static str) {
        |phase| {
            let now = Instant::now();
            self.phases.push((phase, now - self.last));
            self.last = now;
        }
    }

    fn show(&self) {
        for (phase, time) in &self.phases {
            eprintln!("{phase:16} {:9.3} ms", time.as_secs_f64() * 1e3);
        }
    }
}
