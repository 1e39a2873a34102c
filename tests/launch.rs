//! Whole programs as users run them: built by `orcac build`, started by `gax` as real processes over real datagrams.
//!
//! The binaries and the run-time library must have been built before (`./check` does).

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests are a member")
}

/// The folder of the binaries that were built with these tests.
fn binaries() -> PathBuf {
    let own = std::env::current_exe().expect("a test has a path");
    let folder = own
        .ancestors()
        .nth(2)
        .expect("tests lie in deps")
        .to_path_buf();
    assert!(
        folder.join("orcac").exists() && folder.join("gax").exists(),
        "orcac and gax are not in {}: run ./check, which builds them first",
        folder.display()
    );
    folder
}

/// Builds a program; gives its executable.
fn build(source: &str) -> PathBuf {
    let source = root().join(source);
    let folder = binaries().join("launch-tests");
    fs::create_dir_all(&folder).expect("a folder for executables");
    let executable = folder.join(source.file_stem().expect("a file name"));
    let output = Command::new(binaries().join("orcac"))
        .arg("build")
        .arg(&source)
        .arg("-o")
        .arg(&executable)
        .output()
        .expect("orcac starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    executable
}

/// `gax -n processors executable arguments`, not started yet.
fn gax(processors: usize, executable: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binaries().join("gax"));
    command
        .args(["-n", &processors.to_string(), "--timeout", "120"])
        .arg(executable)
        .args(arguments)
        .stdin(Stdio::null());
    command
}

fn gax_with(options: &[&str], processors: usize, executable: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(binaries().join("gax"));
    command
        .args([
            "-n",
            &processors.to_string(),
            "--net",
            "udp",
            "--timeout",
            "120",
        ])
        .args(options)
        .arg(executable)
        .args(arguments)
        .stdin(Stdio::null());
    command.output().expect("gax starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Status, standard output, standard error.
fn outcome(output: &Output) -> (Option<i32>, String, String) {
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[track_caller]
fn check_prints(command: &mut Command, expected: &str) {
    let output = command.output().expect("the command starts");
    assert_eq!(
        outcome(&output),
        (Some(0), expected.to_string(), String::new()),
        "{command:?}"
    );
}

/// The processes that descend from `parent`.
fn descendants(parent: u32) -> BTreeSet<u32> {
    let mut found = BTreeSet::from([parent]);
    loop {
        let before = found.len();
        for entry in fs::read_dir("/proc").expect("/proc").flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else {
                continue;
            };
            let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
                continue;
            };
            // After the name in parentheses: state, parent.
            let ppid = stat
                .rsplit(") ")
                .next()
                .and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
            if ppid.is_some_and(|ppid: u32| found.contains(&ppid)) {
                found.insert(pid);
            }
        }
        if found.len() == before {
            found.remove(&parent);
            return found;
        }
    }
}

fn is_alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(") ").next().unwrap_or("Z").starts_with('Z'))
}

/// Waits until none of the processes is alive.
#[track_caller]
fn check_gone(pids: &BTreeSet<u32>) {
    let deadline = Instant::now() + Duration::from_secs(3);
    while pids.iter().any(|pid| is_alive(*pid)) {
        assert!(Instant::now() < deadline, "left behind: {pids:?}");
        std::thread::yield_now();
    }
}

fn signal(pid: u32, number: i32) {
    // Only processes that these tests started.
    let status = Command::new("kill")
        .args([format!("-{number}"), pid.to_string()])
        .status();
    assert!(status.expect("kill runs").success());
}

/// Starts `spin` on three processors; comes back when all of them compute.
fn spinning() -> (Child, BTreeSet<u32>) {
    let executable = build("tests/launch/spin.orca");
    let mut child = gax(3, &executable, &[])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("gax starts");
    let mut line = String::new();
    let stdout = child.stdout.as_mut().expect("a pipe");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    assert_eq!(line, "spinning\n");
    let processors = descendants(child.id());
    assert!(
        processors.len() >= 3,
        "three processors run: {processors:?}"
    );
    (child, processors)
}

fn finish(mut child: Child) -> (Option<i32>, String) {
    let mut errors = String::new();
    child
        .stderr
        .take()
        .expect("a pipe")
        .read_to_string(&mut errors)
        .expect("text");
    (child.wait().expect("gax ends").code(), errors)
}

#[test]
fn the_programs_print_the_same_on_any_number_of_processors() {
    for name in ["tsp", "asp", "sor", "ab", "pingpong"] {
        let folder = root().join("programs").join(name);
        let source = ["orca", "imp"]
            .map(|ending| folder.join(name).with_extension(ending))
            .into_iter()
            .find(|path| path.exists())
            .expect("a program is named after its folder");
        let executable = build(source.to_str().expect("a plain name"));
        let expected = fs::read_to_string(folder.join("expected.stdout")).expect("expected.stdout");
        let arguments = fs::read_to_string(folder.join("args")).unwrap_or_default();
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        check_prints(
            Command::new(&executable)
                .args(&arguments)
                .current_dir(&folder),
            &expected,
        );
        for processors in [1, 2, 3, 8] {
            let mut command = gax(processors, &executable, &arguments);
            check_prints(command.current_dir(&folder), &expected);
        }
    }
}

#[test]
fn a_killed_processor_ends_the_run_and_is_named() {
    let (child, processors) = spinning();
    let victim = *processors.last().expect("a processor");
    let killed = Instant::now();
    signal(victim, libc::SIGKILL);
    let (status, errors) = finish(child);
    assert_eq!(status, Some(71), "{errors}");
    assert!(
        killed.elapsed() < Duration::from_secs(2),
        "{:?}",
        killed.elapsed()
    );
    assert!(
        errors.contains("processor ") && errors.lines().count() == 1,
        "{errors}"
    );
    check_gone(&processors);
}

#[test]
fn an_interrupted_run_ends_with_130_and_leaves_nothing() {
    let (child, processors) = spinning();
    signal(child.id(), libc::SIGINT);
    let (status, errors) = finish(child);
    assert_eq!(status, Some(130), "{errors}");
    check_gone(&processors);
}

#[test]
fn a_killed_launcher_leaves_no_processor() {
    let (child, processors) = spinning();
    signal(child.id(), libc::SIGKILL);
    finish(child);
    check_gone(&processors);
}

#[test]
fn an_error_in_a_broadcast_write_is_told_once() {
    let executable = build("tests/launch/bound_error_in_write.orca");
    let output = gax(4, &executable, &[]).output().expect("gax starts");
    let expected = "Run-time error on CPU 2, file \"bound_error_in_write.orca\", line 12, \
                    in operation table$put: array bound error\n";
    assert_eq!(
        outcome(&output),
        (Some(70), String::new(), expected.to_string())
    );
}

#[test]
fn processes_that_wait_for_ever_are_reported_within_a_second() {
    let executable = build("tests/launch/deadlock.orca");
    let started = Instant::now();
    let output = gax(3, &executable, &[]).output().expect("gax starts");
    let (status, printed, errors) = outcome(&output);
    assert_eq!((status, printed.as_str()), (Some(70), ""), "{errors}");
    let first = "Run-time error on CPU 0, file \"deadlock.orca\", line 6, in process deadlock.waiter: deadlock: ";
    assert!(errors.starts_with(first), "{errors}");
    assert_eq!(
        errors.matches("IntObject$AwaitValue").count(),
        3,
        "{errors}"
    );
    assert!(
        errors.contains("line 6"),
        "the source line of each: {errors}"
    );
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn computing_goes_on_while_a_process_reads() {
    let executable = build("tests/launch/read_while_computing.orca");
    let mut child = gax(4, &executable, &[])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("gax starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut done: Vec<String> = (0..3)
        .map(|_| lines.next().expect("a line").expect("text"))
        .collect();
    done.sort();
    assert_eq!(done, ["worker 1 done", "worker 2 done", "worker 3 done"]);
    std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), b"word\n").expect("typed");
    assert_eq!(lines.next().expect("a line").expect("text"), "read word");
    assert_eq!(child.wait().expect("gax ends").code(), Some(0));
}

#[test]
fn a_long_operation_is_neither_suspected_nor_drowned() {
    let executable = build("tests/launch/long_operation.orca");
    check_prints(&mut gax(4, &executable, &["1500"]), "60000\n");
}

#[test]
fn data_modules_that_differ_are_named() {
    let executable = build("tests/launch/differing_data.orca");
    let output = gax(3, &executable, &[]).output().expect("gax starts");
    let (status, printed, errors) = outcome(&output);
    assert_eq!((status, printed.as_str()), (Some(70), ""), "{errors}");
    assert!(
        errors.contains("data module settings") && errors.lines().count() == 1,
        "{errors}"
    );
    check_prints(&mut gax(1, &executable, &[]), "0\n");
}

#[test]
fn waiting_busily_for_a_writer_on_the_same_processor_ends() {
    let executable = build("tests/launch/busy_wait.orca");
    check_prints(&mut gax(1, &executable, &[]), "both finished\n");
    check_prints(&mut gax(2, &executable, &[]), "both finished\n");
    check_prints(&mut Command::new(&executable), "both finished\n");
}

#[test]
fn forking_where_there_is_no_processor_is_an_error() {
    let executable = build("tests/launch/no_such_cpu.orca");
    let output = gax(2, &executable, &[]).output().expect("gax starts");
    let expected = "Run-time error on CPU 0, file \"no_such_cpu.orca\", line 8, \
                    in process no_such_cpu.OrcaMain: illegal cpu number\n";
    assert_eq!(
        outcome(&output),
        (Some(70), String::new(), expected.to_string())
    );
}

#[test]
fn recursion_without_end_is_a_stack_overflow() {
    let executable = build("tests/launch/recursion.orca");
    let output = Command::new(&executable).output().expect("it starts");
    let expected = "Run-time error on CPU 0, file \"recursion.orca\", line 5, \
                    in function recursion.down: stack overflow\n";
    assert_eq!(
        outcome(&output),
        (Some(70), String::new(), expected.to_string())
    );

    let executable = build("tests/launch/recursion_in_operation.orca");
    for processors in [1, 3] {
        let output = gax(processors, &executable, &[])
            .output()
            .expect("gax starts");
        let expected = format!(
            "Run-time error on CPU {}, file \"recursion_in_operation.orca\", line 10, \
             in function deep.down: stack overflow\n",
            processors - 1
        );
        assert_eq!(outcome(&output), (Some(70), String::new(), expected));
    }
}

#[test]
fn an_array_that_does_not_fit_is_out_of_memory() {
    let executable = build("tests/launch/huge_array.orca");
    let output = Command::new(&executable).output().expect("it starts");
    let expected = "Run-time error on CPU 0, file \"huge_array.orca\", line 6, \
                    in process huge_array.fill: out of memory\n";
    assert_eq!(
        outcome(&output),
        (Some(70), String::new(), expected.to_string())
    );
}

#[test]
fn ten_thousand_processes_run_on_one_processor() {
    let executable = build("tests/launch/many_processes.orca");
    check_prints(&mut Command::new(&executable), "10000\n");
}

#[test]
fn what_cannot_be_started_has_its_status() {
    let missing = gax(2, Path::new("no-such-program"), &[])
        .output()
        .expect("gax starts");
    assert_eq!(
        missing.status.code(),
        Some(127),
        "{}",
        text(&missing.stderr)
    );
    let folder = gax(2, root(), &[]).output().expect("gax starts");
    assert_eq!(folder.status.code(), Some(126), "{}", text(&folder.stderr));
    let option = Command::new(binaries().join("gax"))
        .args(["--porcessors", "2", "x"])
        .output();
    let option = option.expect("gax starts");
    assert_eq!(option.status.code(), Some(2));
    let unread = Command::new(binaries().join("orcac"))
        .args(["build", "no-such-file.orca"])
        .output();
    let unread = unread.expect("orcac starts");
    assert_ne!(unread.status.code(), Some(0));
    assert!(
        text(&unread.stderr).contains("no-such-file.orca"),
        "{}",
        text(&unread.stderr)
    );
}

/// The largest resident set that a process has had, in KiB.
fn peak_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0)
}

#[test]
fn processes_in_turn_need_no_more_memory_than_one() {
    let executable = build("tests/launch/forks_in_turn.orca");
    let mut child = Command::new(&executable)
        .arg("1000000")
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut peak = 0;
    while child.try_wait().expect("it can be waited for").is_none() {
        peak = peak.max(peak_memory(child.id()));
    }
    let mut printed = String::new();
    stdout.read_to_string(&mut printed).expect("text");
    assert_eq!(printed, "1000000\n");
    assert!((1..20_000).contains(&peak), "{peak} KiB at most");
    check_prints(&mut gax(2, &executable, &["5000"]), "5000\n");
}

#[test]
fn each_processor_broadcasts_its_rows_and_everybody_gets_all() {
    let executable = build("programs/asp/asp.orca");
    let output = gax_with(&["--stats=json"], 4, &executable, &["500"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let json = text(&output.stderr);
    let start = json.find('{').expect("statistics");
    let stats: serde_json::Value = serde_json::from_str(&json[start..]).expect("JSON");
    let processors = stats["processors"].as_array().expect("processors");
    assert_eq!(processors.len(), 4);
    // A row of 500 integers is 2,000 bytes and its headers.
    let rows = |counters: &serde_json::Value, direction: &str| {
        counters[format!("broadcasts {direction}, below 4096 bytes")]["number"]
            .as_u64()
            .unwrap_or(0)
    };
    for (number, processor) in processors.iter().enumerate() {
        let counters = &processor["counters"];
        // Processor 0 also sends the fork that shares the collection, with its 500 empty rows.
        let forks = u64::from(number == 0);
        assert_eq!(rows(counters, "sent"), 125 + forks, "{json}");
        assert_eq!(rows(counters, "delivered"), 501, "{json}");
    }
}
