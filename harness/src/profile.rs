//! How much of each experiment a run does, as data.
//!
//! A profile has a number of rounds, a budget for the whole run and, per round and target, a size and a time limit for
//! every experiment. Rates are the same for all targets and such that real Nacos carries them on two cores: above that
//! one would compare a server with a queue.

use std::time::Duration;

use crate::experiment::agreement::{self, AgreementPlan};
use crate::experiment::burst_convergence::Burst;
use crate::experiment::expiry::ExpiryPlan;
use crate::experiment::load::LoadPlan;
use crate::experiment::persistent::change::ChangePlan;
use crate::experiment::persistent::{load as load_persistent, read_after_write};
use crate::experiment::restart_recovery::RestartPlan;
use crate::experiment::snapshot_load::JoinPlan;
use crate::experiment::{
    burst_convergence, deregister_latency, load_beat, load_query, load_register, push_latency, sync_latency,
};

/// A plan for one run.
#[derive(Debug, Clone)]
pub struct Profile {
    /// `quick`, `standard`, `full`, or the name of a single-experiment command.
    pub name: String,
    /// How often every target is visited; a ratio needs three.
    pub rounds: usize,
    /// Wall time of the whole run, report included. Experiments are cut (and say so) rather than overrun it.
    pub budget: Duration,
    /// Time for the byte-for-byte cases; none when the run has no conformance part.
    pub conformance: Option<Duration>,
    /// What is done at a target whose nodes are all of one kind.
    pub uniform: TargetPlan,
    /// What is done at a target with nodes of several kinds.
    pub mixed: TargetPlan,
    /// Beats that stop, once at every target after all rounds; its time, one to two minutes a target, comes on top of
    /// the budget.
    pub expiry: Option<ExpiryPlan>,
    /// What is done once, after all rounds, to every target in turn; its time comes on top of the budget.
    pub faults: Option<Faults>,
}

/// Experiments that stop and start nodes.
#[derive(Debug, Clone, Copy)]
pub struct Faults {
    /// `snapshot-load`.
    pub join: Option<JoinPlan>,
    /// `leader-change`.
    pub leader: Option<ChangePlan>,
    /// `restart-recovery`.
    pub restart: Option<RestartPlan>,
    /// No target is begun with later than this after the last round.
    pub limit: Duration,
}

/// What is done at one target in one round; an absent part is not done and is reported as skipped.
#[derive(Debug, Clone, Default)]
pub struct TargetPlan {
    /// Samples of `sync-latency`.
    pub sync: Option<Timed<usize>>,
    /// Samples of `deregister-latency`.
    pub deregister: Option<Timed<usize>>,
    /// `load-register`.
    pub register: Option<Timed<LoadPlan>>,
    /// `load-beat`.
    pub beat: Option<Timed<LoadPlan>>,
    /// `load-query`.
    pub query: Option<Timed<LoadPlan>>,
    /// `load-persistent`.
    pub persistent: Option<Timed<LoadPlan>>,
    /// Samples of `read-after-write`.
    pub read_after_write: Option<Timed<usize>>,
    /// `burst-convergence`.
    pub burst: Option<Timed<Burst>>,
    /// Samples of `push-latency`.
    pub push: Option<Timed<usize>>,
    /// Random operations and whether all nodes agree; in the last round only.
    pub agreement: Option<Timed<AgreementPlan>>,
}

/// A size with the time it may take in one round.
#[derive(Debug, Clone, Copy)]
pub struct Timed<T> {
    /// How much.
    pub plan: T,
    /// How long at most, set-up and clean-up included.
    pub limit: Duration,
}

/// The names a user can choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ProfileName {
    /// At most eight minutes on two cores.
    Quick,
    /// About an hour.
    Standard,
    /// About three hours.
    Full,
}

/// Connections over all nodes for load; enough to saturate any target on two cores.
pub const LOAD_CONNECTIONS: usize = 64;

const fn seconds(value: u64) -> Duration {
    Duration::from_secs(value)
}

fn timed<T>(plan: T, limit: Duration) -> Option<Timed<T>> {
    Some(Timed { plan, limit })
}

fn load(rate: u32, open_loop_ms: u64, saturation_ms: u64) -> LoadPlan {
    LoadPlan {
        rate,
        open_loop: Duration::from_millis(open_loop_ms),
        saturation: Duration::from_millis(saturation_ms),
        connections: LOAD_CONNECTIONS,
    }
}

/// Registrations per second of the open loop. A real three-node cluster spends some 3 ms of processor time on one.
pub const REGISTER_RATE: u32 = 100;

/// Changes of persistent instances per second of the open loop. Each is a round trip to a majority and two disks.
pub const PERSISTENT_RATE: u32 = 50;

/// Heartbeats per second of the open loop; real nodes forward two of three.
const BEAT_RATE: u32 = 200;

/// Queries per second of the open loop.
const QUERY_RATE: u32 = 300;

const BURST: Burst = Burst { instances: 5000, services: 500, connections: 48 };

/// Random operations, watched for two verify rounds (`compat/spec/distro.md` §6.2) and a little.
fn agreement(operations: usize, rate: u32) -> AgreementPlan {
    AgreementPlan { operations, rate, watch: seconds(11), pairs: true }
}

/// A target with real nodes takes some eleven minutes: 2 for the join, 3 for six changes of leader and 6 for three
/// restarts.
const FAULTS: Faults = Faults {
    join: Some(JoinPlan { instances: 10_000, services: 1000 }),
    leader: Some(LEADER),
    restart: Some(RestartPlan::USUAL),
    limit: seconds(30 * 60),
};

/// A change by transfer takes some 20 s in an official cluster, one by kill 40 s with the start of the node.
const LEADER: ChangePlan = ChangePlan { transfers: 3, kills: 3 };

impl Profile {
    /// The profile of that name.
    pub fn named(name: ProfileName) -> Self {
        match name {
            ProfileName::Quick => Self::quick(),
            ProfileName::Standard => Self::standard(),
            ProfileName::Full => Self::full(),
        }
    }

    /// The arithmetic, for 3xtandem, 3xnacos@1.4.1 and 2xnacos+tandem on two idle cores. Once: conformance 110 s, two
    /// starts with real nodes at 25 s and one without, 2 s, the fixtures 6 s, ending 8 s: 176 s. That leaves 294 s, 98 s
    /// a round. A round of fixed work: load 8 s and burst 20 s at the real cluster (2.5 ms of two processors per
    /// registration), half of that at Tandem: 42 s. The 56 s that remain go to single changes, where a sample costs
    /// 2.1 s with a real node (pause included) and 0.2 s without: 20 + 5 at Tandem 5 s, up to 20 + 5 at the real
    /// cluster 52 s, 5 + 2 at the mixed one 15 s. That is 16 s more than there are, so the real cluster gets some 15 of
    /// its 20 and says so; on a faster machine, or when conformance takes less, it gets all.
    ///
    /// Pushes take 3 s more in a round: what Tandem needs for its eight samples, and the real cluster for one or two.
    ///
    /// The last round also lets the nodes of the mixed cluster agree: 6 s of operations, some 3 s until they agree, 11 s
    /// of watching, and the changes along every pair of nodes meanwhile: 25 s with clean-up. They are set aside in that
    /// round, where the real cluster has that much less for its single changes, so the whole stays within the budget.
    fn quick() -> Self {
        Self {
            name: "quick".into(),
            rounds: 3,
            budget: seconds(480),
            conformance: Some(seconds(240)),
            uniform: TargetPlan {
                sync: timed(20, seconds(46)),
                deregister: timed(5, seconds(12)),
                register: timed(load(REGISTER_RATE, 1250, 750), seconds(5)),
                beat: timed(load(BEAT_RATE, 1250, 750), seconds(3)),
                query: timed(load(QUERY_RATE, 1250, 750), seconds(3)),
                burst: timed(BURST, seconds(20)),
                push: timed(8, seconds(3)),
                ..TargetPlan::default()
            },
            mixed: TargetPlan {
                sync: timed(5, seconds(12)),
                deregister: timed(2, seconds(5)),
                agreement: timed(agreement(150, 25), seconds(25)),
                ..TargetPlan::default()
            },
            expiry: None,
            faults: None,
        }
    }

    fn standard() -> Self {
        let everything = TargetPlan {
            sync: timed(40, seconds(100)),
            deregister: timed(20, seconds(50)),
            register: timed(load(REGISTER_RATE, 8000, 3000), seconds(20)),
            beat: timed(load(BEAT_RATE, 8000, 3000), seconds(18)),
            query: timed(load(QUERY_RATE, 8000, 3000), seconds(18)),
            persistent: timed(load(PERSISTENT_RATE, 8000, 4000), seconds(60)),
            read_after_write: timed(20, seconds(30)),
            burst: timed(BURST, seconds(30)),
            push: timed(10, seconds(45)),
            agreement: timed(agreement(1000, 50), seconds(75)),
        };
        Self {
            name: "standard".into(),
            rounds: 3,
            budget: seconds(46 * 60),
            conformance: Some(seconds(300)),
            uniform: everything.clone(),
            mixed: everything,
            expiry: Some(ExpiryPlan::USUAL),
            faults: Some(FAULTS),
        }
    }

    fn full() -> Self {
        let everything = TargetPlan {
            sync: timed(100, seconds(240)),
            deregister: timed(50, seconds(120)),
            register: timed(load(REGISTER_RATE, 30_000, 10_000), seconds(60)),
            beat: timed(load(BEAT_RATE, 30_000, 10_000), seconds(50)),
            query: timed(load(QUERY_RATE, 30_000, 10_000), seconds(50)),
            persistent: timed(load(PERSISTENT_RATE, 30_000, 10_000), seconds(100)),
            read_after_write: timed(50, seconds(60)),
            burst: timed(BURST, seconds(40)),
            push: timed(30, seconds(130)),
            agreement: timed(agreement(1000, 50), seconds(75)),
        };
        Self {
            name: "full".into(),
            rounds: 5,
            budget: seconds(180 * 60),
            conformance: Some(seconds(600)),
            uniform: everything.clone(),
            mixed: everything,
            expiry: Some(ExpiryPlan::USUAL),
            faults: Some(FAULTS),
        }
    }

    /// Whether the profile does an experiment at some kind of target; what it does nowhere was not asked for.
    pub fn plans(&self, experiment: &str) -> bool {
        [&self.uniform, &self.mixed].into_iter().any(|it| match experiment {
            sync_latency::NAME => it.sync.is_some(),
            deregister_latency::NAME => it.deregister.is_some(),
            push_latency::NAME => it.push.is_some(),
            load_register::NAME => it.register.is_some(),
            load_beat::NAME => it.beat.is_some(),
            load_query::NAME => it.query.is_some(),
            load_persistent::NAME => it.persistent.is_some(),
            read_after_write::NAME => it.read_after_write.is_some(),
            burst_convergence::NAME => it.burst.is_some(),
            agreement::NAME => it.agreement.is_some(),
            _ => false,
        })
    }

    /// Single changes alone, `samples` of each kind per target over all rounds.
    pub fn sync_only(samples: usize, rounds: usize, deregister: bool, push: bool) -> Self {
        let per_round = samples.div_ceil(rounds.max(1));
        // Generous: the slowest real answer is an error after ten seconds.
        let part = || timed(per_round, seconds(12) * per_round as u32);
        let plan = TargetPlan {
            sync: part(),
            deregister: part().filter(|_| deregister),
            push: part().filter(|_| push),
            ..TargetPlan::default()
        };
        Self::single("sync", rounds, plan)
    }

    /// UDP pushes alone, `samples` per target over all rounds.
    pub fn push_only(samples: usize, rounds: usize) -> Self {
        let per_round = samples.div_ceil(rounds.max(1));
        let push = timed(per_round, seconds(12) * per_round as u32);
        Self::single("push", rounds, TargetPlan { push, ..TargetPlan::default() })
    }

    /// Load alone.
    pub fn load_only(load: LoadPlan, rounds: usize, register: bool, beat: bool, query: bool) -> Self {
        let part = timed(load, load.open_loop + load.saturation + seconds(60));
        let plan = TargetPlan {
            register: part.filter(|_| register),
            beat: part.filter(|_| beat),
            query: part.filter(|_| query),
            ..TargetPlan::default()
        };
        Self::single("load", rounds, plan)
    }

    /// Persistent data alone: load and reads in every round, changes of leader after the last.
    pub fn persistent(load: LoadPlan, reads: usize, rounds: usize, leader: ChangePlan) -> Self {
        let plan = TargetPlan {
            persistent: timed(load, load.open_loop + load.saturation + seconds(90)),
            read_after_write: timed(reads, seconds(12) * reads as u32).filter(|_| reads > 0),
            ..TargetPlan::default()
        };
        let changes = Faults { join: None, leader: Some(leader), restart: None, limit: seconds(24 * 3600) };
        let faults = Some(changes).filter(|_| leader.transfers + leader.kills > 0);
        Self { faults, ..Self::single("persist", rounds, plan) }
    }

    /// A command with a plan of its own.
    pub fn none(name: &str) -> Self {
        Self::single(name, 1, TargetPlan::default())
    }

    fn single(name: &str, rounds: usize, plan: TargetPlan) -> Self {
        let budget = Duration::from_secs(24 * 3600);
        Self {
            name: name.into(),
            rounds,
            budget,
            conformance: None,
            uniform: plan.clone(),
            mixed: plan,
            expiry: None,
            faults: None,
        }
    }
}
