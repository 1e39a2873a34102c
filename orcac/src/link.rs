//! Objects and the run-time system to an executable, through the system's C compiler.
//!
//! The executable is not position-independent, and compiled code lies at a fixed address in it: a checkpoint of one process can be
//! restored in another. It is written under another name first, so that a failure leaves no half of one behind.
//!
//! Implements: [Thesis §4.5] linking with the run-time system.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use orca_abi::{TEXT_ADDRESS, TEXT_SECTION};

/// The run-time system's file name.
pub const RUNTIME: &str = "liborca_rts.a";

/// What the run-time system itself needs from the system.
const SYSTEM_LIBRARIES: [&str; 5] = ["-lgcc_s", "-lpthread", "-ldl", "-lm", "-lc"];

/// What to link.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The program's object file.
    pub object: Vec<u8>,
    /// C sources, objects and archives that the user named.
    pub foreign: Vec<PathBuf>,
    /// The executable.
    pub output: PathBuf,
    /// `--sysroot`.
    pub sysroot: Option<PathBuf>,
    /// `-g`: C sources are compiled with it, too.
    pub debug_info: bool,
    /// `-v`: shows the command.
    pub verbose: bool,
}

/// Why there is no executable.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("the run-time system `{RUNTIME}` was not found; looked for\n{}\n\
             in a source tree `{}` makes it, beside the compiler; `./install PREFIX` installs it; \
             `--sysroot DIR` or ORCA_SYSROOT=DIR says where it is", list(.0), build_command(.0))]
    RuntimeMissing(Vec<PathBuf>),
    #[error(
        "the C compiler `{0}`, which links programs, cannot be started: {1}; install one, or name it in the variable CC"
    )]
    LinkerMissing(String, io::Error),
    #[error("the C compiler `{command}` failed with {status}\n{output}")]
    LinkerFailed {
        command: String,
        status: String,
        output: String,
    },
    #[error("cannot write {}: {error}", .path.display())]
    Write { path: PathBuf, error: io::Error },
}

fn list(paths: &[PathBuf]) -> String {
    let lines: Vec<String> = paths
        .iter()
        .map(|path| format!("    {}", path.display()))
        .collect();
    lines.join("\n")
}

/// The command that makes the run-time system where it was looked for.
fn build_command(searched: &[PathBuf]) -> &'static str {
    if searched
        .iter()
        .any(|path| path.ends_with(Path::new("target/debug").join(RUNTIME)))
    {
        "cargo build -p orca-rts"
    } else {
        "cargo build --release -p orca-rts"
    }
}

/// Makes an executable. Gives what the linker said, which may be warnings.
pub fn link(request: &Request) -> Result<String, LinkError> {
    let runtime = find_runtime(request.sysroot.as_deref())?;
    let write_error = |path: &Path, error| LinkError::Write {
        path: path.to_owned(),
        error,
    };
    let temporary = Temporary::beside(&request.output);
    let object = temporary.path("o");
    let executable = temporary.path("exe");
    fs::write(&object, &request.object).map_err(|error| write_error(&object, error))?;

    let compiler = env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let mut command = Command::new(&compiler);
    command
        .args(arguments(request, &object, &runtime, &executable))
        .stdin(Stdio::null());
    let shown = if request.verbose {
        format!("{command:?}\n")
    } else {
        String::new()
    };
    let output = command
        .output()
        .map_err(|error| LinkError::LinkerMissing(compiler.clone(), error))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(LinkError::LinkerFailed {
            command: compiler,
            status: output.status.to_string(),
            output: said,
        });
    }
    fs::rename(&executable, &request.output)
        .map_err(|error| write_error(&request.output, error))?;
    Ok(shown + &said)
}

fn arguments(request: &Request, object: &Path, runtime: &Path, executable: &Path) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["-no-pie".into(), "-o".into(), executable.into()];
    if request.debug_info {
        arguments.push("-g".into());
    } else {
        arguments.push("-Wl,--strip-debug".into());
    }
    arguments.push("-Wl,--gc-sections".into());
    arguments.push(format!("-Wl,--section-start={TEXT_SECTION}={TEXT_ADDRESS:#x}").into());
    arguments.push(object.into());
    arguments.extend(
        request
            .foreign
            .iter()
            .map(|file| file.as_os_str().to_owned()),
    );
    arguments.push(runtime.into());
    arguments.extend(SYSTEM_LIBRARIES.map(OsString::from));
    arguments
}

/// Files that are gone when the link is over, however it ends.
struct Temporary {
    stem: PathBuf,
}

impl Temporary {
    fn beside(output: &Path) -> Temporary {
        let name = output.file_name().unwrap_or_default().to_string_lossy();
        Temporary {
            stem: output.with_file_name(format!(".{name}.{}", std::process::id())),
        }
    }

    fn path(&self, extension: &str) -> PathBuf {
        let mut name = self.stem.clone().into_os_string();
        name.push(".");
        name.push(extension);
        name.into()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        for extension in ["o", "exe"] {
            // It may never have been made, or have got its final name.
            let _ = fs::remove_file(self.path(extension));
        }
    }
}

/// Where the run-time system is.
pub fn find_runtime(sysroot: Option<&Path>) -> Result<PathBuf, LinkError> {
    let candidates = candidates(
        sysroot,
        env::var_os("ORCA_SYSROOT"),
        env::current_exe().ok(),
    );
    match candidates.iter().find(|path| path.is_file()) {
        Some(path) => Ok(path.clone()),
        None => Err(LinkError::RuntimeMissing(candidates)),
    }
}

/// The places to look at, in order. Who names a place means it: then no other is looked at.
fn candidates(
    sysroot: Option<&Path>,
    variable: Option<OsString>,
    compiler: Option<PathBuf>,
) -> Vec<PathBuf> {
    let inside = |root: &Path| vec![root.join(RUNTIME), root.join("lib/orca").join(RUNTIME)];
    if let Some(sysroot) = sysroot {
        return inside(sysroot);
    }
    if let Some(variable) = variable.filter(|variable| !variable.is_empty()) {
        return inside(Path::new(&variable));
    }
    let Some(folder) = compiler.as_deref().and_then(Path::parent) else {
        return Vec::new();
    };
    let mut candidates = vec![folder.join(RUNTIME)];
    candidates.extend(
        folder
            .parent()
            .map(|prefix| prefix.join("lib/orca").join(RUNTIME)),
    );
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(sysroot: Option<&str>, variable: Option<&str>) -> Vec<String> {
        let compiler = Some(PathBuf::from("/opt/orca/bin/orcac"));
        let found = candidates(
            sysroot.map(Path::new),
            variable.map(OsString::from),
            compiler,
        );
        found
            .iter()
            .map(|path| path.display().to_string())
            .collect()
    }

    #[test]
    fn a_named_sysroot_is_the_only_place_that_is_looked_at() {
        assert_eq!(
            shown(Some("/s"), Some("/v")),
            ["/s/liborca_rts.a", "/s/lib/orca/liborca_rts.a"]
        );
        assert_eq!(
            shown(None, Some("/v")),
            ["/v/liborca_rts.a", "/v/lib/orca/liborca_rts.a"]
        );
    }

    #[test]
    fn without_a_sysroot_the_compiler_looks_beside_itself() {
        assert_eq!(
            shown(None, None),
            [
                "/opt/orca/bin/liborca_rts.a",
                "/opt/orca/lib/orca/liborca_rts.a"
            ]
        );
    }

    #[test]
    fn a_missing_runtime_says_where_it_was_looked_for_and_what_makes_it() {
        let error = find_runtime(Some(Path::new("/nowhere"))).expect_err("there is no such folder");
        let message = error.to_string();
        assert!(
            message.contains("    /nowhere/lib/orca/liborca_rts.a"),
            "{message}"
        );
        assert!(
            message.contains("cargo build --release -p orca-rts"),
            "{message}"
        );
    }
}
