//! Cumulative latency curves as inline SVG.
//!
//! Colours are those of the light scheme; the page's style sheet recognises each by its value and replaces it in the
//! dark scheme, so one drawing serves both. A wide and a narrow drawing are made of each plot, because text in a
//! scaled SVG shrinks with it and would not be readable on a phone.

use plotters::coord::combinators::BindKeyPoints;
use plotters::prelude::*;

use super::distribution::Distribution;
use super::format;

/// Line colours by series, light scheme. `report.css` lists the same values with their dark counterparts.
pub(super) const PALETTE: [RGBColor; 6] = [
    RGBColor(0x0B, 0x62, 0xB5),
    RGBColor(0xC2, 0x4A, 0x0A),
    RGBColor(0x0C, 0x7A, 0x6B),
    RGBColor(0x7A, 0x3F, 0xC9),
    RGBColor(0x96, 0x6B, 0x00),
    RGBColor(0xB8, 0x2F, 0x6E),
];
/// Axis and its text.
const INK: RGBColor = RGBColor(0x5B, 0x63, 0x70);
/// Grid lines.
const GRID: RGBColor = RGBColor(0xE1, 0xE4, 0xE9);

/// Curves are thinned to this many columns: more cannot be told apart.
const COLUMNS: f64 = 360.0;

/// For which screen a plot is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    /// Desktop.
    Wide,
    /// Phone.
    Narrow,
}

impl Size {
    fn pixels(self) -> (u32, u32) {
        match self {
            Size::Wide => (860, 340),
            Size::Narrow => (360, 280),
        }
    }

    fn class(self) -> &'static str {
        match self {
            Size::Wide => "plot wide",
            Size::Narrow => "plot narrow",
        }
    }
}

/// One line of a plot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    /// Place in the palette.
    pub(super) colour: usize,
    /// Its values.
    pub(super) distribution: &'a Distribution,
}

/// Draws all lines on one logarithmic axis. `unit` is that of the values; `label` says what the plot shows, for
/// readers who do not see it.
///
/// # Errors
/// When the plotting library refuses, which it does not for finite ranges.
pub(super) fn curves(lines: &[Line<'_>], unit: &str, label: &str, size: Size) -> anyhow::Result<String> {
    let (width, height) = size.pixels();
    let (low, high) = range(lines);
    let mut drawing = String::new();
    draw(&mut drawing, lines, (low, high), unit, size)
        .map_err(|error| anyhow::anyhow!("cannot draw {label}: {error}"))?;
    // The page decides the size, and needs no namespace inside HTML.
    let body = drawing.split_once('>').map_or("", |(_, body)| body);
    let label = escape(label);
    Ok(format!(
        r#"<svg class="{}" viewBox="0 0 {width} {height}" role="img" aria-label="{label}">{}"#,
        size.class(),
        body.trim_end()
    ))
}

fn draw(
    into: &mut String,
    lines: &[Line<'_>],
    (low, high): (f64, f64),
    unit: &str,
    size: Size,
) -> Result<(), Box<dyn std::error::Error>> {
    let narrow = size == Size::Narrow;
    let root = SVGBackend::with_string(into, size.pixels()).into_drawing_area();
    // The backend divides font sizes by 1.24.
    let text = ("sans-serif", if narrow { 15 } else { 16 }).into_font().color(&INK);
    let axis = (low..high).log_scale().with_key_points(ticks(low, high, narrow));
    let mut chart = ChartBuilder::on(&root)
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
        let colour = PALETTE[line.colour % PALETTE.len()];
        let points = staircase(&line.distribution.cumulative(), low, high);
        if let Some(end) = points.last().copied() {
            chart.draw_series(std::iter::once(Circle::new(end, 3, colour.filled())))?;
        }
        chart.draw_series(LineSeries::new(points, colour.stroke_width(2)))?;
    }
    root.present()?;
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

/// Round values for the axis: 1-2-5 over few decades, powers of ten over many.
fn ticks(low: f64, high: f64, narrow: bool) -> Vec<f64> {
    let decades = (high / low).log10();
    let steps: &[f64] = match (decades, narrow) {
        (d, false) if d <= 2.6 => &[1.0, 2.0, 5.0],
        (d, true) if d <= 1.4 => &[1.0, 2.0, 5.0],
        (d, false) if d <= 4.0 => &[1.0, 3.0],
        _ => &[1.0],
    };
    let first = low.log10().floor() as i32;
    let last = high.log10().ceil() as i32;
    let every = if narrow && decades > 4.5 { 2 } else { 1 };
    (first..=last)
        .filter(|exponent| exponent.rem_euclid(every) == 0)
        .flat_map(|exponent| steps.iter().map(move |step| step * 10f64.powi(exponent)))
        .filter(|tick| (low..=high).contains(tick))
        .collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::fixture::encode;

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(ticks(0.7, 60.0, false), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0]);
        assert_eq!(ticks(0.5, 20_000.0, true).len(), 3);
    }

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
