//! The pages around the reports of a published site: overview, compatibility by version, method.
//!
//! All are functions of the published runs, newest first; figures of different runs stand in different rows or
//! sections and are never set against each other.

use std::collections::BTreeSet;

use serde::Serialize;

use super::template::{self, Frame, Site};
use super::{Colours, boards, figure, headline, matrix, methods};
use crate::report::badge::Badge;
use crate::report::catalogue::Shape;
use crate::report::figures;
use crate::report::format;
use crate::report::score::{self, Score};
use crate::results::Results;

pub(in crate::report) use super::template::{METHOD, OVERVIEW, VERSIONS};

/// Plots on the overview; the report of the run has all of them.
const PLOTS_MAX: usize = 2;

/// Which run a page speaks of.
#[derive(Debug, Clone, Serialize)]
pub(super) struct RunView {
    id: String,
    /// Its report, below the root.
    link: String,
    /// Sorts like the time.
    started_at: String,
    when: String,
    profile: String,
    commit: String,
    host: String,
    targets: String,
    command: String,
}

/// A run in the table of all runs.
#[derive(Debug, Serialize)]
struct RunRow {
    run: RunView,
    /// Per judged target: name, share of calls answered alike.
    compatible: Vec<(String, String)>,
    /// What the column sorts by.
    compatible_key: f64,
    fast: Option<headline::Tile>,
    faults: String,
}

#[derive(Debug, Serialize)]
struct Overview {
    #[serde(flatten)]
    frame: Frame,
    lead: Option<RunView>,
    warnings: Vec<String>,
    tiles: Vec<headline::Tile>,
    conformance: Option<matrix::View>,
    plots: Vec<figure::Plot>,
    plots_left: usize,
    rows: Vec<RunRow>,
    badges: Vec<BadgeView>,
}

#[derive(Debug, Serialize)]
struct BadgeView {
    svg: String,
    markdown: String,
}

#[derive(Debug, Serialize)]
struct Method {
    #[serde(flatten)]
    frame: Frame,
    methods: Vec<(String, &'static str)>,
    runs: Vec<RunView>,
}

/// The report of one run as part of a site.
///
/// # Errors
/// When a template or a drawing does not render.
pub(in crate::report) fn run_page(results: &Results) -> anyhow::Result<String> {
    template::render("report.html", super::page(results, None, Some(Site::run()))?)
}

/// The first page: what the leading run found, and all runs.
///
/// # Errors
/// As [`run_page`].
pub(in crate::report) fn overview(runs: &[Results], badges: &[Badge]) -> anyhow::Result<String> {
    // The newest run that answers both questions; else the newest.
    let whole = runs.iter().find(|it| it.conformance.is_some() && !it.ratios.is_empty());
    let lead = whole.or(runs.first());
    let mut page = Overview {
        frame: Frame::new(
            "How closely servers that claim to be Nacos answer as real Nacos does, and how fast: measured side by \
             side, with every difference to look at."
                .to_owned(),
            Some(Site::page(OVERVIEW)),
        ),
        lead: lead.map(run_view),
        warnings: Vec::new(),
        tiles: Vec::new(),
        conformance: None,
        plots: Vec::new(),
        plots_left: 0,
        rows: runs.iter().map(row).collect(),
        badges: badges
            .iter()
            .map(|it| BadgeView {
                svg: it.svg(),
                markdown: format!("![{}: {}](badges/{}.svg)", it.label, it.value, it.name),
            })
            .collect(),
    };
    if let Some(results) = lead {
        let groups = figures::groups(results);
        let score = Score::of(results);
        let names = figures::target_names(results);
        let colours = Colours(&names);
        page.warnings = crate::report::verdict::warnings(results, score.as_ref());
        page.tiles = headline::tiles(results, &groups, score.as_ref());
        page.conformance = score.as_ref().map(|it| matrix::view(super::reference_of(results), it, &colours));
        let curves: Vec<_> = groups.iter().filter(|it| it.shape() == Shape::Curve).collect();
        page.plots_left = curves.len().saturating_sub(PLOTS_MAX);
        for group in curves.into_iter().take(PLOTS_MAX) {
            page.plots.push(figure::plot(results, group, &colours)?);
        }
    }
    template::render("overview.html", page)
}

/// How it was measured, on what, and how to repeat it.
///
/// # Errors
/// As [`run_page`].
pub(in crate::report) fn method(runs: &[Results]) -> anyhow::Result<String> {
    let mut all = Vec::new();
    for results in runs {
        for entry in methods(&figures::groups(results)) {
            if !all.iter().any(|(_, known): &(String, &str)| *known == entry.1) {
                all.push(entry);
            }
        }
    }
    let page = Method {
        frame: Frame::new(
            "How the figures were measured, on what, and the commands that repeat them.".to_owned(),
            Some(Site::page(METHOD)),
        ),
        methods: all,
        runs: runs.iter().map(run_view).collect(),
    };
    template::render("method.html", page)
}

/// The matrices by version of Nacos.
///
/// # Errors
/// As [`run_page`].
pub(in crate::report) fn versions(runs: &[Results]) -> anyhow::Result<String> {
    template::render("versions.html", boards::page(runs))
}

/// The newest run of each version and set of judged targets. One that compared with the living server goes before
/// any that had only its recorded answers.
pub(in crate::report) fn newest_judged(runs: &[Results]) -> Vec<&Results> {
    let mut seen = BTreeSet::new();
    let first = |results: &&Results| {
        let Some(score) = Score::of(results).filter(|it| !it.targets.is_empty()) else { return false };
        let subjects: Vec<String> = headline::subjects(results, &score).into_iter().map(|it| it.1).collect();
        seen.insert((version(results), subjects))
    };
    live_first(runs).filter(first).collect()
}

/// Runs that compared with the living server, then those that had only its recorded answers; each newest first.
pub(super) fn live_first(runs: &[Results]) -> impl Iterator<Item = &Results> {
    let is_recorded = |it: &&Results| super::reference_of(it).starts_with("recordings");
    let (recorded, live): (Vec<&Results>, Vec<&Results>) = runs.iter().partition(is_recorded);
    live.into_iter().chain(recorded)
}

/// The version of Nacos a run was held to: `1.4.1` from `nacos@1.4.1`, `3xnacos@1.4.1` or `recordings/1.4.1`.
pub(in crate::report) fn version(results: &Results) -> Option<String> {
    let reference = &results.conformance.as_ref()?.reference;
    let version = reference.rsplit(['@', '/', ':']).next().unwrap_or(reference);
    Some(format::one_line(version, 40))
}

/// Per judged target its name and counts.
pub(in crate::report) fn shares(results: &Results) -> Vec<(String, crate::results::Counts)> {
    let Some(score) = Score::of(results) else { return Vec::new() };
    headline::subjects(results, &score).into_iter().map(|(column, name)| (name, score.total(column))).collect()
}

/// `4,760× sooner` of the leading figure, with the name of that figure; absent without a clear ratio.
pub(in crate::report) fn leading_ratio(results: &Results) -> Option<(String, String)> {
    let reference = figures::reference(results)?;
    let subject = headline::measured(results, Some(&reference))?;
    figures::groups(results)
        .iter()
        .find_map(|group| {
            let standing = group.standing(results, group.stat(), subject, &reference)?;
            let view = figure::view(&standing, group);
            Some((format!("{} {}", group.name().to_lowercase(), group.stat()), view))
        })
        .filter(|(_, view)| view.kind != "even")
        .map(|(name, view)| (name, view.words))
}

fn row(results: &Results) -> RunRow {
    let groups = figures::groups(results);
    let shares = shares(results);
    let share =
        |(_, counts): &(String, crate::results::Counts)| f64::from(counts.pass) / score::tried(counts).max(1) as f64;
    let (held, tried) = headline::faults(results);
    RunRow {
        run: run_view(results),
        compatible_key: shares.first().map_or(-1.0, share),
        compatible: shares
            .iter()
            .map(|(name, counts)| {
                (format::one_line(name, 80), format::percent(u64::from(counts.pass), score::tried(counts)))
            })
            .collect(),
        fast: headline::fast(results, &groups),
        faults: if tried == 0 { format::NONE.to_owned() } else { format!("{held} of {tried}") },
    }
}

pub(super) fn run_view(results: &Results) -> RunView {
    let run = &results.run;
    let names = figures::target_names(results);
    let short = |commit: &str| {
        let hex = commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
        format::one_line(if hex { commit.get(..10).unwrap_or(commit) } else { commit }, 40)
    };
    RunView {
        id: format::one_line(&run.id, 100),
        link: format!("runs/{}/index.html", format::one_line(&run.id, 100)),
        started_at: format::one_line(&run.started_at, 60),
        when: format::moment(&run.started_at),
        profile: format::one_line(&run.profile, 60),
        commit: short(&run.git_commit),
        host: format::one_line(&format::host(&run.host), 200),
        targets: super::title(results, &names),
        command: format::visible(&format::cut(&run.command, 4000)),
    }
}
