//! Captures of programs that run under `gax`, also of one that is killed.
//!
//! The binaries and the run-time library must have been built before (`./check` does).

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use orca_rts::capture_file;

use super::codec::look_at_packet;
use super::tshark::Tshark;
use super::{GUESS, all_fields, cases, check_seen, root};

/// The folder of the binaries that were built with these tests.
fn binaries() -> PathBuf {
    let own = std::env::current_exe().expect("a test has a path");
    let folder = own.ancestors().nth(2).expect("tests lie in deps");
    let folder = folder.to_path_buf();
    assert!(
        folder.join("orcac").exists() && folder.join("gax").exists(),
        "orcac and gax are not in {}: run ./check, which builds them first",
        folder.display()
    );
    folder
}

fn run(command: &mut Command) {
    let output = command.output().expect("the command starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    assert_eq!(errors, "", "{command:?}");
}

/// The packets of a capture of bare packets, read without any of our code.
fn packets_of(path: &Path) -> Vec<Vec<u8>> {
    let file = fs::read(path).expect("a capture");
    let number = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().expect("four bytes"));
    assert_eq!((number(0), number(20)), (0xa1b2_3c4d, 147));
    let (mut packets, mut at) = (Vec::new(), 24);
    while at < file.len() {
        let end = at + 16 + number(at + 8) as usize;
        packets.push(file[at + 16..end].to_vec());
        at = end;
    }
    packets
}

/// Builds a program; gives its executable, in a folder of the test's own.
fn build(folder: &Path, source: &str) -> PathBuf {
    fs::create_dir_all(folder).expect("a folder of the test's own");
    let executable = folder.join("program");
    run(Command::new(binaries().join("orcac"))
        .arg("build")
        .arg(root().join(source))
        .arg("-o")
        .arg(&executable));
    executable
}

/// Every file of one processor is shown as the codec sees it; gives how many numbered broadcasts there
/// are in them.
fn check_processor(tshark: Option<&Tshark>, captures: &Path, number: u16, nets: usize) -> usize {
    let fields = all_fields(&cases::all());
    let mut broadcasts = 0;
    for network in 0..nets {
        let path = captures.join(capture_file(number, network, nets));
        let packets = packets_of(&path);
        let lines = packets
            .iter()
            .map(|packet| look_at_packet(packet, true).info);
        broadcasts += lines.filter(|line| line.contains(" | BCAST #")).count();
        let Some(tshark) = tshark else { continue };
        let shown = tshark.read(&path, &GUESS, &fields);
        assert_eq!(shown.len(), packets.len());
        for (shown, packet) in shown.iter().zip(&packets) {
            let seen = look_at_packet(packet, true);
            assert!(!seen.is_malformed, "{}", seen.info);
            check_seen(shown, &seen, &path.display().to_string());
        }
    }
    broadcasts
}

#[test]
fn what_processors_of_a_program_say_is_shown_as_the_codec_sees_it() {
    let folder = std::env::temp_dir().join(format!("dissector-run-{}", std::process::id()));
    let executable = build(&folder, "programs/pingpong/pingpong.orca");
    let tshark = Tshark::find("run");
    for (net, nets) in [("shm", 1), ("udp", 1), ("shm,udp", 2)] {
        let captures = folder.join(format!("made/by gax {net}"));
        run(Command::new(binaries().join("gax"))
            .args(["-n", "3", "--net", net, "--timeout", "120", "--capture"])
            .arg(&captures)
            .arg(&executable)
            .arg("50"));
        for number in 0..3 {
            let count = check_processor(tshark.as_ref(), &captures, number, nets);
            // A round is two writes, and every processor sees all of them.
            assert!(count >= 100, "processor {number}: {count} broadcasts");
        }
    }
    fs::remove_dir_all(folder).expect("it was there");
}

#[test]
fn a_killed_run_leaves_captures_that_end_with_a_whole_record() {
    let folder = std::env::temp_dir().join(format!("dissector-kill-{}", std::process::id()));
    let executable = build(&folder, "tests/launch/spin.orca");
    let mut child = Command::new(binaries().join("gax"))
        .args(["-n", "3", "--timeout", "120", "--capture"])
        .arg(&folder)
        .arg(&executable)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("gax starts");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("a pipe");
    let mut stdout = BufReader::new(stdout);
    stdout.read_line(&mut line).expect("a line");
    assert_eq!(line, "spinning\n");
    // Processors die with it, and no one has time to say anything.
    child.kill().expect("it runs");
    child.wait().expect("it ended");
    for number in 0..3 {
        let packets = packets_of(&folder.join(format!("processor-{number}.pcap")));
        let joined = packets.iter().any(|packet| {
            let line = look_at_packet(packet, true).info;
            line.contains(" | JOIN #")
        });
        assert!(joined, "processor {number}");
    }
    fs::remove_dir_all(folder).expect("it was there");
}

#[test]
fn a_folder_that_cannot_be_written_stops_the_run_before_it_begins() {
    let executable = binaries().join("orcac");
    let output = Command::new(binaries().join("gax"))
        .args(["-n", "2", "--capture", "/dev/null/captures"])
        .arg(executable)
        .output()
        .expect("gax starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(70), "{errors}");
    let expected = "gax: cannot make the folder `/dev/null/captures` for captures: ";
    assert!(
        errors.starts_with(expected) && errors.lines().count() == 1,
        "{errors}"
    );
}
