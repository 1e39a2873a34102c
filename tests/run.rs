//! Runs Orca programs and compares what they print: `programs/*` and `tests/run/*`, a folder each.
//!
//! A folder holds the main file (named after the folder, or `main`, with `.orca` or `.imp`), its other files, and what is wanted:
//!
//! | file | holds | without it |
//! |---|---|---|
//! | `expected.stdout` | standard output, exactly | nothing is printed |
//! | `args` | arguments, separated by white space | none |
//! | `input` | standard input | empty |
//! | `processors` | numbers of processors to run on | 1 and 2 |
//! | `exit` | exit status | 0 |
//! | `expected.error` | the run-time error on standard error; `CPU N` and `line N` stand for any | no run-time error |
//!
//! Each program runs with `orcac run` at -O0 and -O2 on each number of processors, and must print the same every time. With
//! `ORCA_NIGHTLY=1` it is also built into an executable and run by itself and under `gax`. `UPDATE_EXPECT=1` rewrites
//! `expected.stdout`. Arguments that are no options choose cases by a part of their names.

use std::collections::VecDeque;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

/// A program that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a program may print.
const OUTPUT_LEN_MAX: u64 = 1 << 20;

/// One program and what is wanted of it.
struct Case {
    name: String,
    folder: PathBuf,
    main: PathBuf,
    arguments: Vec<String>,
    input: Vec<u8>,
    processors: Vec<u16>,
    status: i32,
    stdout: String,
    error: Option<String>,
}

/// What one run did.
#[derive(PartialEq, Eq)]
struct Outcome {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests is a folder of the repository");
    let filters: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    let mut cases: Vec<Case> = ["programs", "tests/run"]
        .iter()
        .flat_map(|folder| folders(&root.join(folder)))
        .map(Case::load)
        .filter(|case| filters.is_empty() || filters.iter().any(|f| case.name.contains(f.as_str())))
        .collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    let tools = match Tools::find() {
        Ok(tools) => tools,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::FAILURE;
        }
    };
    let count = cases.len();
    let failed = check_all(cases, &tools);
    println!("\ntest result: {} passed; {failed} failed", count - failed);
    ExitCode::from(u8::from(failed > 0))
}

/// The folders in a folder.
fn folders(parent: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).unwrap_or_else(|e| panic!("{}: {e}", parent.display()));
    entries
        .map(|entry| entry.expect("a folder can be listed").path())
        .filter(|path| path.is_dir())
        .collect()
}

/// Checks the cases, as many at once as there are cores; returns how many fail.
fn check_all(cases: Vec<Case>, tools: &Tools) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let queue = Mutex::new(VecDeque::from(cases));
    let failed = Mutex::new(0);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let Some(case) = queue.lock().expect("no test panics here").pop_front() else {
                        break;
                    };
                    let result = case.check(tools);
                    let mut failed = failed.lock().expect("no test panics here");
                    match result {
                        Ok(()) => println!("test {} ... ok", case.name),
                        Err(message) => {
                            *failed += 1;
                            println!("test {} ... FAILED\n{message}", case.name);
                        }
                    }
                }
            });
        }
    });
    failed.into_inner().expect("no test panics here")
}

/// The commands under test.
struct Tools {
    orcac: PathBuf,
    gax: PathBuf,
    nightly: bool,
    scratch: PathBuf,
}

impl Tools {
    /// Builds the commands if they are not up to date, beside this test.
    fn find() -> Result<Tools, String> {
        let me = std::env::current_exe().map_err(|error| error.to_string())?;
        let deps = me.parent().ok_or("a test lies in a folder")?;
        let bin = deps.parent().ok_or("a test lies in the folder deps")?;
        let mut build = Command::new(env!("CARGO"));
        build.args([
            "build", "--quiet", "-p", "orcac", "-p", "gax", "-p", "orca-rts",
        ]);
        if bin.ends_with("release") {
            build.arg("--release");
        }
        let status = build.current_dir(env!("CARGO_MANIFEST_DIR")).status();
        if !status.is_ok_and(|status| status.success()) {
            return Err("cannot build the commands under test".to_owned());
        }
        let scratch = bin.join("run-tests");
        fs::create_dir_all(&scratch).map_err(|e| format!("{}: {e}", scratch.display()))?;
        Ok(Tools {
            orcac: bin.join("orcac"),
            gax: bin.join("gax"),
            nightly: std::env::var_os("ORCA_NIGHTLY").is_some(),
            scratch,
        })
    }
}

impl Case {
    fn load(folder: PathBuf) -> Case {
        let name = folder
            .file_name()
            .expect("it is listed")
            .to_string_lossy()
            .into_owned();
        let main = [name.as_str(), "main"]
            .iter()
            .flat_map(|stem| ["orca", "imp"].map(|kind| folder.join(format!("{stem}.{kind}"))))
            .find(|path| path.exists())
            .unwrap_or_else(|| panic!("no main file in {}", folder.display()));
        let text = |file: &str| fs::read_to_string(folder.join(file)).ok();
        let numbers = text("processors").unwrap_or_else(|| "1 2".to_owned());
        Case {
            arguments: text("args")
                .unwrap_or_default()
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
            input: fs::read(folder.join("input")).unwrap_or_default(),
            processors: numbers
                .split_whitespace()
                .map(|n| {
                    n.parse()
                        .unwrap_or_else(|_| panic!("{name}: processors: {n}"))
                })
                .collect(),
            status: text("exit").map_or(0, |exit| {
                exit.trim()
                    .parse()
                    .unwrap_or_else(|_| panic!("{name}: exit: {exit}"))
            }),
            stdout: text("expected.stdout").unwrap_or_default(),
            error: text("expected.error").map(|error| error.trim().to_owned()),
            name,
            main,
            folder,
        }
    }

    fn check(&self, tools: &Tools) -> Result<(), String> {
        for command in self.commands(tools)? {
            let outcome = self.run(&command)?;
            let words = command.join(" ");
            if std::env::var_os("UPDATE_EXPECT").is_some() && outcome.stdout != self.stdout {
                fs::write(self.folder.join("expected.stdout"), &outcome.stdout)
                    .map_err(|error| error.to_string())?;
            }
            self.compare(&outcome).map_err(|message| {
                format!("  {words}\n{message}  standard error: {}", outcome.stderr)
            })?;
        }
        Ok(())
    }

    /// Every way in which the program is to be run, as a command line.
    fn commands(&self, tools: &Tools) -> Result<Vec<Vec<String>>, String> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut commands = Vec::new();
        for level in ["0", "2"] {
            for count in &self.processors {
                let mut command = vec![
                    text(&tools.orcac),
                    "run".to_owned(),
                    "-O".to_owned(),
                    level.to_owned(),
                    "-n".to_owned(),
                    count.to_string(),
                    text(&self.main),
                    "--".to_owned(),
                ];
                command.extend(self.arguments.iter().cloned());
                commands.push(command);
            }
            if tools.nightly {
                let exe = text(&tools.scratch.join(format!("{}-{level}", self.name)));
                let build = [
                    &text(&tools.orcac),
                    "build",
                    "-O",
                    level,
                    &text(&self.main),
                    "-o",
                    &exe,
                ]
                .map(str::to_owned);
                let built = self.run(&build)?;
                if built.status != Some(0) {
                    return Err(format!("  {}\n{}", build.join(" "), built.stderr));
                }
                for count in &self.processors {
                    let mut command = match count {
                        1 => vec![],
                        _ => vec![text(&tools.gax), "-n".to_owned(), count.to_string()],
                    };
                    command.push(exe.clone());
                    command.extend(self.arguments.iter().cloned());
                    commands.push(command);
                }
            }
        }
        Ok(commands)
    }

    fn compare(&self, outcome: &Outcome) -> Result<(), String> {
        let mut wrong = String::new();
        if outcome.status != Some(self.status) {
            wrong += &format!("  status {:?}, wanted {}\n", outcome.status, self.status);
        }
        if outcome.stdout != self.stdout {
            wrong += &difference(&self.stdout, &outcome.stdout);
        }
        let error = run_time_error(&outcome.stderr);
        let printed = error.clone().map(|error| match &self.error {
            Some(wanted) => like(wanted, &error),
            None => error,
        });
        if printed != self.error {
            wrong += &format!(
                "  run-time error {error:?}\n          wanted {:?}\n",
                self.error
            );
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    /// Runs a command in the program's folder.
    fn run(&self, words: &[String]) -> Result<Outcome, String> {
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot run {}: {error}", words[0]))?;
        let (mut stdin, stdout, stderr) = (
            child.stdin.take().expect("it is piped"),
            child.stdout.take().expect("it is piped"),
            child.stderr.take().expect("it is piped"),
        );
        std::thread::scope(|scope| {
            scope.spawn(move || {
                // A program need not read its input.
                let _ = stdin.write_all(&self.input);
            });
            let stdout = scope.spawn(move || collect(stdout));
            let stderr = scope.spawn(move || collect(stderr));
            let (ended, end) = mpsc::channel::<()>();
            let pid = child.id().to_string();
            scope.spawn(move || {
                if end.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                    // Nobody has waited for it yet, so the number is still its own.
                    let _ = Command::new("kill").args(["-9", &pid]).status();
                }
            });
            let status = child.wait().map_err(|error| error.to_string())?.code();
            drop(ended);
            Ok(Outcome {
                status,
                stdout: stdout.join().expect("reading does not panic"),
                stderr: stderr.join().expect("reading does not panic"),
            })
        })
    }
}

fn collect(from: impl Read) -> String {
    let mut bytes = Vec::new();
    // Whatever was read until an error is what there is.
    let _ = from.take(OUTPUT_LEN_MAX).read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The lines about errors of the program; warnings of the compiler go the same way.
fn run_time_error(stderr: &str) -> Option<String> {
    let starts = [
        "Run-time error",
        "I/O error on",
        "System error on",
        "Limit exceeded on",
    ];
    let lines: Vec<&str> = stderr
        .lines()
        .filter(|line| starts.iter().any(|start| line.starts_with(start)))
        .collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// The message, with N instead of the processor or line where the wanted message does not say which.
fn like(wanted: &str, printed: &str) -> String {
    let mut text = printed.to_owned();
    for word in ["CPU ", "line "] {
        if wanted.contains(&format!("{word}N"))
            && let Some(start) = text.find(word).map(|at| at + word.len())
        {
            let digits = text[start..].bytes().take_while(u8::is_ascii_digit).count();
            text.replace_range(start..start + digits, "N");
        }
    }
    text
}

/// The first line that differs.
fn difference(wanted: &str, printed: &str) -> String {
    let mut lines = wanted.lines().map(Some).chain(std::iter::repeat(None));
    for (number, line) in printed.lines().map(Some).chain([None]).enumerate() {
        let want = lines.next().flatten();
        if want != line {
            return format!(
                "  line {}: printed {:?}\n          wanted {:?}\n",
                number + 1,
                line.unwrap_or("nothing"),
                want.unwrap_or("nothing")
            );
        }
    }
    "  the last line should end differently\n".to_owned()
}
