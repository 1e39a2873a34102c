//! The command `gax`; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    let status = std::panic::catch_unwind(|| gax::run(std::env::args_os())).unwrap_or_else(|_| {
        let command: Vec<String> = std::env::args().collect();
        eprintln!(
            "gax {}: internal error in: {}",
            env!("CARGO_PKG_VERSION"),
            command.join(" ")
        );
        gax::status::INTERNAL
    });
    ExitCode::from(status)
}
