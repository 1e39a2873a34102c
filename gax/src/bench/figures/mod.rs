//! The figures of the thesis about groups, drawn anew: delay by size, members and resilience, throughput, groups side by side; and
//! RPC beside them.
//!
//! Every point is measured over UDP with multicast on the loopback interface, in turn with a bare datagram program of the same message
//! pattern, the same lengths and the same placement (see `bare`). What is written is one SVG a figure, everything as JSON, and the table.
//!
//! Implements: [Thesis §3.5] Figures 3.19 and 3.21 to 3.26; DESIGN 12 and 13.
//! Differs: the largest size is 8 KB, not 8,000 bytes; groups side by side have at most 24 members in all.

mod bare;
mod chart;
mod corosync;
mod group;
mod load;
mod namespaces;
mod placement;
mod plan;
mod point;
mod svg;
mod thesis;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::json;

use super::Options;
use super::networks::cores;
use plan::{FIGURES, Figure};
use point::Point;

/// What the command line calls all of them.
pub const NAME: &str = "figures";

/// What a figure may be called on the command line.
pub fn names() -> impl Iterator<Item = &'static str> {
    FIGURES.iter().map(|figure| figure.name)
}

/// Measures the figures with these names, or all; writes them into a folder, and gives the table.
///
/// # Errors
/// What could not be written. What cannot be measured is said in the table.
pub fn run(options: &Options) -> Result<String, String> {
    let (only, rounds) = (&options.only, options.rounds);
    // Counted before any thread is pinned.
    cores::count();
    let folder = options.out.clone().unwrap_or_else(usual_folder);
    std::fs::create_dir_all(&folder)
        .map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let wanted = |figure: &&Figure| only.is_empty() || only.iter().any(|name| name == figure.name);
    let mut points = Vec::new();
    for figure in FIGURES.iter().filter(wanted) {
        let figure = &figure.placed(options.apart);
        eprintln!("{}: {}, {rounds} rounds", figure.name, figure.title);
        let measured = figure.measure(rounds);
        if figure.is_drawn {
            let chart = chart::of(figure, &measured);
            let file = format!("figure-{}.svg", figure.name);
            write(&folder.join(file), &chart.draw())?;
        }
        points.extend(measured);
    }
    let table = point::table(&points);
    let json = format!("{:#}\n", all_json(&points, rounds, options.apart));
    write(&folder.join("figures.json"), &json)?;
    write(&folder.join("summary.txt"), &table)?;
    Ok(table)
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    std::fs::write(file, text).map_err(|error| format!("cannot write {}: {error}", file.display()))
}

fn all_json(points: &[Point], rounds: u32, apart: bool) -> serde_json::Value {
    let figures = FIGURES.iter().filter_map(|figure| {
        let own = points.iter().filter(|point| point.figure == figure.name);
        let own: Vec<_> = own.map(Point::json).collect();
        (!own.is_empty()).then(|| {
            let figure = figure.placed(apart);
            json!({
                "figure": figure.name,
                "title": figure.title,
                "placement": figure.placement.text(),
                "points": own,
            })
        })
    });
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "network": "UDP with multicast on the loopback interface; beside corosync between namespaces on a bridge",
        "cores": cores::count(),
        "rounds": rounds,
        "figures": figures.collect::<Vec<_>>(),
        "thesis": thesis::all_json(),
    })
}

/// Where reports are, by day and number of cores.
fn usual_folder() -> PathBuf {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let days = since.map_or(0, |since| since.as_secs() / 86_400);
    let folder = format!("{}-{}-cores", day(days), cores::count());
    ["docs", "reports", &folder, NAME].iter().collect()
}

/// The day that begins so many days after 1970 began.
fn day(days: u64) -> String {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut left = days;
    let mut year = 1970;
    while left >= 365 + u64::from(is_leap(year)) {
        left -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", left + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_as_the_calendar_does() {
        let days = [0, 58, 59, 365, 11_016, 11_017, 20_785].map(day);
        let expected = [
            "1970-01-01",
            "1970-02-28",
            "1970-03-01",
            "1971-01-01",
            "2000-02-29",
            "2000-03-01",
            "2026-11-28",
        ];
        assert_eq!(days, expected);
    }
}
