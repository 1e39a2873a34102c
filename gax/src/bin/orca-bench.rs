//! `orca-bench [NAME...]`: benchmarks, as ratios. See [`gax::bench`].

use std::process::ExitCode;

use clap::Parser;
use gax::bench::{Options, bench};

fn main() -> ExitCode {
    match bench(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("orca-bench: {message}");
            ExitCode::FAILURE
        }
    }
}
