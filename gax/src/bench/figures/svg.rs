//! A chart as SVG: axes with ticks, curves with labels, nothing else.

use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 78.0;
const TOP: f64 = 52.0;
/// Where the legend begins.
const RIGHT: f64 = 540.0;
const BOTTOM: f64 = 392.0;
const LEGEND_STEP: f64 = 19.0;
const COLOURS: [&str; 6] = [
    "#1b5fa8", "#c2410c", "#2f7d32", "#7b3fa0", "#a16207", "#0f766e",
];

/// How a curve is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stroke {
    /// What was measured, with a mark at each point.
    Solid,
    /// The reference.
    Dotted,
    /// What the thesis has.
    Dashed,
}

/// One curve.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    pub label: String,
    pub stroke: Stroke,
    /// Curves of the same colour belong together; none is grey.
    pub colour: Option<usize>,
    pub points: Vec<(f64, f64)>,
}

/// One chart; both axes are linear, and that of `y` begins at zero.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    pub title: String,
    pub subtitle: String,
    pub x_label: String,
    pub y_label: String,
    pub curves: Vec<Curve>,
}

/// Round numbers from zero to the first that is not below `most`, about five of them.
pub(super) fn ticks(most: f64) -> Vec<f64> {
    if !most.is_finite() || most <= 0.0 {
        return vec![0.0, 1.0];
    }
    let rough = most / 5.0;
    let power = 10_f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0];
    let step = steps.iter().map(|step| step * power);
    // One that is off by rounding only is not too small.
    let step = (step.clone().find(|step| *step >= rough * (1.0 - 1e-9))).unwrap_or(power * 10.0);
    let count = (most / step - 1e-9).ceil() as u32;
    (0..=count).map(|at| f64::from(at) * step).collect()
}

/// A number of a tick, without digits that say nothing.
pub(super) fn short(number: f64) -> String {
    if number.abs() >= 1_000_000.0 {
        format!("{}M", trimmed(number / 1e6))
    } else if number.abs() >= 10_000.0 {
        format!("{}k", trimmed(number / 1e3))
    } else {
        trimmed(number)
    }
}

fn trimmed(number: f64) -> String {
    let text = format!("{number:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.to_owned()
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}

struct Scale {
    least: f64,
    most: f64,
    from: f64,
    to: f64,
}

impl Scale {
    fn at(&self, value: f64) -> f64 {
        let span = (self.most - self.least).max(f64::MIN_POSITIVE);
        self.from + (value - self.least) / span * (self.to - self.from)
    }
}

impl Chart {
    /// The whole file.
    pub(super) fn draw(&self) -> String {
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        let ticks = ticks(points().map(|point| point.1).fold(0.0, f64::max));
        let mut places: Vec<f64> = points().map(|point| point.0).collect();
        places.sort_by(f64::total_cmp);
        places.dedup();
        let (least, most) = match places.as_slice() {
            [] => (0.0, 1.0),
            [one] => (one - 1.0, one + 1.0),
            [first, .., last] => (*first, *last),
        };
        // A little air between the axis and the first mark.
        let air = (most - least) * 0.04;
        let x = Scale {
            least: least - air,
            most: most + air,
            from: LEFT,
            to: RIGHT,
        };
        let y = Scale {
            least: 0.0,
            most: *ticks.last().expect("at least two"),
            from: BOTTOM,
            to: TOP,
        };
        let mut svg = String::new();
        let _ = writeln!(
            svg,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" font-family="Helvetica, Arial, sans-serif" font-size="13" fill="{INK}">"#
        );
        let _ = writeln!(
            svg,
            r##"<rect width="100%" height="100%" fill="#ffffff"/>"##
        );
        put(
            &mut svg,
            LEFT,
            22.0,
            r#"font-size="16" font-weight="bold""#,
            &self.title,
        );
        put(&mut svg, LEFT, 41.0, r##"fill="#5b6470""##, &self.subtitle);
        self.draw_axes(&mut svg, &x, &y, &places, &ticks);
        for curve in &self.curves {
            draw_curve(&mut svg, curve, &x, &y);
        }
        for (at, curve) in self.curves.iter().enumerate() {
            draw_label(&mut svg, curve, TOP + 8.0 + at as f64 * LEGEND_STEP);
        }
        svg += "</svg>\n";
        svg
    }

    fn draw_axes(&self, svg: &mut String, x: &Scale, y: &Scale, places: &[f64], ticks: &[f64]) {
        for tick in ticks {
            let at = y.at(*tick);
            let _ = writeln!(
                svg,
                r##"<line x1="{LEFT}" y1="{at:.1}" x2="{RIGHT}" y2="{at:.1}" stroke="#e3e6ea"/>"##
            );
            put(
                svg,
                LEFT - 8.0,
                at + 4.5,
                r#"text-anchor="end""#,
                &short(*tick),
            );
        }
        let _ = writeln!(
            svg,
            r#"<path d="M{LEFT} {TOP}V{BOTTOM}H{RIGHT}" fill="none" stroke="{INK}"/>"#
        );
        let mut free = f64::NEG_INFINITY;
        for place in places {
            let at = x.at(*place);
            let _ = writeln!(
                svg,
                r#"<line x1="{at:.1}" y1="{BOTTOM}" x2="{at:.1}" y2="{:.1}" stroke="{INK}"/>"#,
                BOTTOM + 5.0
            );
            // Numbers that stand too close are left out.
            if at >= free {
                put(svg, at, BOTTOM + 20.0, MIDDLE, &short(*place));
                free = at + 14.0 + 7.0 * short(*place).len() as f64 / 2.0;
            }
        }
        let middle = f64::midpoint(LEFT, RIGHT);
        put(svg, middle, BOTTOM + 44.0, MIDDLE, &self.x_label);
        let middle = f64::midpoint(TOP, BOTTOM);
        let turned = format!(r#"{MIDDLE} transform="rotate(-90 20 {middle})""#);
        put(svg, 20.0, middle, &turned, &self.y_label);
    }
}

const INK: &str = "#1f2933";
const GREY: &str = "#6b7280";
const MIDDLE: &str = r#"text-anchor="middle""#;

fn put(svg: &mut String, x: f64, y: f64, style: &str, text: &str) {
    let text = escaped(text);
    let _ = writeln!(svg, r#"<text x="{x:.1}" y="{y:.1}" {style}>{text}</text>"#);
}

impl Curve {
    fn colour(&self) -> &'static str {
        self.colour.map_or(GREY, |at| COLOURS[at % COLOURS.len()])
    }

    fn style(&self) -> String {
        let dashes = match self.stroke {
            Stroke::Solid => "",
            Stroke::Dotted => r#" stroke-dasharray="1.5 4" stroke-linecap="round""#,
            Stroke::Dashed => r#" stroke-dasharray="8 5""#,
        };
        let colour = self.colour();
        format!(r#"fill="none" stroke="{colour}" stroke-width="2"{dashes}"#)
    }
}

fn draw_curve(svg: &mut String, curve: &Curve, x: &Scale, y: &Scale) {
    let at: Vec<_> = (curve.points.iter())
        .map(|point| (x.at(point.0), y.at(point.1)))
        .collect();
    let list: Vec<_> = at.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let style = curve.style();
    let _ = writeln!(svg, r#"<polyline points="{}" {style}/>"#, list.join(" "));
    if curve.stroke == Stroke::Solid {
        let colour = curve.colour();
        for (x, y) in at {
            let _ = writeln!(
                svg,
                r#"<circle cx="{x:.1}" cy="{y:.1}" r="3.5" fill="{colour}"/>"#
            );
        }
    }
}

fn draw_label(svg: &mut String, curve: &Curve, y: f64) {
    let (from, to) = (RIGHT + 14.0, RIGHT + 44.0);
    let style = curve.style();
    let _ = writeln!(svg, r#"<path d="M{from} {y}H{to}" {style}/>"#);
    put(svg, to + 8.0, y + 4.5, "", &curve.label);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart() -> Chart {
        let curve = |label: &str, stroke, points: &[(f64, f64)]| Curve {
            label: label.to_owned(),
            stroke,
            colour: Some(0),
            points: points.to_vec(),
        };
        Chart {
            title: "Delay & size".to_owned(),
            subtitle: String::new(),
            x_label: "members".to_owned(),
            y_label: "us".to_owned(),
            curves: vec![
                curve("0 B", Stroke::Solid, &[(2.0, 10.0), (30.0, 98.0)]),
                curve("bare <0 B>", Stroke::Dotted, &[(2.0, 9.0), (30.0, 90.0)]),
            ],
        }
    }

    #[test]
    fn ticks_are_round_and_reach_the_largest_value() {
        assert_eq!(ticks(98.0), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(ticks(5.0), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(ticks(0.0), [0.0, 1.0]);
        for most in [0.3, 1.0, 7.7, 1234.0, 5e6] {
            let ticks = ticks(most);
            assert!(*ticks.last().unwrap() >= most * (1.0 - 1e-9), "{ticks:?}");
            assert!((3..=8).contains(&ticks.len()), "{most}: {ticks:?}");
        }
    }

    #[test]
    fn numbers_of_ticks_are_short() {
        let texts = [0.0, 0.25, 12.5, 800.0, 15_000.0, 2_500_000.0].map(short);
        assert_eq!(texts, ["0", "0.25", "12.5", "800", "15k", "2.5M"]);
    }

    #[test]
    fn every_curve_has_its_points_inside_and_its_label() {
        let svg = chart().draw();
        assert_eq!(svg.matches("<polyline").count(), 2, "{svg}");
        assert_eq!(svg.matches("<circle").count(), 2, "only what was measured");
        assert!(svg.contains("Delay &amp; size"), "{svg}");
        assert!(svg.contains("bare &lt;0 B&gt;"), "{svg}");
        for list in svg.split("points=\"").skip(1) {
            let list = list.split('"').next().unwrap();
            for point in list.split(' ') {
                let (x, y) = point.split_once(',').unwrap();
                let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
                assert!((LEFT..=RIGHT).contains(&x), "{svg}");
                assert!((TOP..=BOTTOM).contains(&y), "{svg}");
            }
        }
    }

    #[test]
    fn elements_are_closed() {
        let svg = chart().draw();
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        for line in svg.lines().skip(1) {
            assert!(
                line.ends_with("/>") || line.ends_with("</text>") || line == "</svg>",
                "{line}"
            );
        }
    }

    #[test]
    fn a_chart_without_points_is_drawn_too() {
        let mut chart = chart();
        chart.curves.clear();
        assert!(chart.draw().contains("</svg>"));
    }
}
