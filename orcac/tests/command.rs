//! The command `orcac` as users see it: exit statuses, messages, and that programs do the same however they are compiled and run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder of its own for one test, empty at first.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("command")
        .join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("the folder can be made");
    folder
}

fn orcac(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orcac"));
    command
        .args(arguments)
        .current_dir(folder)
        .env_remove("ORCA_SYSROOT");
    command.output().expect("orcac can be started")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Status, standard output, standard error.
fn outcome(output: &Output) -> (i32, String, String) {
    (
        output.status.code().unwrap_or(-1),
        text(&output.stdout),
        text(&output.stderr),
    )
}

const ARITHMETIC: &str = r#"MODULE IMPLEMENTATION t1;
  PROCESS OrcaMain();
    i: integer; s: string;
  BEGIN
    i := 7; Write(i / 2, " ", -i / 2, " ", (0 - i) % 2, " ", ORD(MAX(char)), " ");
    Write(0.1, " ", 1000000.0, " ");
    s := "ab";
    IF (s = "ab") AND ODD(i) THEN WriteLine("true-branch"); FI;
  END;
END;
"#;

const SHARED: &str = r#"OBJECT SPECIFICATION acc;
  OPERATION add(v: integer);
  OPERATION await(n: integer): integer;
END;
OBJECT IMPLEMENTATION acc;
  sum, cnt: integer;
  OPERATION add(v: integer); BEGIN sum +:= v; cnt +:= 1; END;
  OPERATION await(n: integer): integer;
  BEGIN GUARD cnt = n DO RETURN sum; OD; END;
END;
MODULE IMPLEMENTATION t2;
  IMPORT acc;
  PROCESS w(a: SHARED acc; k: integer); BEGIN a$add(k); END;
  PROCESS OrcaMain();
    a: acc;
  BEGIN
    FOR k IN 1 .. 10 DO FORK w(a, k) ON(k % NCPUS()); OD;
    WriteLine(a$await(10));
  END;
END;
"#;

const BOUNDS: &str = r#"MODULE IMPLEMENTATION t3;
  TYPE v = ARRAY[integer] OF integer;
  PROCESS OrcaMain();
    a: v[1 .. 5]; e: v;
  BEGIN
    WriteLine(LB(e), " ", UB(e), " ", SIZE(a));
    e := a; e[5] := 1; a[6] := 1;
  END;
END;
"#;

const ARGUMENTS: &str = r#"MODULE IMPLEMENTATION t4;
  IMPORT args;
  PROCESS OrcaMain();
  BEGIN
    FOR i IN 1 .. args.Argc() - 1 DO WriteLine(args.Argv(i)); OD;
  END;
END;
"#;

/// Runs a program at every level, on one processor and on three.
fn check_run(name: &str, source: &str, expected: (i32, &str, &str)) {
    let folder = folder(name);
    let file = format!("{name}.orca");
    fs::write(folder.join(&file), source).expect("the file can be written");
    for level in ["-O0", "-O1", "-O2"] {
        for processors in ["1", "3"] {
            let found = orcac(&folder, &["run", level, "-n", processors, &file]);
            let (status, stdout, stderr) = expected;
            assert_eq!(
                outcome(&found),
                (status, stdout.to_owned(), stderr.to_owned()),
                "{level} -n {processors}"
            );
        }
    }
}

#[test]
fn arithmetic_and_formats_are_those_of_the_language() {
    check_run(
        "t1",
        ARITHMETIC,
        (0, "3 -3 -1 255 0.1 1e+06 true-branch\n", ""),
    );
}

#[test]
fn a_shared_object_gives_the_same_on_any_number_of_processors() {
    check_run("t2", SHARED, (0, "55\n", ""));
}

#[test]
fn a_run_time_error_has_its_line_and_status_70() {
    let error = "Run-time error on CPU 0, file \"t3.orca\", line 7, in process t3.OrcaMain: array bound error\n";
    check_run("t3", BOUNDS, (70, "0 -1 5\n", error));
}

#[test]
fn arguments_behind_two_dashes_are_the_programs() {
    let folder = folder("t4");
    fs::write(folder.join("t4.orca"), ARGUMENTS).expect("the file can be written");
    let found = orcac(&folder, &["run", "t4.orca", "--", "-n", "x y", "--help"]);
    assert_eq!(
        outcome(&found),
        (0, "-n\nx y\n--help\n".to_owned(), String::new())
    );
}

#[test]
fn an_executable_runs_as_it_stands_or_the_command_that_is_missing_is_named() {
    let folder = folder("t5");
    fs::write(folder.join("t5.orca"), SHARED.replace("t2", "t5")).expect("the file can be written");
    let found = orcac(&folder, &["build", "t5.orca"]);
    let (status, stdout, stderr) = outcome(&found);
    if stderr.contains("was not found") {
        // `cargo test` does not make the run-time system's archive.
        assert_eq!((status, stdout.as_str()), (1, ""));
        assert!(stderr.contains("cargo build"), "{stderr}");
        assert!(!folder.join("t5").exists());
        return;
    }
    assert_eq!((status, stdout.as_str(), stderr.as_str()), (0, "", ""));
    let ran = Command::new(folder.join("t5"))
        .output()
        .expect("the executable can be started");
    assert_eq!(outcome(&ran), (0, "55\n".to_owned(), String::new()));
    let left: Vec<_> = fs::read_dir(&folder)
        .expect("it is there")
        .flatten()
        .collect();
    assert_eq!(left.len(), 2, "temporary files are left: {left:?}");
}

#[test]
fn statuses_tell_what_is_wrong() {
    let folder = folder("statuses");
    fs::write(
        folder.join("wrong.orca"),
        "MODULE IMPLEMENTATION wrong;\nx\n",
    )
    .expect("writable");
    fs::write(folder.join("right.orca"), ARITHMETIC.replace("t1", "right")).expect("writable");
    let status = |arguments: &[&str]| outcome(&orcac(&folder, arguments)).0;
    assert_eq!(status(&["check", "right.orca"]), 0);
    assert_eq!(status(&["check", "wrong.orca"]), 1);
    assert_eq!(status(&["run", "wrong.orca"]), 1);
    assert_eq!(status(&["build", "wrong.orca"]), 1);
    assert_eq!(status(&["build", "missing.orca"]), 1);
    assert_eq!(status(&["run", "missing.orca"]), 66);
    assert_eq!(status(&["run", "right.pas"]), 2);
    assert_eq!(status(&["run", "right.orca", "--nonsense"]), 2);
    assert_eq!(status(&["run", "-n", "0", "right.orca"]), 2);
    assert_eq!(status(&["build", "-O", "3", "right.orca"]), 2);
    assert_eq!(status(&["build", "right.orca", "-o", "right.orca"]), 2);
    assert_eq!(status(&[]), 2);
    assert_eq!(status(&["--version"]), 0);
    assert_eq!(status(&["--help"]), 0);
    assert_eq!(status(&["explain", "E0201"]), 0);
    assert_eq!(status(&["explain", "nothing"]), 2);
}

#[test]
fn a_mistyped_option_or_command_gets_a_suggestion() {
    let folder = folder("suggestions");
    let message = |arguments: &[&str]| outcome(&orcac(&folder, arguments)).2;
    assert!(message(&["biuld", "x.orca"]).contains("'build'"));
    assert!(message(&["run", "--time-phase", "x.orca"]).contains("'--time-phases'"));
}

#[test]
fn short_messages_have_file_line_and_column() {
    let folder = folder("short");
    let source = "MODULE IMPLEMENTATION m;\n  PROCESS OrcaMain();\n  BEGIN\n    nothing := 1;\n  END;\nEND;\n";
    fs::write(folder.join("m.orca"), source).expect("the file can be written");
    let (status, stdout, stderr) = outcome(&orcac(
        &folder,
        &["check", "--message-format", "short", "m.orca"],
    ));
    assert_eq!((status, stdout.as_str()), (1, ""));
    assert!(stderr.starts_with("m.orca:4:5: error[E03"), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[test]
fn every_phase_has_a_text_form() {
    let folder = folder("dump");
    fs::write(folder.join("t2.orca"), SHARED).expect("the file can be written");
    let shown = |phase: &str| {
        let (status, stdout, stderr) = outcome(&orcac(&folder, &["dump", phase, "t2.orca"]));
        assert_eq!((status, stderr.as_str()), (0, ""), "{phase}");
        stdout
    };
    assert!(shown("tokens").contains("OBJECT"));
    assert!(shown("ast").contains("acc"));
    assert!(shown("hir").contains("acc"));
    assert!(shown("mir").contains("function f0 \"t2.OrcaMain\" r0 process {"));
    assert!(shown("clif").contains("; f0 t2.OrcaMain\nfunction"));
    assert!(shown("asm").contains("retq"));
}
