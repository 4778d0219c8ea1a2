//! Charts as SVG text, drawn by plotters. Axis texts need no font of this machine: the browser has
//! one.

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::compare::Result;

/// One colour for each store, distinguishable without red and green.
const COLOURS: [RGBColor; 9] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(204, 121, 167),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(148, 103, 189),
    RGBColor(140, 140, 140),
    RGBColor(90, 90, 90),
];

/// The width of a chart in pixels.
const WIDTH: u32 = 480;

/// The height of one with axes.
const HEIGHT: u32 = 260;

/// The height of one bar, with the gap below it.
const BAR: u32 = 20;

/// Where bars begin: before it are names.
const NAMES: u32 = 110;

/// Where the longest bar ends: after it are numbers.
const NUMBERS: u32 = 90;

/// A bar.
#[derive(Clone, Debug)]
pub struct Bar {
    /// The place of the store, which chooses its colour.
    pub place: usize,
    /// The name of the store.
    pub name: String,
    /// Its figure.
    pub value: f64,
    /// The same as text.
    pub text: String,
}

/// A line.
#[derive(Clone, Debug)]
pub struct Line {
    /// The place of the store, which chooses its colour.
    pub place: usize,
    /// The points from left to right.
    pub points: Vec<(f64, f64)>,
}

/// The colour of the store at a place.
pub fn colour(place: usize) -> RGBColor {
    COLOURS[place % COLOURS.len()]
}

/// Draws on a canvas, and gives its text.
fn svg(
    width: u32,
    height: u32,
    draw: impl FnOnce(&DrawingArea<SVGBackend<'_>, Shift>) -> Result<()>,
) -> Result<String> {
    let mut text = String::new();
    let area = SVGBackend::with_string(&mut text, (width, height)).into_drawing_area();
    draw(&area)?;
    area.present().map_err(told)?;
    drop(area);
    Ok(text)
}

/// Errors of a backend that writes into memory have nothing to say but their text.
fn told(error: impl ToString) -> String {
    error.to_string()
}

#[expect(clippy::cast_possible_truncation, reason = "pixels of a small picture")]
fn pixel(at: f64) -> i32 {
    at as i32
}

/// Horizontal bars from zero, the longest as wide as there is room.
///
/// # Errors
/// When it cannot be drawn.
pub fn bars(bars: &[Bar]) -> Result<String> {
    let longest = bars.iter().map(|bar| bar.value).fold(f64::MIN_POSITIVE, f64::max);
    let height = BAR * u32::try_from(bars.len())?.max(1);
    svg(WIDTH, height, |area| {
        for (row, bar) in bars.iter().enumerate() {
            let top = i32::try_from(row)? * BAR as i32;
            let room = f64::from(WIDTH - NAMES - NUMBERS);
            let (left, length) = (NAMES as i32, pixel(bar.value / longest * room).max(1));
            let (text, bottom) = (("sans-serif", 13).into_font(), top + BAR as i32 - 4);
            let colour = colour(bar.place);
            let shape = Rectangle::new([(left, top), (left + length, bottom)], colour.filled());
            area.draw(&shape).map_err(told)?;
            area.draw(&Text::new(bar.name.clone(), (0, top + 1), text.clone())).map_err(told)?;
            let after = (left + length + 5, top + 1);
            area.draw(&Text::new(bar.text.clone(), after, text)).map_err(told)?;
        }
        Ok(())
    })
}

/// Latencies at percentiles: the axis below has one step for each, the one beside is logarithmic.
///
/// # Errors
/// When it cannot be drawn.
pub fn percentiles(names: &[String], lines: &[Line]) -> Result<String> {
    let values = || lines.iter().flat_map(|line| line.points.iter().map(|point| point.1));
    let low = values().fold(f64::INFINITY, f64::min).max(0.001);
    let high = values().fold(low * 10.0, f64::max);
    svg(WIDTH, HEIGHT, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .x_label_area_size(28)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..(names.len() as f64 - 1.0), (low..high * 1.2).log_scale())
            .map_err(told)?;
        let name = |at: &f64| names.get(pixel(at.round()) as usize).cloned().unwrap_or_default();
        chart
            .configure_mesh()
            .x_labels(names.len())
            .x_label_formatter(&name)
            .y_label_formatter(&|us: &f64| duration(*us))
            .light_line_style(TRANSPARENT)
            .draw()
            .map_err(told)?;
        for line in lines {
            let style = colour(line.place).stroke_width(2);
            chart.draw_series(LineSeries::new(line.points.clone(), style)).map_err(told)?;
        }
        Ok(())
    })
}

/// Throughput over time, both axes from zero.
///
/// # Errors
/// When it cannot be drawn.
pub fn timeline(lines: &[Line]) -> Result<String> {
    let points = || lines.iter().flat_map(|line| line.points.iter());
    let end = points().map(|point| point.0).fold(0.1, f64::max);
    let top = points().map(|point| point.1).fold(1.0, f64::max);
    svg(WIDTH, HEIGHT, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .x_label_area_size(28)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..end, 0.0..top * 1.05)
            .map_err(told)?;
        chart
            .configure_mesh()
            .x_label_formatter(&|s: &f64| format!("{s:.1} s"))
            .y_label_formatter(&|rate: &f64| thousands(*rate))
            .light_line_style(TRANSPARENT)
            .draw()
            .map_err(told)?;
        for line in lines {
            let style = colour(line.place).stroke_width(2);
            chart.draw_series(LineSeries::new(line.points.clone(), style)).map_err(told)?;
        }
        Ok(())
    })
}

fn duration(us: f64) -> String {
    match us {
        us if us >= 1e6 => format!("{:.0} s", us / 1e6),
        us if us >= 1e3 => format!("{:.0} ms", us / 1e3),
        us if us >= 1.0 => format!("{us:.0} µs"),
        us => format!("{:.0} ns", us * 1e3),
    }
}

fn thousands(rate: f64) -> String {
    match rate {
        rate if rate >= 1e6 => format!("{:.1} M/s", rate / 1e6),
        rate if rate >= 1e3 => format!("{:.0} k/s", rate / 1e3),
        rate => format!("{rate:.0} /s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charts_are_svg_with_their_names_and_one_path_for_each_line() {
        let bar = Bar { place: 0, name: "redb".into(), value: 3.0, text: "3 /s".into() };
        let text = bars(&[bar]).expect("it draws");
        assert!(text.starts_with("<svg") && text.contains("redb") && text.contains("3 /s"));
        let lines = [1.0, 2.0].map(|y| Line { place: 1, points: vec![(0.0, y), (1.0, 9.0)] });
        let names = ["p50".to_owned(), "max".to_owned()];
        let text = percentiles(&names, &lines).expect("it draws");
        assert!(text.contains("p50") && text.matches("stroke=\"#E69F00\"").count() == 2);
        assert!(timeline(&lines).expect("it draws").contains(" s\n"));
        assert!(timeline(&[]).is_ok() && bars(&[]).is_ok(), "nothing to draw is no failure");
    }
}
