//! The command `flipd`; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    let ran = std::panic::catch_unwind(|| gax::flipd::run(std::env::args_os()));
    ExitCode::from(ran.unwrap_or_else(|_| {
        let command: Vec<String> = std::env::args().collect();
        eprintln!(
            "flipd {}: internal error in: {}",
            env!("CARGO_PKG_VERSION"),
            command.join(" ")
        );
        gax::status::INTERNAL
    }))
}
