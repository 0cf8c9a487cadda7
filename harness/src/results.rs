//! The record of one run: `results.json`, schema `tandem-results/1`.
//!
//! Everything a report shows is read from here and from nowhere else, so a report can be rendered again, compared
//! with a baseline or read by another program. Times are milliseconds, sizes bytes, rates per second, unless a field
//! says otherwise.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod fault;

pub use fault::{
    Fault, FaultCheck, FaultEvidence, FaultFigure, FaultViolation, TimelineEvent, TimelineSample, unseen_bugs,
};

/// Value of [`Results::schema`] that this version writes and reads.
pub const SCHEMA: &str = "tandem-results/1";

/// A whole run.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Results {
    /// Always `tandem-results/1`.
    pub schema: String,
    /// What ran, where and how to repeat it.
    pub run: Run,
    /// The clusters that were measured, in the order they were named.
    pub targets: Vec<Target>,
    /// Byte-for-byte API cases; absent when the run had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conformance: Option<Conformance>,
    /// Runs of official clients; the verdicts on their steps are among the conformance cases, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<ClientRun>,
    /// Generated sequences of API calls beside a reference, one entry per target; empty when the run had none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub random: Vec<Random>,
    /// One row per target, experiment and variant.
    #[serde(default)]
    pub measurements: Vec<Measurement>,
    /// Whether the nodes of a target hold the same after random operations; empty when the run did not look.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agreements: Vec<Agreement>,
    /// Whether changes of health fell into the times in which official nodes make them; empty when the run did not look.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<WindowCheck>,
    /// Fault scenarios; empty until a run injects faults.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// Target over target, within this run.
    #[serde(default)]
    pub ratios: Vec<Ratio>,
    /// What was asked for and not done, with the reason.
    #[serde(default)]
    pub skipped: Vec<Skipped>,
}

/// What ran, where and how to repeat it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// Unique name of the run, also its default folder.
    pub id: String,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// Wall time of the whole run, seconds.
    pub duration_s: f64,
    /// `quick`, `standard` or `full`; the single-experiment commands write their own name.
    pub profile: String,
    /// Seed of every random choice of the run.
    pub seed: u64,
    /// The command line that repeats the run.
    pub command: String,
    /// Version of the harness.
    pub version: String,
    /// Commit of the tree it was built from, `unknown` outside a checkout, with `-dirty` when it had changes.
    pub git_commit: String,
    /// The machine.
    pub host: Host,
    /// How busy the machine was besides the run, and whether the load generator kept up.
    pub load: MachineLoad,
}

/// The machine of a run.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Host {
    /// Model name from `/proc/cpuinfo`.
    pub cpu: String,
    /// Logical processors.
    pub cores: usize,
    /// Physical memory, bytes.
    pub memory_bytes: u64,
    /// Kernel release.
    pub kernel: String,
}

/// How busy the machine was.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct MachineLoad {
    /// One-minute load average when the run began.
    pub load_average_before: f64,
    /// One-minute load average when it ended.
    pub load_average_after: f64,
    /// Share of all processor time used by the whole machine during the run, 0 to 1.
    pub cpu_busy_share: f64,
    /// Share of processor time stolen by the hypervisor, 0 to 1.
    pub cpu_steal_share: f64,
    /// Worst 99th percentile over all open-loop experiments of how late a request was sent, ms.
    pub generator_lag_p99_ms: Option<f64>,
    /// False when a generator fell so far behind its schedule that the figures say more about it than about the target.
    pub generator_kept_up: bool,
}

/// One cluster that was measured.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Target {
    /// The target as written on the command line, e.g. `3xnacos@1.4.1`.
    pub target: String,
    /// Its members.
    pub nodes: Vec<TargetNode>,
    /// Start of the first process to the cluster being usable, ms; one per start.
    pub ready_ms: Vec<f64>,
    /// Resident memory of each node when idle and empty, bytes; empty where it cannot be read.
    pub rss_bytes: Vec<u64>,
    /// Processor seconds each node used from its start until it was ready.
    pub cpu_seconds: Vec<f64>,
}

/// One member of a target.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct TargetNode {
    /// `tandem`, `nacos`, `docker` or `url`.
    pub kind: String,
    /// Version it runs, as far as known.
    pub version: String,
    /// How it was launched, in words: `process`, `JDK 17 + Maven artifacts`, `container`, `already running`.
    pub launch: String,
    /// `host:port`.
    pub address: String,
    /// What exactly ran: coordinates and hash, image and digest, path of the binary.
    pub artifact: String,
}

/// The verdict on one case or property.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It held.
    Pass,
    /// It did not hold.
    Fail,
    /// It differs on purpose, and exactly as said: the case names the row of `compat/DIFFERENCES.md` and what must be
    /// answered instead. One that does not hold, or that is gone, is a failure.
    Kept,
    /// It was not tried; the reason says why.
    Skip,
    /// It could not be judged: set-up failed, no answer came, or the harness itself failed.
    Error,
}

/// All conformance cases of a run.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct Conformance {
    /// What the targets were compared with: a live target, or `recordings/1.4.1` when the real server was not there.
    pub reference: String,
    /// Targets that are shown and not held to anything: real Nacos of another version than the one cases are held to.
    /// Where they differ, the versions of Nacos do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub informative: Vec<String>,
    /// One entry per case and target.
    pub cases: Vec<CaseResult>,
    /// Counts by target, then area.
    pub summary: BTreeMap<String, BTreeMap<String, Counts>>,
}

/// Counts of outcomes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// Cases that matched.
    pub pass: u32,
    /// Cases that differed.
    pub fail: u32,
    /// Cases that differ on purpose, as said.
    #[serde(default)]
    pub kept: u32,
    /// Cases that were not tried.
    pub skip: u32,
    /// Cases that could not be judged.
    pub error: u32,
}

impl Counts {
    /// Adds one outcome.
    pub fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Pass => self.pass += 1,
            Outcome::Fail => self.fail += 1,
            Outcome::Kept => self.kept += 1,
            Outcome::Skip => self.skip += 1,
            Outcome::Error => self.error += 1,
        }
    }

    /// Adds other counts.
    pub fn merge(&mut self, other: &Self) {
        self.pass += other.pass;
        self.fail += other.fail;
        self.kept += other.kept;
        self.skip += other.skip;
        self.error += other.error;
    }
}

/// One case at one target.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CaseResult {
    /// Stable id, e.g. `A001`; in a cluster `A001@cluster`.
    pub id: String,
    /// `instance`, `beat`, `service`, `operator`, …
    pub area: String,
    /// Method and path template, e.g. `POST /nacos/v1/ns/instance`.
    pub endpoint: String,
    /// Group of parameters the case is about, e.g. `metadata`; empty in runs recorded before there were groups.
    #[serde(default)]
    pub group: String,
    /// The target as written on the command line.
    pub target: String,
    /// The verdict.
    pub outcome: Outcome,
    /// Tags of the case: `ephemeral`, `quirk`, `persistent`, `mutates-global`, `known-difference`, …
    #[serde(default)]
    pub tags: Vec<String>,
    /// Row of `compat/DIFFERENCES.md` that the case is in at this target; also when the difference does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<String>,
    /// Why it failed, was skipped or could not be judged, or what is kept; empty on a pass.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The request line and what was sent with it.
    pub request: String,
    /// What the reference answered; absent on a pass to keep the file small.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Answer>,
    /// What the target answered; absent on a pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<Answer>,
}

/// One run of a program on an official client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClientRun {
    /// `java`, `go`, `python` or `node`.
    pub client: String,
    /// The package and its version.
    pub package: String,
    /// What it ran with, as that says itself; empty when it did not run.
    pub runtime: String,
    /// The target as written on the command line.
    pub target: String,
    /// From the kind of the node written to, to the kind of the node subscribed to; absent when all are of one kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<String>,
    /// The steps in order.
    pub steps: Vec<ClientStep>,
}

/// One step of a program on an official client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClientStep {
    /// `connect`, `register`, `appear`, … as in `compat/clients`.
    pub step: String,
    /// The verdict.
    pub outcome: Outcome,
    /// `push` or `poll`: by what the subscriber was told, in steps that wait for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way: Option<String>,
    /// End of the step since the start of the program, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_ms: Option<f64>,
    /// From the call that made a change until the subscriber was told, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_ms: Option<f64>,
    /// Why it failed, was skipped or could not be judged; empty on a pass.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// Generated sequences of API calls at one target and a reference, side by side.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct Random {
    /// The server that says what is right.
    pub reference: String,
    /// The target as written on the command line.
    pub target: String,
    /// The same seed makes the same sequences.
    pub seed: u64,
    /// Sequences that were played.
    pub sequences: u64,
    /// Calls of the sequences that were made; a sequence ends where it differs.
    pub operations: u64,
    /// Calls that were asked for.
    pub planned: u64,
    /// Answers that were compared: those of the calls, and what the harness read after each write.
    pub compared: u64,
    /// Sequences that took too long to be compared to their end.
    pub cut_short: u64,
    /// Answers that differ and are excused, by row of `compat/DIFFERENCES.md`.
    pub kept: BTreeMap<String, u64>,
    /// Sequences that differ without excuse.
    pub differing: u64,
    /// Of these, those that were shrunk.
    pub differences: Vec<RandomDifference>,
    /// Differences that did not show again when their sequence was played again with a pause after each write.
    pub unrepeated: Vec<String>,
    /// What could not be judged because the reference gave no answer.
    pub errors: Vec<String>,
    /// Wall time, seconds.
    pub duration_s: f64,
}

/// The shortest sequence that shows a difference.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RandomDifference {
    /// Number of the sequence it was found in.
    pub sequence: u64,
    /// The calls, the last one answered differently.
    pub steps: Vec<String>,
    /// What differs.
    pub reason: String,
    /// What the reference answered.
    pub expected: Answer,
    /// What the target answered; absent when it gave no answer.
    pub observed: Option<Answer>,
    /// The sequence as cases, where it was written.
    pub case_file: Option<String>,
}

/// One HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Answer {
    /// Status code as sent; may be illegal HTTP (40301), which real Nacos does.
    pub status: u32,
    /// Content-Type header, absent when there was none.
    pub content_type: Option<String>,
    /// Selected response headers, lower-case names.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Body as text, cut to 4096 characters.
    pub body: String,
}

/// One distribution that was measured.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Measurement {
    /// The target as written on the command line.
    pub target: String,
    /// One of the experiment names in `ARCHITECTURE.md`.
    pub experiment: String,
    /// What distinguishes this row from others of the experiment, e.g. `{"direction":"nacos→tandem"}`.
    #[serde(default)]
    pub variant: BTreeMap<String, String>,
    /// Unit of every number of the row: `ms`, `bytes`, `1/s`.
    pub unit: String,
    /// How many values the distribution holds.
    pub samples: u64,
    /// Operations that failed or timed out and are not among the samples.
    pub errors: u64,
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 99th percentile.
    pub p99: f64,
    /// 99.9th percentile.
    pub p999: f64,
    /// Largest value.
    pub max: f64,
    /// Arithmetic mean.
    pub mean: f64,
    /// The median of each round, in round order: what the bootstrap resamples.
    #[serde(default)]
    pub rounds: Vec<RoundStats>,
    /// The whole distribution as an HdrHistogram V2 (deflate), base64, in thousandths of `unit`.
    pub histogram: String,
    /// Anything the reader must know, e.g. that the generator fell behind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// One round's share of a measurement.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct RoundStats {
    /// Values in this round.
    pub samples: u64,
    /// Median of the round.
    pub p50: f64,
    /// 99th percentile of the round.
    pub p99: f64,
    /// Mean of the round.
    pub mean: f64,
}

/// Random operations at one target, and whether all nodes then held the same, as the clients were told.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Agreement {
    /// The target as written on the command line.
    pub target: String,
    /// Pass: the nodes agreed with each other and with the answers within the limit, and went on to; every member list
    /// was right; every change came through along every pair of nodes. Error: it could not be judged.
    pub outcome: Outcome,
    /// Seed of the operations.
    pub seed: u64,
    /// Operations that were planned.
    pub planned: u64,
    /// Operations that were acknowledged.
    pub acknowledged: u64,
    /// Requests that were repeated at another node, as official clients do.
    pub retried: u64,
    /// Operations without a clear answer: either state of their instance is right.
    pub indefinite: u64,
    /// Operations that the servers refused.
    pub refused: u64,
    /// Operations left out because an earlier one of their instance failed.
    pub left_out: u64,
    /// Deletions of empty services that were refused.
    pub deletions_refused: u64,
    /// Services that were worked on.
    pub services: u64,
    /// Instances that must be there in the end.
    pub instances: u64,
    /// Last acknowledgement to agreement, ms; absent when it never came.
    pub agreed_after_ms: Option<f64>,
    /// Agreement later than this is a failure, ms.
    pub limit_ms: f64,
    /// How long agreement was watched afterwards, ms.
    pub watched_ms: f64,
    /// How often nodes that had agreed no longer did.
    pub breaks: u64,
    /// Differences when patience ended, or at the first break.
    pub differing: u64,
    /// The first of them, in words.
    #[serde(default)]
    pub differences: Vec<String>,
    /// What is wrong with the member lists, in words.
    #[serde(default)]
    pub members: Vec<String>,
    /// Every kind of change along every pair of nodes; their times are among the measurements.
    #[serde(default)]
    pub pairs: Vec<PairCheck>,
    /// The first answers that were not as expected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// One kind of change in one direction.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct PairCheck {
    /// `registered`, `updated`, `unhealthy`, `deregistered` or `expired`.
    pub change: String,
    /// From the kind of node that was written to, to the kind that was looked at, e.g. `nacos→tandem`.
    pub direction: String,
    /// How often it was right there in time.
    pub held: u64,
    /// How often it was not.
    pub failed: u64,
    /// What was there instead, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<String>,
}

/// One kind of change of health at one target, against the time in which official nodes make it. The times themselves
/// are the row of `expiry-latency` with the same words.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct WindowCheck {
    /// The target as written on the command line.
    pub target: String,
    /// `last beat → unhealthy`, `last beat → gone`, `beat again → healthy`, `port closed → unhealthy`, …
    pub change: String,
    /// Which instances: `default timeouts`, `timeouts in metadata`, `beats again`, `checked over TCP`.
    pub instances: String,
    /// Seen at `the owner` or at `another node`.
    pub at: String,
    /// Seen by `read` or by `push`.
    pub by: String,
    /// In a mixed cluster, from the kind of the responsible node to the kind of the one that showed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<String>,
    /// Whether only real nodes had a part in it: what the others are held to.
    pub is_real: bool,
    /// Pass: every instance inside. Fail: one outside or never seen. Error: it could not be judged.
    pub outcome: Outcome,
    /// Official nodes are never as early as this, ms.
    pub above_ms: f64,
    /// Official nodes have done it by then, ms.
    pub at_most_ms: f64,
    /// Changes that were seen.
    pub samples: u64,
    /// Changes that never were.
    pub missing: u64,
    /// Instances that were gone for a while and came back before they went for good.
    pub flickered: u64,
    /// Changes outside both the official time and what the real server showed in this run.
    pub outside: u64,
    /// Earliest, ms.
    pub min_ms: Option<f64>,
    /// Latest, ms.
    pub max_ms: Option<f64>,
    /// Earliest at the real server in this run, ms; absent when there was none.
    pub real_min_ms: Option<f64>,
    /// Latest at the real server in this run, ms.
    pub real_max_ms: Option<f64>,
    /// Largest difference between the cumulative distributions of the target and of the real server, 0 to 1.
    pub difference: Option<f64>,
    /// Why it is not a pass, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

/// Target over target, within one run.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Ratio {
    /// The experiment compared.
    pub experiment: String,
    /// The variant compared.
    #[serde(default)]
    pub variant: BTreeMap<String, String>,
    /// `p50`, `p99`, `mean`.
    pub stat: String,
    /// Target above the line.
    pub numerator: String,
    /// Target below the line.
    pub denominator: String,
    /// The ratio.
    pub value: f64,
    /// Lower end of the 95 % bootstrap interval.
    pub low: f64,
    /// Upper end of the 95 % bootstrap interval.
    pub high: f64,
}

/// Something asked for and not done.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Skipped {
    /// What: an experiment, a target, an area.
    pub what: String,
    /// Why, and what would make it run.
    pub reason: String,
}
