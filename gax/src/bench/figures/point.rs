//! One point of a figure: what was measured round by round, the references beside it, and whether limits were kept.

use std::fmt::Write as _;

use serde_json::json;

use crate::bench::statistics::{Estimate, estimate, ratio};

/// What the numbers of a figure are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Seconds a message.
    Seconds,
    /// Messages a second.
    Rate,
}

/// What the ratio of ours to a reference has to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

impl Limit {
    pub(super) fn is_kept(self, ratio: f64) -> bool {
        match self {
            Limit::AtMost(limit) => ratio <= limit,
            Limit::AtLeast(limit) => ratio >= limit,
        }
    }

    /// How far from the limit, as a factor; above one it is missed.
    fn excess(self, ratio: f64) -> f64 {
        match self {
            Limit::AtMost(limit) => ratio / limit,
            Limit::AtLeast(limit) => limit / ratio,
        }
    }

    fn text(self) -> String {
        match self {
            Limit::AtMost(limit) => format!("at most {limit:.2}"),
            Limit::AtLeast(limit) => format!("at least {limit:.2}"),
        }
    }
}

/// Something that was measured in the same rounds.
#[derive(Clone, Debug)]
pub(super) struct Reference {
    pub name: &'static str,
    pub limit: Option<Limit>,
    /// The rounds, or why there are none.
    pub values: Result<Vec<f64>, String>,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Point {
    pub figure: &'static str,
    pub unit: Unit,
    pub series: String,
    /// What is on the axis, and its value here.
    pub axis: &'static str,
    pub x: f64,
    pub ours: Result<Vec<f64>, String>,
    pub references: Vec<Reference>,
}

/// One thing that is measured in turn with others.
pub(super) type Side<'a> = Box<dyn FnMut() -> Result<f64, String> + 'a>;

/// Measures all sides in turn, each round in the other direction. The first round also warms up and is not counted. A side that fails
/// is left out from then on.
pub(super) fn interleave(rounds: u32, mut sides: Vec<Side<'_>>) -> Vec<Result<Vec<f64>, String>> {
    let mut values = vec![Ok(Vec::new()); sides.len()];
    for round in 0..=rounds {
        let mut order: Vec<usize> = (0..sides.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for at in order {
            let Ok(list) = &mut values[at] else { continue };
            match sides[at]() {
                Ok(value) if round > 0 => list.push(value),
                Ok(_) => {}
                Err(why) => values[at] = Err(why),
            }
        }
    }
    values
}

impl Reference {
    /// Ours to this one, within each round.
    pub(super) fn ratio(&self, ours: &[f64]) -> Option<Estimate> {
        let values = self.values.as_ref().ok()?;
        Some(ratio(ours, values))
    }
}

impl Point {
    pub(super) fn median(&self) -> Option<f64> {
        let ours = self.ours.as_ref().ok()?;
        Some(estimate(ours).median)
    }

    /// Each reference with the ratio to it.
    pub(super) fn ratios(&self) -> impl Iterator<Item = (&Reference, Estimate)> {
        let ours = self.ours.as_ref().ok();
        let ratio = move |one: &'_ Reference| one.ratio(ours?);
        (self.references.iter()).filter_map(move |one| Some((one, ratio(one)?)))
    }

    pub(super) fn json(&self) -> serde_json::Value {
        let interval = |e: Estimate| json!({ "median": e.median, "low": e.low, "high": e.high });
        let references = self.references.iter().map(|one| {
            let ours = self.ours.as_ref().ok();
            let ratio = ours.and_then(|ours| one.ratio(ours));
            let kept = one.limit.zip(ratio);
            json!({
                "reference": one.name,
                "rounds": one.values.as_ref().ok(),
                "skipped": one.values.as_ref().err(),
                "ratio": ratio.map(interval),
                "limit": one.limit.map(Limit::text),
                "kept": kept.map(|(limit, ratio)| limit.is_kept(ratio.median)),
            })
        });
        json!({
            "figure": self.figure,
            "series": self.series,
            "axis": self.axis,
            "x": self.x,
            "unit": match self.unit { Unit::Seconds => "s", Unit::Rate => "1/s" },
            "orca": self.ours.as_ref().ok().map(|ours| interval(estimate(ours))),
            "rounds": self.ours.as_ref().ok(),
            "skipped": self.ours.as_ref().err(),
            "references": references.collect::<Vec<_>>(),
        })
    }

    fn value(&self, seconds_or_rate: f64) -> String {
        match self.unit {
            Unit::Seconds => format!("{:.2} us", seconds_or_rate * 1e6),
            Unit::Rate => format!("{seconds_or_rate:.0} /s"),
        }
    }

    fn row(&self, table: &mut String) {
        let place = format!("{} {}", self.x, self.axis);
        let _ = write!(table, "{:<9} {:<22} {place:<12}", self.figure, self.series);
        match &self.ours {
            Err(why) => {
                let _ = writeln!(table, " skipped: {why}");
                return;
            }
            Ok(ours) => {
                let _ = write!(table, " {:>15}", self.value(estimate(ours).median));
            }
        }
        for (at, one) in self.references.iter().enumerate() {
            if at > 0 {
                let _ = write!(table, "\n{:<61}", "");
            }
            let ours = self.ours.as_ref().expect("looked at above");
            let Some(ratio) = one.ratio(ours) else {
                let why = one.values.as_ref().expect_err("no ratio");
                let _ = write!(table, "  {:<14} skipped: {why}", one.name);
                continue;
            };
            let values = one.values.as_ref().expect("there is a ratio");
            let theirs = self.value(estimate(values).median);
            let _ = write!(
                table,
                "  {:<14} {theirs:>15}  {:<20}",
                one.name,
                ratio.to_string()
            );
            if let Some(limit) = one.limit {
                let verdict = verdict(limit.is_kept(ratio.median));
                let _ = write!(table, "  {} {verdict}", limit.text());
            }
        }
        let trimmed = table.trim_end().len();
        table.truncate(trimmed);
        table.push('\n');
    }
}

fn verdict(is_kept: bool) -> &'static str {
    if is_kept { "kept" } else { "MISSED" }
}

/// All points, then every limit with how many points keep it and the one that is farthest from it.
pub(super) fn table(points: &[Point]) -> String {
    let mut table = format!(
        "{:<9} {:<22} {:<12} {:>15}  {:<14} {:>15}  {:<20}  limit\n",
        "figure", "series", "at", "Orca", "beside", "", "ratio [95 %]"
    );
    points.iter().for_each(|point| point.row(&mut table));
    let mut limits: Vec<(&str, &str, Limit)> = Vec::new();
    let all = || {
        points
            .iter()
            .flat_map(|p| p.ratios().map(move |(r, e)| (p, r, e)))
    };
    for (point, reference, _) in all() {
        if let Some(limit) = reference.limit {
            let row = (point.figure, reference.name, limit);
            if !limits.contains(&row) {
                limits.push(row);
            }
        }
    }
    let _ = writeln!(
        table,
        "\n{:<9} {:<14} {:<14} points kept  farthest",
        "limit of", "against", ""
    );
    for (figure, name, limit) in limits {
        let of = all()
            .filter(|(p, r, _)| p.figure == figure && r.name == name && r.limit == Some(limit));
        let of: Vec<_> = of.collect();
        let kept = of.iter().filter(|(_, _, e)| limit.is_kept(e.median));
        let kept = format!("{} of {}", kept.count(), of.len());
        let farthest = of.iter().max_by(|a, b| {
            let excess = |e: &Estimate| limit.excess(e.median);
            excess(&a.2).total_cmp(&excess(&b.2))
        });
        let (point, _, ratio) = farthest.expect("a limit is some point's");
        let _ = writeln!(
            table,
            "{figure:<9} {name:<14} {:<14} {kept:<12} {ratio} {}: {}, {} {}",
            limit.text(),
            verdict(limit.is_kept(ratio.median)),
            point.series,
            point.x,
            point.axis
        );
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(x: f64, ours: f64, bare: f64) -> Point {
        Point {
            figure: "3.19",
            unit: Unit::Seconds,
            series: "0 B".to_owned(),
            axis: "members",
            x,
            ours: Ok(vec![ours; 3]),
            references: vec![Reference {
                name: "bare",
                limit: Some(Limit::AtMost(1.5)),
                values: Ok(vec![bare; 3]),
            }],
        }
    }

    #[test]
    fn sides_take_turns_and_the_first_round_is_not_counted() {
        let order = std::cell::RefCell::new(String::new());
        let side = |name: char| -> Side<'_> {
            let order = &order;
            Box::new(move || {
                order.borrow_mut().push(name);
                Ok(f64::from(order.borrow().len() as u32))
            })
        };
        let values = interleave(2, vec![side('a'), side('b')]);
        assert_eq!(*order.borrow(), "abbaab");
        assert_eq!(values, [Ok(vec![4.0, 5.0]), Ok(vec![3.0, 6.0])]);
    }

    #[test]
    fn a_side_that_fails_does_not_stop_the_other_one() {
        let mut left = 2;
        let fails: Side<'_> = Box::new(|| {
            left -= 1;
            (left > 0).then_some(1.0).ok_or("lost".to_owned())
        });
        let values = interleave(3, vec![fails, Box::new(|| Ok(2.0))]);
        assert_eq!(values, [Err("lost".to_owned()), Ok(vec![2.0; 3])]);
    }

    #[test]
    fn limits_are_kept_or_missed() {
        assert!(Limit::AtMost(1.5).is_kept(1.5) && !Limit::AtMost(1.5).is_kept(1.51));
        assert!(Limit::AtLeast(2.0).is_kept(2.0) && !Limit::AtLeast(2.0).is_kept(1.9));
    }

    #[test]
    fn the_table_says_which_point_is_farthest_from_its_limit() {
        let mut skipped = point(4.0, 1.0, 1.0);
        skipped.references[0].values = Err("lost a datagram".to_owned());
        let points = [point(2.0, 1.2, 1.0), point(30.0, 2.0, 1.0), skipped];
        let text = table(&points);
        assert!(text.contains("skipped: lost a datagram"), "{text}");
        let last = text.lines().last().unwrap();
        assert!(last.contains("1 of 2"), "{text}");
        assert!(
            last.contains("2.00 [2.00, 2.00] MISSED: 0 B, 30 members"),
            "{text}"
        );
        let json = points[1].json();
        assert_eq!(json["references"][0]["kept"], false);
        assert_eq!(json["references"][0]["ratio"]["median"], 2.0);
    }
}
