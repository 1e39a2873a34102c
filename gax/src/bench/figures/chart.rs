//! From points to a chart: a solid curve for each series, a dotted one for its bare program, and a dashed one for the shape of the
//! thesis' curve.

use super::plan::Figure;
use super::point::{Point, Unit};
use super::svg::{Chart, Curve, Stroke};
use super::thesis;
use crate::bench::statistics::estimate;

/// The chart of a figure.
pub(super) fn of(figure: &Figure, points: &[Point]) -> Chart {
    let mut series: Vec<&str> = Vec::new();
    for point in points {
        if !series.contains(&point.series.as_str()) {
            series.push(&point.series);
        }
    }
    let of_series = |name: &str, value: &dyn Fn(&Point) -> Option<f64>| -> Vec<(f64, f64)> {
        let own = points.iter().filter(|point| point.series == name);
        own.filter_map(|point| Some((point.x, scaled(figure.unit, value(point)?))))
            .collect()
    };
    let mut curves = Vec::new();
    for (colour, name) in series.iter().enumerate() {
        curves.push(Curve {
            label: (*name).to_owned(),
            stroke: Stroke::Solid,
            colour: Some(colour),
            points: of_series(name, &Point::median),
        });
    }
    for (colour, name) in series.iter().enumerate() {
        curves.push(Curve {
            label: format!("{name}, bare"),
            stroke: Stroke::Dotted,
            colour: Some(colour),
            points: of_series(name, &bare),
        });
    }
    let first = curves.first().map(|curve| curve.points.clone());
    curves.extend(shape(figure, &first.unwrap_or_default()));
    curves.retain(|curve| !curve.points.is_empty());
    let (y_label, what) = match figure.unit {
        Unit::Seconds => ("delay, us", "median"),
        Unit::Rate => ("messages a second", "median"),
    };
    let x_label = match figure.axis {
        "r" => "resilience r (r + 1 members, at least 2)".to_owned(),
        axis => axis.to_owned(),
    };
    Chart {
        title: format!("Figure {}: {}", figure.name, figure.title),
        subtitle: format!(
            "UDP on loopback, {}; {what} of the rounds",
            figure.placement.text()
        ),
        x_label,
        y_label: y_label.to_owned(),
        curves,
    }
}

fn scaled(unit: Unit, value: f64) -> f64 {
    match unit {
        Unit::Seconds => value * 1e6,
        Unit::Rate => value,
    }
}

fn bare(point: &Point) -> Option<f64> {
    let bare = point.references.iter().find(|one| one.name == "bare")?;
    Some(estimate(bare.values.as_ref().ok()?).median)
}

/// The thesis' curve, scaled so that it begins on ours for empty messages.
fn shape(figure: &Figure, first: &[(f64, f64)]) -> Option<Curve> {
    let shape = (thesis::SHAPES.iter()).find(|shape| shape.figure == figure.name)?;
    let (_, begin) = first.iter().find(|(x, _)| *x == shape.from.0)?;
    let scale = begin / shape.from.1;
    Some(Curve {
        label: "thesis, 0 B, scaled".to_owned(),
        stroke: Stroke::Dashed,
        colour: None,
        points: vec![
            (shape.from.0, shape.from.1 * scale),
            (shape.to.0, shape.to.1 * scale),
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::super::plan::FIGURES;
    use super::super::point::Reference;
    use super::*;

    fn point(x: f64, micros: f64) -> Point {
        Point {
            figure: "3.19",
            unit: Unit::Seconds,
            series: "0 B".to_owned(),
            axis: "members",
            x,
            ours: Ok(vec![micros / 1e6]),
            references: vec![Reference {
                name: "bare",
                limit: None,
                values: Ok(vec![micros / 2e6]),
            }],
        }
    }

    #[test]
    fn a_series_has_a_curve_a_bare_one_and_the_shape_of_the_thesis() {
        let chart = of(&FIGURES[0], &[point(2.0, 54.0), point(30.0, 60.0)]);
        let strokes: Vec<_> = chart.curves.iter().map(|curve| curve.stroke).collect();
        assert_eq!(strokes, [Stroke::Solid, Stroke::Dotted, Stroke::Dashed]);
        let last = |at: usize| chart.curves[at].points[1].1.round();
        assert_eq!([last(0), last(1), last(2)], [60.0, 30.0, 56.0]);
    }

    #[test]
    fn what_was_not_measured_is_not_drawn() {
        let mut failed = point(2.0, 1.0);
        failed.ours = Err("no".to_owned());
        failed.references.clear();
        assert!(of(&FIGURES[0], &[failed]).curves.is_empty());
    }
}
