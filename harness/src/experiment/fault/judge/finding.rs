//! What a checker says: a verdict, the violations with their evidence, and what was measured on the way.

use super::super::history::{Phase, Us};
use super::story::{Line, Story};
pub use crate::experiment::restart_recovery::judge::Verdict;

/// Violations of one check that are kept with their evidence; all are counted.
pub(super) const SHOWN_MAX: usize = 10;

/// A property that a history has or has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Check {
    /// All nodes show the same after the heal, in time.
    Agreement,
    /// What is kept alive is served by every node at the end.
    NoLostInstance,
    /// What was deregistered stays away.
    NoResurrection,
    /// What nobody keeps alive goes away in time.
    NoZombie,
    /// A service with living clients is never shown empty.
    NoEmptiedService,
    /// Enough requests are answered.
    Availability,
    /// A change is shown by nodes that no fault is about as soon as it was before.
    SyncLatency,
    /// An acknowledged write to a register is there in the end, or was overwritten.
    NoLostWrite,
    /// All nodes apply writes in one order, and that agrees with the times of the acknowledgements.
    LinearizableWrites,
    /// No read is behind an acknowledged write.
    LinearizableReads,
}

impl Check {
    /// All of them, in the order of reports.
    pub const ALL: [Check; 10] = [
        Check::Agreement,
        Check::NoLostInstance,
        Check::NoResurrection,
        Check::NoZombie,
        Check::NoEmptiedService,
        Check::Availability,
        Check::SyncLatency,
        Check::NoLostWrite,
        Check::LinearizableWrites,
        Check::LinearizableReads,
    ];

    /// As in scenario files and reports.
    pub fn name(self) -> &'static str {
        match self {
            Check::Agreement => "agreement",
            Check::NoLostInstance => "no-lost-instance",
            Check::NoResurrection => "no-resurrection",
            Check::NoZombie => "no-zombie",
            Check::NoEmptiedService => "no-emptied-service",
            Check::Availability => "availability",
            Check::SyncLatency => "sync-latency",
            Check::NoLostWrite => "no-lost-write",
            Check::LinearizableWrites => "linearizable-writes",
            Check::LinearizableReads => "linearizable-reads",
        }
    }

    /// The check of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// Whether a scenario that names no checks demands it. The others are measurements until they are named.
    pub fn is_default(self) -> bool {
        !matches!(self, Check::Availability | Check::SyncLatency | Check::LinearizableReads)
    }
}

/// One event of the history that proves something.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// Line of the history, from 1.
    pub line: Line,
    /// When it was over.
    pub at: Us,
    /// The event in words.
    pub what: String,
}

/// Something that must not be.
#[derive(Debug, Clone, PartialEq)]
pub struct Violation {
    /// The shortest explanation.
    pub says: String,
    /// The events that prove it, in order of time.
    pub evidence: Vec<Evidence>,
}

/// A distribution that was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// What, e.g. `missing`.
    pub what: String,
    /// At which node, if at one.
    pub node: Option<usize>,
    /// In which phase, if in one.
    pub phase: Option<Phase>,
    /// `ms`, `%` or `1`.
    pub unit: &'static str,
    /// The values, in no order.
    pub values: Vec<f64>,
}

impl Figure {
    /// A figure of the whole run.
    pub fn new(what: impl Into<String>, unit: &'static str, values: Vec<f64>) -> Self {
        Self { what: what.into(), node: None, phase: None, unit, values }
    }

    /// The same, of one node.
    #[must_use]
    pub fn at(self, node: usize) -> Self {
        Self { node: Some(node), ..self }
    }

    /// The same, of one phase.
    #[must_use]
    pub fn during(self, phase: Phase) -> Self {
        Self { phase: Some(phase), ..self }
    }

    /// Median, 99th percentile and largest value; nothing without values.
    pub fn quantiles(&self) -> Option<[f64; 3]> {
        let mut values = self.values.clone();
        values.sort_by(f64::total_cmp);
        let at = |share: f64| values.get(((values.len() as f64 * share).ceil() as usize).max(1) - 1).copied();
        Some([at(0.5)?, at(0.99)?, at(1.0)?])
    }
}

/// What one checker says.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Of what.
    pub check: Check,
    /// Whether the scenario demands it.
    pub is_demanded: bool,
    /// The verdict.
    pub verdict: Verdict,
    /// How many violations there were.
    pub count: u64,
    /// How many of them began at a Tandem node: what excuses official nodes does not excuse these.
    pub of_tandem: u64,
    /// The first of them.
    pub violations: Vec<Violation>,
    /// Why it could not be judged.
    pub unknown: Vec<String>,
    /// How many of these are an official member's silence beside Tandem nodes, of which it says nothing.
    pub of_silence: usize,
    /// What was measured.
    pub figures: Vec<Figure>,
}

impl Finding {
    pub(super) fn new(check: Check) -> Self {
        Self {
            check,
            is_demanded: false,
            verdict: Verdict::Pass,
            count: 0,
            of_tandem: 0,
            violations: Vec::new(),
            unknown: Vec::new(),
            of_silence: 0,
            figures: Vec::new(),
        }
    }

    /// Counts a violation, and keeps its explanation and the lines that prove it while there is room.
    pub(super) fn violated(&mut self, story: &Story<'_>, explain: impl FnOnce() -> (String, Vec<Line>)) {
        self.verdict = Verdict::Fail;
        self.count += 1;
        if self.violations.len() < SHOWN_MAX {
            let (says, mut lines) = explain();
            lines.sort_unstable();
            lines.dedup();
            let evidence = lines.into_iter().filter_map(|it| story.evidence(it)).collect();
            self.violations.push(Violation { says, evidence });
        }
    }

    /// It cannot be judged. A violation that was found all the same remains one.
    pub(super) fn unknown(&mut self, why: impl Into<String>) {
        self.verdict = self.verdict.max(Verdict::Unknown);
        self.unknown.push(why.into());
    }

    /// A node gave no answer, so what it holds cannot be judged.
    pub(super) fn unanswered(&mut self, story: &Story<'_>, node: usize, why: impl Into<String>) {
        self.unknown(why);
        self.of_silence += usize::from(story.is_official_beside_tandem(node));
    }

    /// Whether official members' silence is all there is to say.
    pub fn is_but_silence(&self) -> bool {
        self.count == 0 && self.of_silence == self.unknown.len()
    }

    /// The shortest thing to say about it; nothing on a pass.
    pub fn says(&self) -> Option<String> {
        match self.verdict {
            Verdict::Pass => None,
            Verdict::Unknown => self.unknown.first().cloned(),
            Verdict::Fail => {
                let first = self.violations.first()?;
                let more = self.count.saturating_sub(1);
                Some(if more == 0 { first.says.clone() } else { format!("{} (and {more} more)", first.says) })
            }
        }
    }
}

/// A time as people read it in a history: `12.031 s`.
pub(super) fn seconds(at: Us) -> String {
    format!("{}.{:03} s", at / 1_000_000, at % 1_000_000 / 1_000)
}

/// `12.031 s (line 812)`.
pub(super) fn when(at: Us, line: Line) -> String {
    format!("{} (line {line})", seconds(at))
}

/// Microseconds as milliseconds.
pub(super) fn ms(time: Us) -> f64 {
    time as f64 / 1000.0
}
