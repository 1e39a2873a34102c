//! `cargo soak`: starts the sample programs again and again on several processors and compares what they print.
//!
//! Each run is a whole program under `gax`: real processes, real networks. A run fails if its output or status differs from what
//! the program's folder expects, or if it takes longer than the time-out. Every failure is printed with the command that repeats it.

use std::fs;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use clap::Parser;

/// Starts the sample programs again and again on several processors and compares what they print
#[derive(Parser)]
#[command(name = "cargo soak")]
struct Plan {
    /// Runs of each program on each network
    #[arg(long, value_name = "N", default_value = "100")]
    runs: NonZeroUsize,
    /// Processors of each run
    #[arg(long, value_name = "K", default_value = "4")]
    processors: NonZeroUsize,
    /// Runs at the same time
    #[arg(long, value_name = "J", default_value = "1")]
    at_once: NonZeroUsize,
    /// A network of gax; several take turns
    #[arg(long = "net", value_name = "NET", default_value = "auto")]
    networks: Vec<String>,
    /// Seconds that one run may take
    #[arg(long, value_name = "SECONDS", default_value = "60")]
    timeout: NonZeroUsize,
    /// Append the result to this file
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Folders below programs/
    #[arg(value_name = "PROGRAM", default_values = ["tsp", "asp", "sor", "ab", "pingpong"])]
    programs: Vec<String>,
}

/// One program, built, with what it must print.
struct Subject {
    name: String,
    executable: PathBuf,
    arguments: Vec<String>,
    folder: PathBuf,
    expected: Vec<u8>,
}

fn main() -> ExitCode {
    let plan = Plan::parse();
    match run(&plan) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("soak: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Runs everything; gives the number of failures.
fn run(plan: &Plan) -> Result<usize, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests are a member");
    let built = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--release",
            "-p",
            "orcac",
            "-p",
            "gax",
            "-p",
            "orca-rts",
        ])
        .current_dir(root)
        .status()
        .map_err(|error| format!("cannot start cargo: {error}"))?;
    if !built.success() {
        return Err("the toolchain does not build".into());
    }
    let own = std::env::current_exe().map_err(|error| format!("cannot find myself: {error}"))?;
    let binaries = own
        .parent()
        .expect("an executable lies in a folder")
        .to_path_buf();
    let subjects = plan
        .programs
        .iter()
        .map(|name| prepare(root, &binaries, name))
        .collect::<Result<Vec<_>, _>>()?;

    let total = plan.runs.get() * subjects.len() * plan.networks.len();
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..plan.at_once.get() {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= total {
                        return;
                    }
                    let subject = &subjects[index % subjects.len()];
                    let network = &plan.networks[index / subjects.len() % plan.networks.len()];
                    if let Err(failure) = once(plan, &binaries, subject, network) {
                        eprintln!("soak: {failure}");
                        failures.lock().expect("no run panics").push(failure);
                    }
                    if (index + 1).is_multiple_of(50) {
                        eprintln!("soak: {} of {total} runs started", index + 1);
                    }
                }
            });
        }
    });
    let failed = failures.into_inner().expect("no run panics").len();
    let told = format!(
        "{total} runs of {} programs on {} processors over {}, {} at once: {failed} failed, {:.1} s",
        subjects.len(),
        plan.processors,
        plan.networks.join(" and "),
        plan.at_once,
        started.elapsed().as_secs_f64()
    );
    println!("soak: {told}");
    if let Some(path) = &plan.report {
        append(path, root, &told)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    Ok(failed)
}

/// Appends a line with the commit and the result.
fn append(path: &Path, root: &Path, told: &str) -> std::io::Result<()> {
    let commit = Command::new("git")
        .args(["rev-parse", "--short", "HEAD"])
        .current_dir(root)
        .output()?;
    let commit = String::from_utf8_lossy(&commit.stdout).trim().to_owned();
    let mut file = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)?;
    writeln!(file, "soak, commit {commit}: {told}")
}

fn prepare(root: &Path, binaries: &Path, name: &str) -> Result<Subject, String> {
    let folder = root.join("programs").join(name);
    let main = ["orca", "imp"]
        .iter()
        .map(|ending| folder.join(name).with_extension(ending))
        .find(|path| path.exists())
        .ok_or(format!("no program `{name}` below programs/"))?;
    let executables = binaries.join("soak-programs");
    fs::create_dir_all(&executables).map_err(|error| format!("cannot make a folder: {error}"))?;
    let executable = executables.join(name);
    let built = Command::new(binaries.join("orcac"))
        .arg("build")
        .arg(&main)
        .arg("-o")
        .arg(&executable)
        .status()
        .map_err(|error| format!("cannot start orcac: {error}"))?;
    if !built.success() {
        return Err(format!("`{name}` does not compile"));
    }
    let arguments = fs::read_to_string(folder.join("args")).unwrap_or_default();
    let expected = fs::read(folder.join("expected.stdout"))
        .map_err(|error| format!("`{name}` has no expected.stdout: {error}"))?;
    Ok(Subject {
        name: name.into(),
        executable,
        arguments: arguments.split_whitespace().map(String::from).collect(),
        folder,
        expected,
    })
}

fn once(plan: &Plan, binaries: &Path, subject: &Subject, network: &str) -> Result<(), String> {
    let mut command = Command::new(binaries.join("gax"));
    command
        .args([
            "-n",
            &plan.processors.to_string(),
            "--timeout",
            &plan.timeout.to_string(),
            "--net",
            network,
        ])
        .arg(&subject.executable)
        .args(&subject.arguments)
        .current_dir(&subject.folder)
        .stdin(Stdio::null());
    let output = command
        .output()
        .map_err(|error| format!("cannot start gax: {error}"))?;
    if output.status.code() == Some(0) && output.stdout == subject.expected {
        return Ok(());
    }
    Err(format!(
        "{} over {network}: {}, printed {:?}, expected {:?}\n{}  repeat: (cd {} && {command:?})",
        subject.name,
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&subject.expected),
        String::from_utf8_lossy(&output.stderr),
        subject.folder.display(),
    ))
}
