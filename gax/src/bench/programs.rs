//! The sample programs against their sequential twins in C, and against themselves on more processors.
//!
//! Every round runs the C twin, the program on one processor, and the program under `gax` on each other number of processors, in
//! this order, so that whatever else the machine does falls on all alike. Ratios are taken within a round; what is printed is their
//! median with a 95 % interval from a seeded bootstrap. All runs must print the same, or there is no figure. What runs on
//! one processor is pinned to one core where `taskset` is there.
//!
//! It measures whole runs, the start of the processes included.
//!
//! Implements: [Thesis §4.8] Figures 4.13, 4.16 and 4.19, as ratios.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::json;

use super::Options;
use super::statistics::{Estimate, estimate, ratio};

/// The programs with a benchmark, and by how much the first compiler was behind C.
pub const PROGRAMS: &[(&str, Option<f64>)] = &[
    ("tsp", Some(6.6)),
    ("asp", Some(3.5)),
    ("sor", Some(2.2)),
    ("ab", None),
    ("pingpong", None),
];

/// Something that was built and can be run.
struct Variant {
    title: String,
    command: Vec<String>,
}

/// Times of one program: seconds, a list for each variant, in rounds.
struct Measured {
    name: &'static str,
    arguments: String,
    thesis: Option<f64>,
    titles: Vec<String>,
    times: Vec<Vec<f64>>,
}

/// Times the programs with these names; gives the table, and everything as JSON.
///
/// # Errors
/// What could not be built or run.
pub fn run(names: &[&str], options: &Options) -> Result<(String, serde_json::Value), String> {
    let bin = match &options.bin {
        Some(bin) => bin.clone(),
        None => beside_this_command()?,
    };
    // Programs run in their own folders, so a relative path would not do.
    let bin = std::fs::canonicalize(&bin)
        .map_err(|error| format!("there is no folder {}: {error}", bin.display()))?;
    let scratch = Scratch::new()?;
    let mut all = Vec::new();
    for (name, thesis) in PROGRAMS.iter().filter(|(name, _)| names.contains(name)) {
        let folder = options.programs.join(name);
        let arguments = match &options.args {
            Some(arguments) => arguments.clone(),
            None => read(&folder.join("bench"))?.trim().to_owned(),
        };
        let variants = build(
            name,
            &folder,
            &arguments,
            &bin,
            &scratch.folder,
            &options.processors,
        )?;
        eprintln!("{name} {arguments}: {} rounds", options.rounds);
        all.push(Measured {
            name,
            thesis: *thesis,
            times: measure(&variants, &folder, options.rounds)?,
            titles: variants.into_iter().map(|v| v.title).collect(),
            arguments,
        });
    }
    Ok((table(&all), all_json(&all)))
}

fn beside_this_command() -> Result<PathBuf, String> {
    let me = std::env::current_exe().map_err(|error| format!("where am I? {error}"))?;
    Ok(me.parent().unwrap_or(Path::new(".")).to_owned())
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))
}

/// A folder of this run's own that goes away with it.
struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    fn new() -> Result<Scratch, String> {
        let folder = std::env::temp_dir().join(format!("orca-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder)
            .map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        Ok(Scratch { folder })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed from the folder for temporary files stays there.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Compiles both, and lists what is to be run: the C twin first, then one processor, then more.
fn build(
    name: &str,
    folder: &Path,
    arguments: &str,
    bin: &Path,
    scratch: &Path,
    processors: &[u16],
) -> Result<Vec<Variant>, String> {
    let main = ["orca", "imp"]
        .iter()
        .map(|kind| folder.join(format!("{name}.{kind}")))
        .find(|path| path.exists())
        .ok_or_else(|| format!("there is no program in {}", folder.display()))?;
    let twin = scratch.join(format!("{name}-c"));
    let exe = scratch.join(name);
    let cc = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let source = folder.join("c").join(format!("{name}.c"));
    must(
        Command::new(&cc)
            .args(["-O2", "-o"])
            .arg(&twin)
            .arg(source)
            .arg("-lm"),
    )?;
    must(
        Command::new(bin.join("orcac"))
            .args(["build", "-O2"])
            .arg(main)
            .arg("-o")
            .arg(&exe),
    )?;

    let text = |path: &Path| path.to_string_lossy().into_owned();
    let pinned: &[&str] = if has_taskset() {
        &["taskset", "-c", "0"]
    } else {
        &[]
    };
    let command = |front: &[&str], path: &Path| -> Vec<String> {
        (front.iter().map(|word| (*word).to_owned()))
            .chain([text(path)])
            .chain(arguments.split_whitespace().map(str::to_owned))
            .collect()
    };
    let mut variants = vec![
        Variant {
            title: "C".to_owned(),
            command: command(pinned, &twin),
        },
        Variant {
            title: "1".to_owned(),
            command: command(pinned, &exe),
        },
    ];
    let gax = text(&bin.join("gax"));
    for count in processors {
        let count = count.to_string();
        variants.push(Variant {
            command: command(&[&gax, "-n", &count], &exe),
            title: count,
        });
    }
    Ok(variants)
}

fn must(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{name} failed: {status}")),
        Err(error) => Err(format!("cannot run {name}: {error}")),
    }
}

fn has_taskset() -> bool {
    Command::new("taskset")
        .args(["-c", "0", "true"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs all variants in turn, round after round; the first round also warms up and is not counted.
fn measure(variants: &[Variant], folder: &Path, rounds: u32) -> Result<Vec<Vec<f64>>, String> {
    let mut times = vec![Vec::new(); variants.len()];
    let mut expected: Option<Vec<u8>> = None;
    for round in 0..=rounds {
        for (variant, times) in variants.iter().zip(&mut times) {
            let begun = Instant::now();
            let output = Command::new(&variant.command[0])
                .args(&variant.command[1..])
                .current_dir(folder)
                .stdin(Stdio::null())
                .stderr(Stdio::inherit())
                .output()
                .map_err(|error| format!("cannot run {}: {error}", variant.command[0]))?;
            let time = begun.elapsed().as_secs_f64();
            let words = variant.command.join(" ");
            if !output.status.success() {
                return Err(format!("`{words}` failed: {}", output.status));
            }
            match &expected {
                None => expected = Some(output.stdout),
                Some(expected) if *expected == output.stdout => {}
                Some(expected) => {
                    return Err(format!(
                        "`{words}` printed {:?}, the C twin {:?}",
                        String::from_utf8_lossy(&output.stdout),
                        String::from_utf8_lossy(expected)
                    ));
                }
            }
            if round > 0 {
                times.push(time);
            }
        }
    }
    Ok(times)
}

fn table(all: &[Measured]) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{:<22} {:>10} {:>10}  {:<24} thesis  speed-up",
        "program", "C, ms", "Orca, ms", "Orca / C [95 %]"
    );
    for m in all {
        let ms = |times: &[f64]| format!("{:.1}", estimate(times).median * 1000.0);
        let behind = ratio(&m.times[1], &m.times[0]);
        let _ = write!(
            text,
            "{:<22} {:>10} {:>10}  {:<24} {:<6}",
            format!("{} {}", m.name, m.arguments),
            ms(&m.times[0]),
            ms(&m.times[1]),
            behind.to_string(),
            m.thesis.map_or("-".to_owned(), |thesis| thesis.to_string()),
        );
        for (title, times) in m.titles.iter().zip(&m.times).skip(2) {
            let gain = ratio(&m.times[1], times);
            let _ = write!(text, "  {title}: {gain}");
        }
        text.push('\n');
    }
    text
}

fn all_json(all: &[Measured]) -> serde_json::Value {
    let interval = |e: Estimate| json!({ "median": e.median, "low": e.low, "high": e.high });
    let programs: Vec<_> = all
        .iter()
        .map(|m| {
            let runs: Vec<_> = (m.titles.iter().zip(&m.times).enumerate())
                .map(|(place, (title, times))| {
                    let on = if place == 0 {
                        "C".into()
                    } else {
                        json!(title.parse::<u16>().ok())
                    };
                    json!({
                        "processors": on,
                        "seconds": interval(estimate(times)),
                        "behind_c": interval(ratio(times, &m.times[0])),
                        "speed_up": interval(ratio(&m.times[1], times)),
                        "rounds": times,
                    })
                })
                .collect();
            json!({ "program": m.name, "arguments": m.arguments, "thesis": m.thesis, "runs": runs })
        })
        .collect();
    json!(programs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_ratio_and_speed_up() {
        let measured = Measured {
            name: "asp",
            arguments: "500".to_owned(),
            thesis: Some(3.5),
            titles: vec!["C".into(), "1".into(), "2".into()],
            times: vec![vec![0.1; 3], vec![0.2; 3], vec![0.125; 3]],
        };
        let text = table(&[measured]);
        assert!(text.contains("2.00 [2.00, 2.00]"), "{text}");
        assert!(text.contains("2: 1.60 [1.60, 1.60]"), "{text}");
    }
}
