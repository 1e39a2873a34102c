//! `cargo storm`: sample programs on simulated processors in bad weather, from a seed on.

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use tests::storm::{Draw, FIRST_SEED, Totals, samples};

const USAGE: &str = "usage: cargo storm [--seed S] [--count N] [--twice] [--trace]
  --seed S    the first seed, decimal or 0x...; alone it means --count 1
  --count N   how many seeds (100)
  --twice     each seed twice; the traces must be the same
  --trace     print every event";

struct Arguments {
    seed: u64,
    count: u64,
    twice: bool,
    trace: bool,
}

fn number(text: Option<String>) -> Option<u64> {
    let text = text?;
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

fn parse(mut words: impl Iterator<Item = String>) -> Option<Arguments> {
    let (mut seed, mut count) = (None, None);
    let (mut twice, mut trace) = (false, false);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seed" => seed = Some(number(words.next())?),
            "--count" => count = Some(number(words.next())?),
            "--twice" => twice = true,
            "--trace" => trace = true,
            _ => return None,
        }
    }
    let usual = if seed.is_some() { 1 } else { 100 };
    Some(Arguments {
        seed: seed.unwrap_or(FIRST_SEED),
        count: count.unwrap_or(usual),
        twice,
        trace,
    })
}

/// To standard output; a reader that has gone away is not our problem.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn storm(arguments: &Arguments) -> Result<(), String> {
    let started = Instant::now();
    let samples = samples();
    let mut totals = Totals::default();
    for seed in (arguments.seed..).take(usize::try_from(arguments.count).unwrap_or(usize::MAX)) {
        let draw = Draw::new(seed, &samples);
        let begun = Instant::now();
        let report = draw.run(arguments.trace)?;
        say(&format!(
            "{draw}: {} in virtual time, {} events, {} ms, trace {:016x}",
            report.took,
            report.events,
            begun.elapsed().as_millis(),
            report.hash
        ));
        if arguments.twice && draw.run(false)?.hash != report.hash {
            return Err(format!(
                "{draw}\nstorm: the second run had another trace\n  replay {}",
                draw.replay()
            ));
        }
        report.stats.iter().for_each(|stats| totals.add(stats));
    }
    say(&format!(
        "{} seeds from {:#x} in {} s\n{totals}",
        arguments.count,
        arguments.seed,
        started.elapsed().as_secs()
    ));
    Ok(())
}

fn main() -> ExitCode {
    let Some(arguments) = parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match storm(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(told) => {
            say(&told);
            ExitCode::FAILURE
        }
    }
}
