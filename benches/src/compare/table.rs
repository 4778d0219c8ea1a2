//! The table on the terminal, which is Markdown as well.

use crate::compare::figure::Figure;
use crate::compare::row::{Row, Unit};
use crate::compare::summary::{Cell, cell, ratio, rows};

/// All rows and peers, with the ratio of the subject to the best of the others, and below it why
/// figures are missing.
pub fn render(figures: &[Figure], peers: &[&str]) -> String {
    let mut lines = vec![header(peers)];
    let mut remarks = Remarks::new();
    for row in rows(figures) {
        lines.push(line(figures, row, peers, &mut remarks));
    }
    let mut text = align(&lines);
    for (row, reason, peers) in remarks {
        text.push_str(&format!("\n- {row} of {}: {reason}", peers.join(", ")));
    }
    text.push('\n');
    text
}

/// Rows, why there is no figure, and the stores that have none.
type Remarks = Vec<(&'static str, String, Vec<String>)>;

fn header(peers: &[&str]) -> Vec<String> {
    let fixed = ["row", "unit"].into_iter();
    fixed.chain(peers.iter().copied()).chain(["ratio", "best other"]).map(str::to_owned).collect()
}

fn line(figures: &[Figure], row: &Row, peers: &[&str], remarks: &mut Remarks) -> Vec<String> {
    let mut line = vec![row.name.to_owned(), row.unit.name().to_owned()];
    for peer in peers {
        let cell = cell(figures, row.name, peer);
        line.push(match &cell {
            Cell::Median(median) => number(*median, row.unit),
            Cell::Failed(_) => "failed".to_owned(),
            Cell::Skipped(_) | Cell::Empty => "–".to_owned(),
        });
        if let Cell::Failed(reason) | Cell::Skipped(reason) = cell {
            let known = remarks.iter_mut().find(|known| known.0 == row.name && known.1 == reason);
            match known {
                Some((_, _, peers)) => peers.push((*peer).to_owned()),
                None => remarks.push((row.name, reason, vec![(*peer).to_owned()])),
            }
        }
    }
    match ratio(figures, row, peers) {
        Some(ratio) => line.extend([format!("{:.2}", ratio.times), ratio.best]),
        None => line.extend(["–".to_owned(), String::new()]),
    }
    line
}

/// A number with as many digits as mean something.
pub fn number(number: f64, unit: Unit) -> String {
    let digits = match unit {
        Unit::Factor => 2,
        _ if number < 10.0 => 2,
        _ if number < 100.0 => 1,
        _ => 0,
    };
    let text = format!("{number:.digits$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

/// Markdown whose columns are also straight in the source. The first two are left-aligned.
fn align(lines: &[Vec<String>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0).max(3)).collect();
    let mut text = String::new();
    for (place, line) in lines.iter().enumerate() {
        for (column, cell) in line.iter().enumerate() {
            let width = widths[column];
            let left = column < 2 || column + 1 == columns;
            let cell = if left { format!("{cell:<width$}") } else { format!("{cell:>width$}") };
            text.push_str(&format!("| {cell} "));
        }
        text.push_str("|\n");
        if place == 0 {
            for (column, width) in widths.iter().enumerate() {
                let left = column < 2 || column + 1 == columns;
                let rule = "-".repeat(width - 1);
                text.push_str(&if left { format!("| -{rule} ") } else { format!("| {rule}: ") });
            }
            text.push_str("|\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_short() {
        assert_eq!(number(1_234_567.8, Unit::PerSecond), "1,234,568");
        assert_eq!(number(123.4, Unit::Milliseconds), "123");
        assert_eq!(number(1.234, Unit::Factor), "1.23");
        assert_eq!(number(12.34, Unit::Milliseconds), "12.3");
    }

    #[test]
    fn stores_with_the_same_remark_share_it() {
        let skipped = |peer: &str| {
            let (row, peer) = ("D64-async".into(), peer.into());
            Figure { row, peer, ..Figure::skipped("commits can only be waited for") }
        };
        let text = render(&[skipped("a"), skipped("b")], &["a", "b"]);
        assert!(text.ends_with("- D64-async of a, b: commits can only be waited for\n"), "{text}");
    }

    #[test]
    fn a_failure_has_no_number_and_a_remark() {
        let mut failed = Figure::failed("key 7 is missing");
        (failed.row, failed.peer) = ("G".into(), "a".into());
        let mut own = Figure::number(5.0);
        (own.row, own.peer) = ("G".into(), "icecore".into());
        let text = render(&[own, failed], &["icecore", "a"]);
        assert!(text.contains("failed") && text.contains("- G of a: key 7 is missing"), "{text}");
    }
}
