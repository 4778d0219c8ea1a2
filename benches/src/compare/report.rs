//! The report: one HTML file with everything in it, and a file of JSON lines with every figure.

use std::path::Path;

use serde::Serialize;

use crate::compare::chart::{self, Bar, Line};
use crate::compare::drive::WINDOW;
use crate::compare::figure::{Figure, PERCENTILES};
use crate::compare::machine::Machine;
use crate::compare::peers::{self, ENGINE, SUBJECT};
use crate::compare::row::Row;
use crate::compare::summary::{Cell, cell, median, ratio, rows};
use crate::compare::{Result, process, table};

/// Rows whose latencies are drawn.
const LATENCIES: [&str; 11] =
    ["D1", "D8", "D64", "T8d", "B1", "T8b", "G", "G-zipf", "R", "Y-A", "O"];

/// Rows whose throughput over time is drawn.
const TIMELINES: [&str; 5] = ["O", "L", "L-durable", "D64", "Y-A"];

/// What was run.
#[derive(Clone, Debug, Serialize)]
pub struct Settings {
    /// On what.
    pub machine: Machine,
    /// So many keys were loaded.
    pub keys: u64,
    /// So long a row took in one round.
    pub seconds_per_row: f64,
    /// So many rounds.
    pub rounds: u32,
    /// What chose the keys.
    pub seed: u64,
    /// The stores, in the order of the columns.
    pub peers: Vec<&'static str>,
}

/// Writes `compare.jsonl`, whose first line holds the settings, and `compare.html` into `directory`.
///
/// # Errors
/// When they cannot be written.
pub fn write(directory: &Path, settings: &Settings, figures: &[Figure]) -> Result<()> {
    process::create_directory(directory)?;
    let mut lines = serde_json::to_string(settings)? + "\n";
    for figure in figures {
        lines.push_str(&serde_json::to_string(figure)?);
        lines.push('\n');
    }
    process::write_file(&directory.join("compare.jsonl"), &lines)?;
    process::write_file(&directory.join("compare.html"), &html(settings, figures)?)
}

const STYLE: &str = "
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1080px; margin: 2rem auto; padding: 0 1rem;
  color: #1a1a1a; background: #fff }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px }
td, th { padding: 2px 8px; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap }
td:first-child, th:first-child { text-align: left }
.ahead { background: #d9f0e3 } .behind { background: #fbe3d6 } .best { font-weight: 600 }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(480px, 1fr)); gap: 20px }
figure { margin: 0 } figcaption { font-size: 13px } svg { max-width: 100%; height: auto }
.key { display: inline-block; width: 12px; height: 12px; margin: 0 4px 0 14px }
.scroll { overflow-x: auto }
";

/// The whole page.
fn html(settings: &Settings, figures: &[Figure]) -> Result<String> {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>Icecore compared</title>\n<style>{STYLE}</style>\n<h1>Icecore compared</h1>\n"
    );
    page += &format!("<p>{}</p>\n", escape(&settings.machine.line()));
    page += &format!(
        "<p>{} keys, {} s a row and round, medians of {} rounds in which the stores take turns, \
         seed {}. The ratio is above 1 where Icecore is ahead of the best other store.</p>\n",
        settings.keys, settings.seconds_per_row, settings.rounds, settings.seed
    );
    page += "<h2>All rows</h2>\n";
    page += &html_table(settings, figures);
    page += "<h2>Row by row</h2>\n";
    page += &section(rows(figures).into_iter(), |row| bars(settings, figures, row))?;
    let legend = legend(settings);
    let drawn = |names: &'static [&'static str]| {
        rows(figures).into_iter().filter(|row| names.contains(&row.name))
    };
    page += &format!("<h2>Latencies</h2>\n<p>{legend}</p>\n");
    page += &section(drawn(&LATENCIES), |row| latencies(settings, figures, row))?;
    page += &format!("<h2>Throughput over time</h2>\n<p>The last round. {legend}</p>\n");
    page += &section(drawn(&TIMELINES), |row| timeline(settings, figures, row))?;
    page += "<h2>The stores</h2>\n<ul>\n";
    for peer in settings.peers.iter().filter_map(|name| peers::find(name)) {
        page += &format!(
            "<li><b>{}</b>: {}. A buffered commit survives {}.</li>\n",
            peer.name, peer.setup, peer.buffered_survives
        );
    }
    Ok(page + "</ul>\n</html>\n")
}

fn section(
    rows: impl Iterator<Item = &'static Row>,
    draw: impl Fn(&Row) -> Result<Option<String>>,
) -> Result<String> {
    let mut section = "<div class=\"charts\">\n".to_owned();
    for row in rows {
        if let Some(svg) = draw(row)? {
            let title = escape(row.title);
            section += &format!(
                "<figure><figcaption><b>{}</b> {title}</figcaption>\n{svg}</figure>\n",
                row.name
            );
        }
    }
    Ok(section + "</div>\n")
}

fn html_table(settings: &Settings, figures: &[Figure]) -> String {
    let mut text = "<div class=\"scroll\"><table>\n<tr><th>row<th>unit".to_owned();
    for peer in &settings.peers {
        text += &format!("<th>{peer}");
    }
    text += "<th>ratio<th>best other\n";
    for row in rows(figures) {
        text +=
            &format!("<tr><td title=\"{}\">{}<td>{}", escape(row.title), row.name, row.unit.name());
        let ratio = ratio(figures, row, &settings.peers);
        for peer in &settings.peers {
            let best = ratio.as_ref().is_some_and(|ratio| {
                if *peer == SUBJECT { ratio.times >= 1.0 } else { ratio.best == **peer }
            });
            let class = if best { " class=\"best\"" } else { "" };
            text += &match cell(figures, row.name, peer) {
                Cell::Median(median) => {
                    format!("<td{class}>{}", table::number(median, row.unit))
                }
                Cell::Failed(reason) => format!("<td title=\"{}\">failed", escape(&reason)),
                Cell::Skipped(reason) => format!("<td title=\"{}\">–", escape(&reason)),
                Cell::Empty => "<td>–".to_owned(),
            };
        }
        text += &match ratio {
            Some(ratio) => {
                let class = if ratio.times >= 1.0 { "ahead" } else { "behind" };
                format!("<td class=\"{class}\">{:.2}<td>{}\n", ratio.times, ratio.best)
            }
            None => "<td>–<td>\n".to_owned(),
        };
    }
    text + "</table></div>\n"
}

fn bars(settings: &Settings, figures: &[Figure], row: &Row) -> Result<Option<String>> {
    let bar = |(place, peer): (usize, &&'static str)| {
        let value = cell(figures, row.name, peer).median()?;
        let text = format!("{} {}", table::number(value, row.unit), row.unit.name());
        Some(Bar { place, name: (*peer).to_owned(), value, text })
    };
    let bars: Vec<Bar> = settings.peers.iter().enumerate().filter_map(bar).collect();
    if bars.is_empty() { Ok(None) } else { chart::bars(&bars).map(Some) }
}

/// The median of the rounds at each percentile.
fn latencies(settings: &Settings, figures: &[Figure], row: &Row) -> Result<Option<String>> {
    let line = |(place, peer): (usize, &&'static str)| {
        let own = || figures.iter().filter(|f| f.row == row.name && f.peer == **peer);
        let at = |step: usize| {
            median(own().filter_map(|figure| figure.latency_us.get(step).copied()).collect())
        };
        let point = |step: usize| Some((step as f64, at(step)?.max(0.001)));
        let points: Vec<_> = (0..PERCENTILES.len()).filter_map(point).collect();
        (!points.is_empty()).then_some(Line { place, points })
    };
    let lines: Vec<Line> = settings.peers.iter().enumerate().filter_map(line).collect();
    let name = |percentile: f64| match percentile {
        100.0 => "max".to_owned(),
        percentile => format!("p{percentile}"),
    };
    if lines.is_empty() {
        return Ok(None);
    }
    chart::percentiles(&PERCENTILES.map(name), &lines).map(Some)
}

fn timeline(settings: &Settings, figures: &[Figure], row: &Row) -> Result<Option<String>> {
    let line = |(place, peer): (usize, &&'static str)| {
        let own = |figure: &&Figure| figure.row == row.name && figure.peer == **peer;
        let last = figures.iter().rfind(own)?;
        // The last window is cut short by the end.
        let full = last.windows.len().saturating_sub(1).max(1).min(last.windows.len());
        let at = |window: usize| (window as f64 + 0.5) * WINDOW.as_secs_f64();
        let points: Vec<_> =
            last.windows[..full].iter().enumerate().map(|(w, rate)| (at(w), *rate)).collect();
        (!points.is_empty()).then_some(Line { place, points })
    };
    let lines: Vec<Line> = settings.peers.iter().enumerate().filter_map(line).collect();
    if lines.is_empty() { Ok(None) } else { chart::timeline(&lines).map(Some) }
}

fn legend(settings: &Settings) -> String {
    let key = |(place, peer): (usize, &&str)| {
        let plotters::style::RGBColor(red, green, blue) = chart::colour(place);
        let what = if *peer == ENGINE { " (not a peer)" } else { "" };
        format!(
            "<span class=\"key\" style=\"background:rgb({red},{green},{blue})\"></span>{peer}{what}"
        )
    };
    settings.peers.iter().enumerate().map(key).collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_holds_table_charts_and_reasons_and_refers_to_nothing_outside() {
        let own = Figure {
            row: "G".into(),
            peer: SUBJECT.into(),
            latency_us: vec![1.0; PERCENTILES.len()],
            ..Figure::number(5.0)
        };
        let failed =
            Figure { row: "G".into(), peer: "redb".into(), ..Figure::failed("1 < 2 & \"x\"") };
        let settings = Settings {
            machine: Machine::describe(Path::new("/")),
            keys: 1,
            seconds_per_row: 1.0,
            rounds: 1,
            seed: 1,
            peers: vec![SUBJECT, "redb"],
        };
        let page = html(&settings, &[own, failed]).expect("it is written");
        assert_eq!(page.matches("<svg").count(), 2, "bars and latencies");
        assert!(page.contains("1 &lt; 2 &amp; &quot;x&quot;"));
        let namespace = "http://www.w3.org/2000/svg";
        assert!(!page.replace(namespace, "").contains("http"));
    }
}
