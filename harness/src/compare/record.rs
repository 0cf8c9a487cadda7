//! The record of a run while it grows.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

use super::rows::{GENERATOR_LAG_P99_MS_MAX, Rows};
use super::scenarios::Done;
use super::{ConformancePart, Plan, ratios};
use crate::experiment::expiry::verdicts::verdicts;
use crate::experiment::expiry::{self, Seen};
use crate::experiment::kind_name;
use crate::experiment::persistent::change::Changes;
use crate::experiment::persistent::kills;
use crate::experiment::restart_recovery::judge::Judgement;
use crate::experiment::restart_recovery::{figures, history};
use crate::experiment::snapshot_load::Part;
use crate::host::{self, LoadWatch};
use crate::results::{
    Agreement, ClientRun, Conformance, Fault, Outcome, Random, Results, Run, SCHEMA, Skipped, Target, TargetNode,
    WindowCheck,
};
use crate::target::Cluster;

/// Reason of a skip that the user chose with the profile.
pub const NOT_PLANNED: &str = "not in this profile for such a target";

/// Everything a run has found so far.
#[derive(Debug)]
pub struct Record {
    /// What was measured.
    pub rows: Rows,
    run: Run,
    watch: LoadWatch,
    targets: Vec<Target>,
    conformance: Option<Conformance>,
    /// Runs of official clients.
    pub clients: Vec<ClientRun>,
    /// Generated sequences.
    pub random: Vec<Random>,
    /// Verdicts on whether the nodes of a target hold the same.
    pub agreements: Vec<Agreement>,
    /// Verdicts on the times in which health changes; they grow with every target.
    pub windows: Vec<WindowCheck>,
    faults: Vec<Fault>,
    skipped: Vec<Skipped>,
    seed: u64,
    stamp: String,
}

/// What the record says of a cluster.
pub fn described(cluster: &Cluster) -> Target {
    let node = |it: &crate::target::Node| TargetNode {
        kind: kind_name(it.kind).to_owned(),
        version: it.version.clone(),
        launch: it.launch.clone(),
        address: it.address.clone(),
        artifact: it.artifact.clone(),
    };
    let ready = cluster.ready.as_secs_f64() * 1000.0;
    Target {
        target: cluster.target.clone(),
        nodes: cluster.nodes.iter().map(node).collect(),
        ready_ms: if ready > 0.0 { vec![ready] } else { Vec::new() },
        rss_bytes: Vec::new(),
        cpu_seconds: cluster.cpu_seconds.clone(),
    }
}

impl Record {
    /// Begins a record, and to watch the machine.
    pub fn begin(plan: &Plan) -> Self {
        let now = OffsetDateTime::now_utc();
        let format = format_description!("[year][month][day]-[hour][minute][second]");
        // Neither format can fail for a date of this millennium.
        let stamp = now.format(format).unwrap_or_else(|_| now.unix_timestamp().to_string());
        let watch = LoadWatch::begin();
        let run = Run {
            id: plan.id.clone(),
            started_at: now.format(&Rfc3339).unwrap_or_else(|_| stamp.clone()),
            duration_s: 0.0,
            profile: plan.profile.name.clone(),
            seed: plan.seed,
            command: plan.command.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            git_commit: host::git_commit(),
            host: host::describe(),
            load: watch.so_far(),
        };
        Self {
            rows: Rows::default(),
            run,
            watch,
            targets: Vec::new(),
            conformance: None,
            clients: Vec::new(),
            random: Vec::new(),
            agreements: Vec::new(),
            windows: Vec::new(),
            faults: Vec::new(),
            skipped: Vec::new(),
            seed: plan.seed,
            stamp: stamp.replace('-', ""),
        }
    }

    /// Digits that are unique to the run; part of every service name.
    pub fn stamp(&self) -> &str {
        &self.stamp
    }

    /// Adds a cluster that was started.
    pub fn target(&mut self, cluster: &Cluster) {
        // One that is started again is the same.
        if !self.targets.iter().any(|it| it.target == cluster.target) {
            self.targets.push(described(cluster));
        }
    }

    /// Adds clusters that were started elsewhere and are gone.
    pub fn targets(&mut self, targets: impl IntoIterator<Item = Target>) {
        self.targets.extend(targets);
    }

    /// Memory of a cluster's nodes before anything was done to it.
    pub fn idle_memory(&mut self, cluster: &Cluster, bytes: Vec<u64>) {
        if let Some(target) = self.targets.iter_mut().find(|it| it.target == cluster.target) {
            target.rss_bytes = bytes;
        }
    }

    /// Adds the byte-for-byte cases.
    pub fn conformance(&mut self, part: ConformancePart) {
        self.conformance = part.conformance;
        self.skipped.extend(part.skipped);
    }

    /// Adds one direction of `snapshot-load`.
    pub fn joined(&mut self, target: &str, part: Part) {
        match part {
            Part::Joined(joined) => {
                joined.observations.into_iter().for_each(|row| self.rows.add(target, 0, row));
                self.faults.push(joined.fault);
            }
            Part::Impossible { what, reason } => self.skip(&format!("{what}, in {target}"), &reason),
        }
    }

    /// Adds a judged run of `restart-recovery`; every kill is a round.
    pub fn restarted(&mut self, judgement: &Judgement) {
        for (round, row) in figures::observations(judgement) {
            self.rows.add(&judgement.header.target, round, row);
        }
        self.faults.extend(figures::faults(judgement));
    }

    /// Adds a fault scenario that was run and judged, and keeps its history in the folder of the results; or why it was
    /// not run.
    ///
    /// # Errors
    /// When the history cannot be written.
    pub fn faulted(&mut self, done: &Done, out: &Path) -> Result<()> {
        match done {
            Done::Ran(judged) => {
                let header = &judged.judgement.header;
                let target = header.target.replace(['/', ':', ','], "_");
                let file = format!("history/{}-{target}.jsonl", header.scenario);
                history::write(&out.join(&file), &judged.events)?;
                self.faults.push(judged.fault(&file));
            }
            Done::Skipped { scenario, target, reason, .. } => self.skip(&format!("{scenario} at {target}"), reason),
        }
        Ok(())
    }

    /// Adds changes of leader; every change of one kind is a round.
    pub fn leader_changed(&mut self, target: &str, changes: Changes) {
        changes.observations.into_iter().for_each(|(round, row)| self.rows.add(target, round, row));
        self.faults.extend(changes.faults);
    }

    /// Adds a judged run of `persistent-kills`.
    pub fn killed_again_and_again(&mut self, judgement: &kills::judge::Judgement) {
        self.rows.add(&judgement.header.target, 0, judgement.observation());
        self.faults.push(judgement.fault());
    }

    /// Adds what the newest of these showed of changing health, and judges all of them anew: the real one may come last.
    pub fn expired(&mut self, all: &[Seen]) {
        self.windows = verdicts(all);
        let Some(seen) = all.last() else { return };
        for row in seen.observations() {
            self.rows.add(&seen.target, 0, row);
        }
        for (what, reason) in &seen.not_done {
            self.skip(&format!("{}, {what} at {}", expiry::NAME, seen.target), reason);
        }
    }

    /// Whether answers were not compared with a running real server.
    pub fn lacks_live_conformance(&self) -> bool {
        self.conformance.as_ref().is_none_or(|it| it.reference.starts_with("recordings"))
    }

    /// Adds something that was not done; the same thing for the same reason once.
    /// Only the first line of the reason: what follows is log, and logs are kept as files.
    pub fn skip(&mut self, what: &str, reason: &str) {
        let reason = reason.lines().next().unwrap_or_default();
        if !self.skipped.iter().any(|it| it.what == what && it.reason == reason) {
            self.skipped.push(Skipped { what: what.to_owned(), reason: reason.to_owned() });
        }
    }

    /// Whether something failed at `target`, so that its logs are worth keeping.
    pub fn went_wrong(&self, target: &str) -> bool {
        let at = format!(" at {target}");
        self.rows.errors_at(target) > 0
            || self.windows.iter().any(|it| it.target == target && it.outcome != Outcome::Pass)
            || self.faults.iter().any(|it| it.target == target && it.outcome != Outcome::Pass)
            || self.skipped.iter().any(|it| it.what.ends_with(&at) && it.reason != NOT_PLANNED)
    }

    /// All reasons so far, for an error.
    pub fn reasons(&self) -> String {
        let reasons: Vec<_> = self.skipped.iter().map(|it| format!("{}: {}", it.what, it.reason)).collect();
        reasons.join("; ")
    }

    /// The record as it would be written now, `elapsed` after the beginning.
    pub fn results(&self, elapsed: Duration) -> Results {
        let mut run = self.run.clone();
        run.duration_s = elapsed.as_secs_f64();
        run.load = self.watch.so_far();
        run.load.generator_lag_p99_ms = self.rows.generator_lag_p99_ms();
        run.load.generator_kept_up = run.load.generator_lag_p99_ms.is_none_or(|it| it <= GENERATOR_LAG_P99_MS_MAX);
        let mut skipped = self.skipped.clone();
        skipped.extend(self.rows.without_values());
        Results {
            schema: SCHEMA.to_owned(),
            run,
            targets: self.targets.clone(),
            conformance: self.conformance.clone(),
            random: self.random.clone(),
            measurements: self.rows.measurements(),
            clients: self.clients.clone(),
            agreements: self.agreements.clone(),
            windows: self.windows.clone(),
            faults: self.faults.clone(),
            ratios: ratios::ratios(&self.rows, &self.targets, self.seed),
            skipped,
        }
    }
}
