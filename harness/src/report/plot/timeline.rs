//! A fault scenario on one time axis: when which target had the fault, and what was served meanwhile.

use plotters::prelude::*;

use super::{BAND, Drawn, GRID, NamedAxis, Size, colour, steps, svg};
use crate::report::format;

/// One target of a scenario. Times are ms since the scenario began.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::report) struct Lane {
    /// Place in the palette.
    pub(in crate::report) colour: usize,
    /// Faults: from, to.
    pub(in crate::report) bands: Vec<(f64, f64)>,
    /// Whatever else happened.
    pub(in crate::report) moments: Vec<f64>,
    /// Share of requests answered, 0 to 1: beginning and end of each interval. Intervals without requests are left out.
    pub(in crate::report) availability: Vec<(f64, f64, f64)>,
    /// Missing instances: beginning and end of each interval. Intervals without a look are left out.
    pub(in crate::report) missing: Vec<(f64, f64, f64)>,
}

/// What the vertical axis of a panel shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::report) enum Axis {
    /// Share of requests answered.
    Availability,
    /// Number of missing instances.
    Missing,
}

impl Axis {
    fn of(self, lane: &Lane) -> &[(f64, f64, f64)] {
        match self {
            Axis::Availability => &lane.availability,
            Axis::Missing => &lane.missing,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Axis::Availability => "answered",
            Axis::Missing => "missing instances",
        }
    }
}

/// Draws the lanes and a panel for each axis that has anything to show; nothing when none has.
///
/// # Errors
/// When the plotting library refuses, which it does not for finite ranges.
pub(in crate::report) fn timeline(lanes: &[Lane], label: &str, size: Size) -> anyhow::Result<Option<String>> {
    let has = |axis: &Axis| lanes.iter().any(|it| !axis.of(it).is_empty());
    let panels: Vec<Axis> = [Axis::Availability, Axis::Missing].into_iter().filter(has).collect();
    if panels.is_empty() {
        return Ok(None);
    }
    let ends = lanes.iter().flat_map(|it| {
        let intervals = it.availability.iter().chain(&it.missing).map(|it| it.1);
        intervals.chain(it.bands.iter().map(|it| it.1)).chain(it.moments.iter().copied())
    });
    let end = ends.filter(|it| it.is_finite()).fold(1.0, f64::max);
    let top = 14 * lanes.len() as u32 + 10;
    let (width, each) = if size.is_narrow() { (360, 130) } else { (860, 150) };
    let height = top + each * panels.len() as u32 + 34;
    svg((width, height), label, size, |root| {
        let (strip, mut rest) = root.split_vertically(top);
        draw_lanes(&strip, lanes, end, size)?;
        for (place, axis) in panels.iter().enumerate() {
            let is_last = place + 1 == panels.len();
            let (panel, below) = rest.split_vertically(each + if is_last { 34 } else { 0 });
            draw_panel(&panel, lanes, *axis, end, is_last, size)?;
            rest = below;
        }
        Ok(())
    })
    .map(Some)
}

fn left(size: Size) -> u32 {
    if size.is_narrow() { 52 } else { 80 }
}

fn right(size: Size) -> u32 {
    if size.is_narrow() { 14 } else { 22 }
}

/// One lane per target: a bar while it had the fault, a dot for everything else that happened.
fn draw_lanes(area: &Area<'_, '_>, lanes: &[Lane], end: f64, size: Size) -> Drawn {
    let mut chart = ChartBuilder::on(area)
        .margin_top(4)
        .margin_right(right(size))
        .y_label_area_size(left(size))
        .build_cartesian_2d(0.0..end, 0.0..lanes.len() as f64)?;
    for (place, lane) in lanes.iter().rev().enumerate() {
        let colour = colour(lane.colour);
        let (low, high) = (place as f64 + 0.25, place as f64 + 0.75);
        let bars = lane.bands.iter().filter(|it| it.0.is_finite() && it.1.is_finite());
        chart.draw_series(bars.map(|(from, to)| Rectangle::new([(*from, low), (*to, high)], colour.filled())))?;
        let middle = place as f64 + 0.5;
        let dots = lane.moments.iter().filter(|it| it.is_finite());
        chart.draw_series(dots.map(|at| Circle::new((*at, middle), 3, colour.stroke_width(2))))?;
    }
    Ok(())
}

type Area<'a, 'b> = DrawingArea<SVGBackend<'b>, plotters::coord::Shift>;

fn draw_panel(area: &Area<'_, '_>, lanes: &[Lane], axis: Axis, end: f64, is_last: bool, size: Size) -> Drawn {
    let text = size.text();
    let values = lanes.iter().flat_map(|it| axis.of(it)).map(|it| it.2).filter(|it| it.is_finite());
    let (high, named) = match axis {
        Axis::Availability => (1.04, vec![0.0, 0.5, 1.0]),
        Axis::Missing => {
            let most = values.fold(1.0, f64::max);
            (most * 1.08, steps(most, 3).into_iter().filter(|it| it.fract() == 0.0).collect())
        }
    };
    let times = steps(end, if size.is_narrow() { 4 } else { 10 });
    let mut chart = ChartBuilder::on(area)
        .margin_top(10)
        .margin_right(right(size))
        .x_label_area_size(if is_last { 30 } else { 0 })
        .y_label_area_size(left(size))
        .build_cartesian_2d(NamedAxis { range: 0.0..end, named: times }, NamedAxis { range: 0.0..high, named })?;
    let bands = lanes.iter().flat_map(|it| &it.bands).filter(|it| it.0.is_finite() && it.1.is_finite());
    chart.draw_series(bands.map(|(from, to)| Rectangle::new([(*from, 0.0), (*to, high)], BAND.filled())))?;
    let value_label = |value: &f64| match axis {
        Axis::Availability => format!("{:.0} %", value * 100.0),
        Axis::Missing => format::count(*value as u64),
    };
    let mut mesh = chart.configure_mesh();
    mesh.light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(GRID)
        .label_style(text.clone())
        .axis_desc_style(text)
        .x_label_formatter(&|ms| format::value(*ms, "ms"))
        .y_label_formatter(&value_label);
    if !size.is_narrow() {
        mesh.y_desc(axis.title());
    }
    mesh.draw()?;
    for lane in lanes {
        for points in pieces(axis.of(lane)) {
            chart.draw_series(LineSeries::new(points, colour(lane.colour).stroke_width(2)))?;
        }
    }
    Ok(())
}

/// Intervals as steps; a line is broken where there is nothing to show.
fn pieces(intervals: &[(f64, f64, f64)]) -> Vec<Vec<(f64, f64)>> {
    let mut pieces: Vec<Vec<(f64, f64)>> = Vec::new();
    let finite = |it: &&(f64, f64, f64)| it.0.is_finite() && it.1.is_finite() && it.2.is_finite();
    for (from, to, value) in intervals.iter().filter(finite) {
        match pieces.last_mut() {
            Some(piece) if piece.last().is_some_and(|last| last.0 >= *from) => {
                piece.extend([(*from, *value), (*to, *value)]);
            }
            _ => pieces.push(vec![(*from, *value), (*to, *value)]),
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane() -> Lane {
        Lane {
            colour: 0,
            bands: vec![(5_000.0, 15_000.0)],
            moments: vec![16_000.0],
            availability: vec![(0.0, 1_000.0, 1.0), (1_000.0, 2_000.0, 0.5), (5_000.0, 20_000.0, 0.0)],
            missing: vec![(0.0, 20_000.0, 37.0)],
        }
    }

    #[test]
    fn bands_curves_and_moments_are_on_one_axis() {
        for size in [Size::Wide, Size::Narrow] {
            let svg = timeline(&[lane(), Lane { colour: 1, ..lane() }], "x", size).unwrap().unwrap();
            // A band in each of two panels for each of two targets, and their lanes.
            assert_eq!(svg.matches("fill=\"#F4E6CF\"").count(), 4, "{svg}");
            assert_eq!(svg.matches("<rect").count(), 6);
            assert_eq!(svg.matches("<circle").count(), 2);
            assert!(svg.contains("\n100 %\n") && svg.contains("\n20 s\n"), "{svg}");
            assert!(svg.contains("#0B62B5") && svg.contains("#C24A0A"));
        }
    }

    #[test]
    fn a_line_is_broken_where_nobody_asked() {
        let pieces = pieces(&lane().availability);
        assert_eq!(pieces.len(), 2);
        assert_eq!(pieces[0], [(0.0, 1.0), (1_000.0, 1.0), (1_000.0, 0.5), (2_000.0, 0.5)]);
    }

    #[test]
    fn without_counts_there_is_no_drawing() {
        let bare = Lane { availability: Vec::new(), missing: Vec::new(), ..lane() };
        assert_eq!(timeline(&[bare], "x", Size::Wide).unwrap(), None);
        let odd = Lane { missing: vec![(f64::NAN, 1.0, 2.0), (0.0, f64::INFINITY, 1.0)], ..Lane::default() };
        assert!(!timeline(&[odd], "x", Size::Wide).unwrap().unwrap().contains("NaN"));
    }
}
