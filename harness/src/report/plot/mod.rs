//! Drawings as inline SVG: [`curves`], [`scaling`], [`timeline`].
//!
//! Colours are those of the light scheme; the page's style sheet recognises each by its value and replaces it in the
//! dark scheme, so one drawing serves both. A wide and a narrow drawing are made of each plot, because text in a
//! scaled SVG shrinks with it and would not be readable on a phone.

mod curves;
mod scaling;
mod timeline;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::prelude::*;

pub(super) use curves::{Line, curves};
pub(super) use scaling::{Point, ScalingLine, scaling};
pub(super) use timeline::{Lane, timeline};

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

/// While a fault lasts.
const BAND: RGBColor = RGBColor(0xF4, 0xE6, 0xCF);

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

    fn is_narrow(self) -> bool {
        self == Size::Narrow
    }

    /// Axis text. The backend divides font sizes by 1.24.
    fn text(self) -> TextStyle<'static> {
        ("sans-serif", if self.is_narrow() { 15 } else { 16 }).into_font().color(&INK)
    }

    fn class(self) -> &'static str {
        match self {
            Size::Wide => "plot wide",
            Size::Narrow => "plot narrow",
        }
    }
}

type Drawn = Result<(), Box<dyn std::error::Error>>;

/// Makes a drawing of this many pixels. `label` says what it shows, for readers who do not see it.
fn svg(
    (width, height): (u32, u32),
    label: &str,
    size: Size,
    draw: impl FnOnce(&DrawingArea<SVGBackend<'_>, plotters::coord::Shift>) -> Drawn,
) -> anyhow::Result<String> {
    let mut drawing = String::new();
    {
        let root = SVGBackend::with_string(&mut drawing, (width, height)).into_drawing_area();
        draw(&root)
            .and_then(|()| Ok(root.present()?))
            .map_err(|error| anyhow::anyhow!("cannot draw {label}: {error}"))?;
    }
    // The page decides the size, and needs no namespace inside HTML.
    let body = drawing.split_once('>').map_or("", |(_, body)| body);
    let label = escape(label);
    Ok(format!(
        r#"<svg class="{}" viewBox="0 0 {width} {height}" role="img" aria-label="{label}">{}"#,
        size.class(),
        body.trim_end()
    ))
}

/// A straight axis whose named values are chosen here and not by the library.
struct NamedAxis {
    range: std::ops::Range<f64>,
    named: Vec<f64>,
}

impl Ranged for NamedAxis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let share = (value - self.range.start) / (self.range.end - self.range.start);
        from + (share * f64::from(to - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.named.clone() }
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.range.clone()
    }
}

fn colour(place: usize) -> RGBColor {
    PALETTE.get(place % PALETTE.len()).copied().unwrap_or(INK)
}

/// Round values from zero to `high`, about `many` of them.
fn steps(high: f64, many: usize) -> Vec<f64> {
    if !high.is_finite() || high <= 0.0 {
        return vec![0.0];
    }
    let rough = high / many.max(1) as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|it| it * power).find(|it| *it >= rough).unwrap_or(rough);
    (0..).map(|it| f64::from(it) * step).take_while(|it| *it <= high * 1.000_001).collect()
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

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(ticks(0.7, 60.0, false), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0]);
        assert_eq!(ticks(0.5, 20_000.0, true).len(), 3);
    }

    #[test]
    fn steps_are_round_and_start_at_zero() {
        assert_eq!(steps(9_300.0, 5), [0.0, 2_000.0, 4_000.0, 6_000.0, 8_000.0]);
        assert_eq!(steps(1.0, 5).len(), 6);
        assert_eq!(steps(0.0, 5), [0.0]);
    }
}
