//! `orca-bench`: the sample programs against their twins in C, the networks against bare sockets, and the thesis' figures about
//! groups against bare datagram programs.
//!
//! Every figure is a ratio: the reference runs in the same round, on the same cores, before or after what is measured. What is printed is
//! the median over the rounds with a 95 % interval from a seeded bootstrap.
//!
//! Implements: DESIGN 12 and 13.

pub mod figures;
pub mod networks;
pub mod programs;
pub mod statistics;

use std::path::PathBuf;

use clap::Parser;
use clap::builder::PossibleValuesParser;
use serde_json::json;

#[derive(Parser, Debug)]
#[command(
    name = "orca-bench",
    version,
    about = "Times programs against C, networks and groups against bare sockets",
    after_help = "`orca-bench figures` draws the thesis' figures about groups anew, and writes them as SVG and JSON. \
                  Nothing else should run meanwhile."
)]
pub struct Options {
    /// What to time [default: all but `figures`; --list names them]
    #[arg(value_parser = PossibleValuesParser::new(known()), hide_possible_values = true)]
    pub names: Vec<String>,
    /// Name what can be timed, and time nothing
    #[arg(long)]
    pub list: bool,
    /// Rounds of each
    #[arg(long, default_value_t = 21, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rounds: u32,
    /// Numbers of processors, besides one, that each program runs on
    #[arg(long, value_delimiter = ',', default_values_t = [2u16], value_name = "K,L")]
    pub processors: Vec<u16>,
    /// Where the programs are
    #[arg(long, default_value = "programs", value_name = "DIR")]
    pub programs: PathBuf,
    /// Where orcac and gax are [default: beside this command]
    #[arg(long, value_name = "DIR")]
    pub bin: Option<PathBuf>,
    /// Arguments for the program instead of those in its file `bench`
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true)]
    pub args: Option<String>,
    /// Of `figures` only these, such as 3.19,3.25,rpc
    #[arg(long, value_delimiter = ',', value_name = "FIGURE", value_parser = PossibleValuesParser::new(figures::names()))]
    pub only: Vec<String>,
    /// In figures of delay, run members that neither send nor number on a core of their own, not on the one core of all
    #[arg(long)]
    pub apart: bool,
    /// Where `figures` are written [default: docs/reports/<date>-<cores>-cores/figures]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Also write everything as JSON, each round included; `-` is standard output instead of the table
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Everything that is timed if nothing is named.
fn usual() -> Vec<&'static str> {
    let programs = programs::PROGRAMS.iter().map(|(name, _)| *name);
    programs.chain(networks::NAMES.iter().copied()).collect()
}

/// Everything that can be timed.
fn known() -> Vec<&'static str> {
    usual().into_iter().chain([figures::NAME]).collect()
}

/// Times what was asked for, and prints it.
///
/// # Errors
/// What could not be run, for the user.
pub fn bench(options: &Options) -> Result<(), String> {
    if networks::alone() {
        return Ok(());
    }
    if options.list {
        known().iter().for_each(|name| println!("{name}"));
        return Ok(());
    }
    let names: Vec<&str> = match options.names.as_slice() {
        [] => usual(),
        names => names.iter().map(String::as_str).collect(),
    };
    let mut text = String::new();
    let is_program = |name: &&str| usual().contains(name) && !networks::NAMES.contains(name);
    let (table, programs) = match names.iter().any(is_program) {
        true => programs::run(&names, options)?,
        false => (String::new(), json!([])),
    };
    text += &table;
    let (table, networks) = match names.iter().any(|name| networks::NAMES.contains(name)) {
        true => networks::run(&names, options.rounds)?,
        false => (String::new(), json!([])),
    };
    text += &table;
    if names.contains(&figures::NAME) {
        text += &figures::run(options)?;
    }
    let json = json!({
        "rounds": options.rounds,
        "version": env!("CARGO_PKG_VERSION"),
        "programs": programs,
        "networks": networks,
    });
    match &options.json {
        Some(file) if file.as_os_str() == "-" => println!("{json:#}"),
        Some(file) => {
            print!("{text}");
            std::fs::write(file, format!("{json:#}\n"))
                .map_err(|error| format!("cannot write {}: {error}", file.display()))?;
        }
        None => print!("{text}"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_refused_with_the_known_ones() {
        let error = Options::try_parse_from(["orca-bench", "tps"]).expect_err("there is none");
        let text = error.to_string();
        for name in known() {
            assert!(text.contains(name), "{text}");
        }
        assert_eq!(error.exit_code(), 2);
    }
}
