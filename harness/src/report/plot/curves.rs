//! Cumulative latency curves.

use plotters::coord::combinators::BindKeyPoints;
use plotters::prelude::*;

use super::{Drawn, GRID, Size, colour, svg, ticks};
use crate::report::distribution::Distribution;
use crate::report::format;

/// Curves are thinned to this many columns: more cannot be told apart.
const COLUMNS: f64 = 360.0;

/// One line of a plot.
#[derive(Debug, Clone, Copy)]
pub(in crate::report) struct Line<'a> {
    /// Place in the palette.
    pub(in crate::report) colour: usize,
    /// Its values.
    pub(in crate::report) distribution: &'a Distribution,
}

/// Draws all lines on one logarithmic axis. `unit` is that of the values; `label` says what the plot shows, for
/// readers who do not see it.
///
/// # Errors
/// When the plotting library refuses, which it does not for finite ranges.
pub(in crate::report) fn curves(lines: &[Line<'_>], unit: &str, label: &str, size: Size) -> anyhow::Result<String> {
    let range = range(lines);
    svg(size.pixels(), label, size, |root| draw(root, lines, range, unit, size))
}

fn draw(
    root: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    lines: &[Line<'_>],
    (low, high): (f64, f64),
    unit: &str,
    size: Size,
) -> Drawn {
    let narrow = size.is_narrow();
    let text = size.text();
    let axis = (low..high).log_scale().with_key_points(ticks(low, high, narrow));
    let mut chart = ChartBuilder::on(root)
        .margin_top(8)
        .margin_right(if narrow { 14 } else { 22 })
        .x_label_area_size(if narrow { 30 } else { 46 })
        .y_label_area_size(if narrow { 52 } else { 62 })
        .build_cartesian_2d(axis, 0f64..1f64)?;
    let value_label = |value: &f64| format::value(*value, unit);
    let share_label = |share: &f64| format!("{:.0} %", share * 100.0);
    let mut mesh = chart.configure_mesh();
    mesh.light_line_style(TRANSPARENT)
        .y_labels(11)
        .bold_line_style(GRID)
        .axis_style(GRID)
        .label_style(text.clone())
        .axis_desc_style(text)
        .x_label_formatter(&value_label)
        .y_label_formatter(&share_label);
    if !narrow {
        mesh.x_desc("time, logarithmic").y_desc("share of operations done");
    }
    mesh.draw()?;
    for line in lines {
        let colour = colour(line.colour);
        let points = staircase(&line.distribution.cumulative(), low, high);
        if let Some(end) = points.last().copied() {
            chart.draw_series(std::iter::once(Circle::new(end, 3, colour.filled())))?;
        }
        chart.draw_series(LineSeries::new(points, colour.stroke_width(2)))?;
    }
    Ok(())
}

/// A cumulative curve as steps, thinned to one point per column.
fn staircase(curve: &[(f64, f64)], low: f64, high: f64) -> Vec<(f64, f64)> {
    let width = (high / low).ln();
    let mut points = Vec::new();
    let mut reached = 0.0;
    let mut column = f64::NEG_INFINITY;
    for (index, (value, share)) in curve.iter().enumerate() {
        let here = ((value / low).ln() / width * COLUMNS).floor();
        if here <= column && index + 1 < curve.len() {
            continue;
        }
        column = here;
        points.push((*value, reached));
        points.push((*value, *share));
        reached = *share;
    }
    points
}

/// A little more than all lines need; at least half a decade, so that noise does not fill the plot.
fn range(lines: &[Line<'_>]) -> (f64, f64) {
    let low = lines.iter().map(|it| it.distribution.min()).fold(f64::INFINITY, f64::min);
    let high = lines.iter().map(|it| it.distribution.max()).fold(0.0, f64::max);
    if !low.is_finite() || high <= 0.0 {
        return (1.0, 10.0);
    }
    let (low, high) = (low * 0.8, high.max(low) * 1.25);
    if high / low >= 3.2 { (low, high) } else { ((low * high).sqrt() / 1.8, (low * high).sqrt() * 1.8) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::fixture::encode;

    #[test]
    fn a_step_is_kept_where_a_distribution_has_two_modes() {
        let curve = [(1.0, 0.5), (1000.0, 1.0)];
        assert_eq!(staircase(&curve, 0.5, 2000.0), [(1.0, 0.0), (1.0, 0.5), (1000.0, 0.5), (1000.0, 1.0)]);
    }

    #[test]
    fn single_values_still_give_a_finite_axis() {
        let one = Distribution::decode(&encode(&[3.0])).unwrap();
        let svg = curves(&[Line { colour: 0, distribution: &one }], "ms", "x\"<y", Size::Narrow).unwrap();
        assert!(svg.contains("polyline") && !svg.contains("NaN") && svg.contains("x&quot;&lt;y"), "{svg}");
        assert!(svg.ends_with("</svg>") && !svg.contains("http"));
    }
}
