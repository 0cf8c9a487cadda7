//! How a figure changes with what was varied: connections, instances, members.

use plotters::prelude::*;

use super::{Drawn, GRID, NamedAxis, Size, colour, steps, svg, ticks};
use crate::report::format;

/// From this factor between the largest and the least value on, an axis is logarithmic: less would squeeze the small
/// values into a corner.
const LOGARITHMIC_X_FROM: f64 = 6.0;
/// The same for the measured values, which are better compared from zero as long as that shows them.
const LOGARITHMIC_Y_FROM: f64 = 50.0;

/// One measurement of a line.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::report) struct Point {
    /// What was varied.
    pub(in crate::report) x: f64,
    /// What was measured.
    pub(in crate::report) y: f64,
    /// The same in each round.
    pub(in crate::report) rounds: Vec<f64>,
}

/// One target over all values of what was varied, ascending.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::report) struct ScalingLine {
    /// Place in the palette.
    pub(in crate::report) colour: usize,
    /// Its measurements.
    pub(in crate::report) points: Vec<Point>,
}

/// Draws all lines; the small marks are single rounds. `varied` names the horizontal axis, `unit` is that of the
/// measured values.
///
/// # Errors
/// When the plotting library refuses, which it does not for finite ranges.
pub(in crate::report) fn scaling(
    lines: &[ScalingLine],
    varied: &str,
    unit: &str,
    label: &str,
    size: Size,
) -> anyhow::Result<String> {
    let points = || lines.iter().flat_map(|it| &it.points);
    let mut xs: Vec<f64> = points().map(|it| it.x).filter(|it| it.is_finite()).collect();
    xs.sort_by(f64::total_cmp);
    xs.dedup();
    let ys = points().flat_map(|it| it.rounds.iter().chain([&it.y])).copied().filter(|it| it.is_finite());
    let x = Scale::of_varied(&xs, size);
    let y = Scale::of_measured(&ys.collect::<Vec<f64>>(), size);
    svg(size.pixels(), label, size, |root| draw(root, lines, (&x, varied), (&y, unit), size))
}

/// An axis: where a value lies on it, and which are named.
struct Scale {
    is_logarithmic: bool,
    /// In places.
    range: std::ops::Range<f64>,
    /// In places.
    named: Vec<f64>,
}

impl Scale {
    /// Every value that was tried is named, as far as there is room.
    fn of_varied(values: &[f64], size: Size) -> Self {
        let (low, high) = ends(values);
        let is_logarithmic = low > 0.0 && high / low >= LOGARITHMIC_X_FROM;
        let mut scale = Self { is_logarithmic, range: 0.0..1.0, named: Vec::new() };
        let (from, to) = (scale.place(low), scale.place(high));
        let margin = if to > from { (to - from) * 0.04 } else { 0.5 };
        scale.range = from - margin..to + margin;
        let apart = (to - from) / if size.is_narrow() { 6.0 } else { 14.0 };
        for value in values {
            let place = scale.place(*value);
            if scale.named.last().is_none_or(|last| place - last >= apart) {
                scale.named.push(place);
            }
        }
        scale
    }

    fn of_measured(values: &[f64], size: Size) -> Self {
        let (low, high) = ends(values);
        if low > 0.0 && high / low >= LOGARITHMIC_Y_FROM {
            let (low, high) = (low * 0.8, high * 1.25);
            let named = ticks(low, high, size.is_narrow()).into_iter().map(f64::ln).collect();
            return Self { is_logarithmic: true, range: low.ln()..high.ln(), named };
        }
        let high = if high > 0.0 { high * 1.05 } else { 1.0 };
        Self { is_logarithmic: false, range: 0.0..high, named: steps(high, 5) }
    }

    fn place(&self, value: f64) -> f64 {
        if self.is_logarithmic { value.max(f64::MIN_POSITIVE).ln() } else { value }
    }

    fn value(&self, place: f64) -> f64 {
        if self.is_logarithmic { place.exp() } else { place }
    }
}

fn ends(values: &[f64]) -> (f64, f64) {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if low.is_finite() { (low, high) } else { (0.0, 1.0) }
}

fn draw(
    root: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    lines: &[ScalingLine],
    (x, varied): (&Scale, &str),
    (y, unit): (&Scale, &str),
    size: Size,
) -> Drawn {
    let narrow = size.is_narrow();
    let text = size.text();
    let mut chart = ChartBuilder::on(root)
        .margin_top(8)
        .margin_right(if narrow { 14 } else { 22 })
        .x_label_area_size(46)
        .y_label_area_size(if narrow { 62 } else { 80 })
        .build_cartesian_2d(
            NamedAxis { range: x.range.clone(), named: x.named.clone() },
            NamedAxis { range: y.range.clone(), named: y.named.clone() },
        )?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(GRID)
        .label_style(text.clone())
        .axis_desc_style(text)
        .x_label_formatter(&|place| format::number(x.value(*place)))
        .y_label_formatter(&|place| format::value(y.value(*place), unit))
        .x_desc(if x.is_logarithmic && !narrow { format!("{varied}, logarithmic") } else { varied.to_owned() })
        .draw()?;
    for line in lines {
        let colour = colour(line.colour);
        let drawable = |it: &&Point| it.x.is_finite() && it.y.is_finite();
        let places: Vec<(f64, f64)> =
            line.points.iter().filter(drawable).map(|it| (x.place(it.x), y.place(it.y))).collect();
        chart.draw_series(places.iter().map(|place| Circle::new(*place, 4, colour.filled())))?;
        chart.draw_series(LineSeries::new(places, colour.stroke_width(2)))?;
        let rounds = line.points.iter().flat_map(|it| it.rounds.iter().map(|round| (it.x, *round)));
        let finite = rounds.filter(|(x, y)| x.is_finite() && y.is_finite());
        chart.draw_series(
            finite.map(|(at, round)| Circle::new((x.place(at), y.place(round)), 2, colour.stroke_width(1))),
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(points: &[(f64, f64)]) -> ScalingLine {
        let point = |(x, y): &(f64, f64)| Point { x: *x, y: *y, rounds: vec![*y * 0.9, *y * 1.1] };
        ScalingLine { colour: 1, points: points.iter().map(point).collect() }
    }

    #[test]
    fn every_value_that_was_tried_is_named_and_every_round_is_marked() {
        let lines = [line(&[(1.0, 900.0), (8.0, 4_000.0), (64.0, 9_000.0), (512.0, 9_100.0)])];
        for size in [Size::Wide, Size::Narrow] {
            let svg = scaling(&lines, "connections", "1/s", "x", size).unwrap();
            for value in ["1", "8", "64", "512", "10,000 /s"] {
                assert!(svg.contains(&format!("\n{value}\n")), "{value} is not named: {svg}");
            }
            assert_eq!(svg.matches("<circle").count(), 4 + 8);
            assert!(svg.contains("#C24A0A") && !svg.contains("NaN"));
        }
    }

    #[test]
    fn values_that_are_far_apart_stand_on_a_logarithmic_axis() {
        let lines = [line(&[(3.0, 2.0), (5.0, 3.0)]), line(&[(3.0, 2_000.0), (5.0, 9_000.0)])];
        let svg = scaling(&lines, "members", "ms", "x", Size::Wide).unwrap();
        assert!(svg.contains("\n3 s\n") && svg.contains("\n10 ms\n"), "{svg}");
    }

    #[test]
    fn nothing_and_rubbish_still_give_a_drawing() {
        for lines in [vec![], vec![line(&[])], vec![line(&[(f64::NAN, 1.0), (2.0, f64::INFINITY), (0.0, 0.0)])]] {
            let svg = scaling(&lines, "x", "ms", "x", Size::Narrow).unwrap();
            assert!(svg.ends_with("</svg>") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}
