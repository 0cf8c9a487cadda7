//! The matrices of all published runs: one per version of Nacos and shape of the asked server, a column per target.
//!
//! A column is the newest run of its target that compared with the living server, or else with its recorded answers.
//! Every verdict was found within one run, beside what it was compared with; the columns only stand side by side.

use serde::Serialize;

use super::site::{RunView, live_first, run_view, version};
use super::template::{Frame, Site, VERSIONS};
use super::{Colours, matrix, reference_of};
use crate::report::format;
use crate::report::score::{self, Score};
use crate::results::Results;

#[derive(Debug, Serialize)]
pub(super) struct Page {
    #[serde(flatten)]
    frame: Frame,
    boards: Vec<BoardView>,
}

#[derive(Debug, Serialize)]
struct BoardView {
    version: String,
    shape: &'static str,
    columns: Vec<ColumnView>,
    matrix: matrix::View,
}

#[derive(Debug, Serialize)]
struct ColumnView {
    target: String,
    colour: usize,
    /// `96.6 %`.
    share: String,
    /// `1,172 of 1,213`.
    alike: String,
    kept: String,
    differ: String,
    unjudged: String,
    skipped: String,
    /// `compared with nacos@1.4.1`, `the reference itself`, `another version, held to nothing`.
    role: String,
    run: RunView,
}

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Shape {
    Single,
    Cluster,
    Mixed,
}

impl Shape {
    fn of(target: &str, results: &Results) -> Self {
        let mut cases = results.conformance.iter().flat_map(|it| &it.cases).filter(|it| it.target == target);
        match (target.contains('+'), cases.any(|it| it.id.ends_with("@cluster"))) {
            (true, _) => Shape::Mixed,
            (false, true) => Shape::Cluster,
            (false, false) => Shape::Single,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Shape::Single => "one server",
            Shape::Cluster => "a cluster of three",
            Shape::Mixed => "a mixed cluster, by what its members send each other",
        }
    }
}

struct Board<'a> {
    version: String,
    shape: Shape,
    columns: Vec<(String, &'a Results)>,
}

/// Everything the page shows.
pub(super) fn page(runs: &[Results]) -> Page {
    Page {
        frame: Frame::new(
            "Every API call, and whether it is answered to the byte as the real server answers it.".to_owned(),
            Some(Site::page(VERSIONS)),
        ),
        boards: boards(runs).iter().map(board_view).collect(),
    }
}

fn boards(runs: &[Results]) -> Vec<Board<'_>> {
    let mut boards: Vec<Board<'_>> = Vec::new();
    for results in live_first(runs) {
        let (Some(version), Some(score)) = (version(results), Score::of(results)) else { continue };
        for target in score.targets {
            let shape = Shape::of(&target, results);
            let board = boards.iter_mut().find(|it| it.version == version && it.shape == shape);
            match board {
                Some(board) if board.columns.iter().any(|(known, _)| *known == target) => {}
                Some(board) => board.columns.push((target, results)),
                None => boards.push(Board { version: version.clone(), shape, columns: vec![(target, results)] }),
            }
        }
    }
    for board in &mut boards {
        board.columns.sort_by_key(|(target, results)| (place(target, results), std::cmp::Reverse(target.clone())));
    }
    boards.sort_by(|a, b| b.version.cmp(&a.version).then(a.shape.cmp(&b.shape)));
    boards
}

/// Judged servers first, then what they are compared with, then other versions of it.
fn place(target: &str, results: &Results) -> u8 {
    let informative = results.conformance.iter().any(|it| it.informative.iter().any(|name| name == target));
    match (informative, reference_of(results) == target) {
        (true, _) => 2,
        (false, true) => 1,
        (false, false) => 0,
    }
}

fn board_view(board: &Board<'_>) -> BoardView {
    let names: Vec<String> = board.columns.iter().map(|(target, _)| target.clone()).collect();
    let colours = Colours(&names);
    let score = Score::over(&board.columns);
    let column = |(at, (target, results)): (usize, &(String, &Results))| {
        let counts = score.total(at);
        let number = |it: u32| if it == 0 { format::NONE.to_owned() } else { format::count(u64::from(it)) };
        ColumnView {
            target: format::one_line(target, 80),
            colour: colours.of(target),
            share: format::percent(u64::from(counts.pass), score::tried(&counts)),
            alike: format!("{} of {}", format::count(u64::from(counts.pass)), format::count(score::tried(&counts))),
            kept: number(counts.kept),
            differ: number(counts.fail),
            unjudged: number(counts.error),
            skipped: number(counts.skip),
            role: match place(target, results) {
                2 => "another version, held to nothing".to_owned(),
                1 => "what the others are compared with".to_owned(),
                _ => format!("compared with {}", format::one_line(reference_of(results), 80)),
            },
            run: run_view(results),
        }
    };
    BoardView {
        shape: board.shape.words(),
        columns: board.columns.iter().enumerate().map(column).collect(),
        matrix: matrix::view(&format!("Nacos {}", board.version), &score, &colours),
        version: board.version.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::fixture::{NACOS, TANDEM, sample};

    #[test]
    fn runs_that_are_held_to_one_version_share_a_matrix() {
        let newer = sample();
        let mut older = sample();
        older.run.id = "older".into();
        let conformance = older.conformance.as_mut().unwrap();
        conformance.informative = vec!["3xnacos@1.1.4".into()];
        for case in &mut conformance.cases {
            if case.target == TANDEM {
                case.target = "3xnacos@1.1.4".into();
            }
        }
        let runs = [newer, older];
        let boards = boards(&runs);
        let columns = |at: usize| -> Vec<(&str, &str)> {
            boards[at].columns.iter().map(|(target, run)| (target.as_str(), run.run.id.as_str())).collect()
        };
        let newer = runs[0].run.id.as_str();
        assert_eq!(boards.len(), 2);
        assert_eq!(columns(0), [(TANDEM, newer), (NACOS, newer), ("3xnacos@1.1.4", "older")]);
        assert_eq!(boards[1].shape, Shape::Mixed);
        let view = board_view(&boards[0]);
        assert_eq!(view.columns[2].role, "another version, held to nothing");
    }
}
