//! From figures to medians and ratios.

use crate::compare::figure::Figure;
use crate::compare::peers::{ENGINE, SUBJECT};
use crate::compare::row::{self, ROWS, Row};

/// All figures of one row of one peer.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// The median of the rounds.
    Median(f64),
    /// It failed in at least one round, for this reason.
    Failed(String),
    /// It was not tried, for this reason.
    Skipped(String),
    /// There is nothing.
    Empty,
}

impl Cell {
    /// The median, if there is one.
    pub fn median(&self) -> Option<f64> {
        match self {
            Cell::Median(median) => Some(*median),
            _ => None,
        }
    }
}

/// The subject against the best of the others.
#[derive(Clone, Debug, PartialEq)]
pub struct Ratio {
    /// How much better: above 1 the subject is ahead, whether more is better or less.
    pub times: f64,
    /// The best of the others.
    pub best: String,
}

/// The middle of some numbers; of two middles the mean.
pub fn median(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    let upper = *numbers.get(middle)?;
    Some(if numbers.len() % 2 == 1 { upper } else { (numbers[middle - 1] + upper) / 2.0 })
}

/// The figures of a row and a peer, told as one.
pub fn cell(figures: &[Figure], row: &str, peer: &str) -> Cell {
    let own: Vec<_> = figures.iter().filter(|f| f.row == row && f.peer == peer).collect();
    if let Some(failure) = own.iter().find_map(|figure| figure.failure.clone()) {
        return Cell::Failed(failure);
    }
    if let Some(reason) = own.iter().find_map(|figure| figure.skipped.clone()) {
        return Cell::Skipped(reason);
    }
    median(own.iter().map(|figure| figure.value).collect()).map_or(Cell::Empty, Cell::Median)
}

/// The ratio of a row, if both sides have a figure.
pub fn ratio(figures: &[Figure], row: &Row, peers: &[&str]) -> Option<Ratio> {
    let own = cell(figures, row.name, SUBJECT).median()?;
    let against = row.against.and_then(row::find).unwrap_or(row);
    let better = |a: f64, b: f64| if row.unit.more_is_better() { a > b } else { a < b };
    let mut best: Option<(f64, &str)> = None;
    for peer in peers.iter().filter(|peer| ![SUBJECT, ENGINE].contains(peer)) {
        if let Some(median) = cell(figures, against.name, peer).median()
            && best.is_none_or(|(other, _)| better(median, other))
        {
            best = Some((median, peer));
        }
    }
    let (other, best) = best?;
    let times = if row.unit.more_is_better() { own / other } else { other / own };
    Some(Ratio { times, best: best.to_owned() })
}

/// The rows of which there is any figure.
pub fn rows(figures: &[Figure]) -> Vec<&'static Row> {
    ROWS.iter().filter(|row| figures.iter().any(|figure| figure.row == row.name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(row: &str, peer: &str, value: f64) -> Figure {
        Figure { row: row.into(), peer: peer.into(), ..Figure::number(value) }
    }

    #[test]
    fn the_median_ignores_the_outlier_and_one_failure_takes_the_cell() {
        let mut figures: Vec<_> = [1.0, 900.0, 2.0].map(|v| figure("G", "redb", v)).into();
        assert_eq!(cell(&figures, "G", "redb"), Cell::Median(2.0));
        figures.push(Figure { row: "G".into(), peer: "redb".into(), ..Figure::failed("lost") });
        assert_eq!(cell(&figures, "G", "redb"), Cell::Failed("lost".into()));
        assert_eq!(median(vec![1.0, 4.0]), Some(2.5));
        assert_eq!(median(vec![]), None);
    }

    #[test]
    fn ratios_are_above_one_when_the_subject_is_ahead() {
        let figures = [
            figure("G", SUBJECT, 30.0),
            figure("G", "a", 10.0),
            figure("G", "b", 15.0),
            figure("open", SUBJECT, 4.0),
            figure("open", "a", 2.0),
            figure("open", "b", 8.0),
        ];
        let of = |name| ratio(&figures, row::find(name).expect("it is a row"), &["a", "b"]);
        assert_eq!(of("G"), Some(Ratio { times: 2.0, best: "b".into() }));
        assert_eq!(of("open"), Some(Ratio { times: 0.5, best: "a".into() }));
        assert_eq!(of("S"), None);
    }
}
