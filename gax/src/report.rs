//! Statistics for readers and for programs.

use std::collections::BTreeMap;
use std::fmt::Write;

use orca_rts::control_channel::Counter;
use serde_json::json;

use crate::options::StatsForm;

/// What each processor counted, in the order of their numbers, and the sums.
///
/// Implements: [Thesis §4.8.1] Figure 4.12, messages per primitive and their bytes.
pub fn stats(form: StatsForm, processors: &[Vec<Counter>]) -> String {
    match form {
        StatsForm::Table => table(processors),
        StatsForm::Json => json(processors),
    }
}

fn table(processors: &[Vec<Counter>]) -> String {
    let all: Vec<Counter> = total(processors);
    let width = all.iter().map(|c| c.name.len()).max().unwrap_or(0).max(16);
    let mut text = String::new();
    let mut block = |title: &str, counters: &[Counter]| {
        let _ = writeln!(text, "{title:<width$}  {:>12} {:>14}", "number", "bytes");
        for counter in counters {
            let _ = writeln!(
                text,
                "{:<width$}  {:>12} {:>14}",
                counter.name, counter.count, counter.bytes
            );
        }
    };
    for (number, counters) in processors.iter().enumerate() {
        block(&format!("processor {number}"), counters);
    }
    block("all processors", &all);
    text
}

fn json(processors: &[Vec<Counter>]) -> String {
    let counters = |counters: &[Counter]| -> serde_json::Value {
        counters
            .iter()
            .map(|c| {
                (
                    c.name.clone(),
                    json!({ "number": c.count, "bytes": c.bytes }),
                )
            })
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let each: Vec<_> = processors
        .iter()
        .enumerate()
        .map(|(number, list)| json!({ "processor": number, "counters": counters(list) }))
        .collect();
    let all = json!({ "processors": each, "all": counters(&total(processors)) });
    format!("{all}\n")
}

/// Sums by name; the order is that of the names' first appearance.
fn total(processors: &[Vec<Counter>]) -> Vec<Counter> {
    let mut sums: Vec<Counter> = Vec::new();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for counter in processors.iter().flatten() {
        match places.get(counter.name.as_str()) {
            Some(place) => {
                let sum = &mut sums[*place];
                sum.count = sum.count.saturating_add(counter.count);
                sum.bytes = sum.bytes.saturating_add(counter.bytes);
            }
            None => {
                places.insert(&counter.name, sums.len());
                sums.push(counter.clone());
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(count: u64) -> Vec<Counter> {
        vec![
            Counter {
                name: "group send".into(),
                count,
                bytes: 2000 * count,
            },
            Counter {
                name: "group receive".into(),
                count: 4 * count,
                bytes: 8000 * count,
            },
        ]
    }

    #[test]
    fn the_table_has_a_block_for_each_processor_and_the_sums() {
        let text = stats(StatsForm::Table, &[counters(1), counters(2)]);
        let expected = "\
processor 0             number          bytes
group send                   1           2000
group receive                4           8000
processor 1             number          bytes
group send                   2           4000
group receive                8          16000
all processors          number          bytes
group send                   3           6000
group receive               12          24000
";
        assert_eq!(text, expected);
    }

    #[test]
    fn json_has_counters_by_name() {
        let text = stats(StatsForm::Json, &[counters(1), counters(2)]);
        let value: serde_json::Value = serde_json::from_str(&text).expect("valid JSON");
        assert_eq!(
            value["processors"][1]["counters"]["group send"]["number"],
            2
        );
        assert_eq!(value["all"]["group receive"]["bytes"], 24000);
    }
}
