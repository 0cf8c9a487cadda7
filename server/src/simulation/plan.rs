//! What kind of world a seed makes.

use rand::RngExt;
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, SliceRandom};

/// A kind of fault. Each world has some of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One node and the others do not hear each other.
    Isolate,
    /// The nodes fall apart into two groups.
    Split,
    /// One node does not hear another one.
    OneWay,
    /// Killed, and started again later.
    Crash,
    /// Killed and started again at once.
    Restart,
    /// Stopped in the middle, and continued.
    Pause,
    /// Its answers and requests take long.
    Slow,
    /// Taken off the list of members and stopped; put back and started later.
    Replace,
    /// Clients do not reach a node, which the others do.
    Clients,
}

const KINDS: [Kind; 9] = [
    Kind::Isolate,
    Kind::Split,
    Kind::OneWay,
    Kind::Crash,
    Kind::Restart,
    Kind::Pause,
    Kind::Slow,
    Kind::Replace,
    Kind::Clients,
];

/// Sizes, speeds and misfortunes of one world. Chances are per mille, times in ms.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) nodes: usize,
    /// Services; the clients of the first one stay for good.
    pub(super) services: usize,
    pub(super) clients: usize,
    pub(super) kinds: Vec<Kind>,
    /// Which nodes offer the stream.
    pub(super) stream: Vec<bool>,
    pub(super) batch_keys_max: usize,
    /// How far each node's clock is ahead of the first one's.
    pub(super) clocks_ahead_ms: Vec<i64>,
    pub(super) lost: u32,
    pub(super) broken: u32,
    pub(super) delay_ms_max: u64,
    /// Some requests take this long, so that others overtake them.
    pub(super) late: u32,
    pub(super) late_ms_max: u64,
    /// Callers who gave up are noticed.
    pub(super) hang_ups: bool,
    pub(super) fault_pause_ms_max: u64,
    pub(super) fault_ms_max: u64,
    /// Clients ask another server every time; else they stay with one as long as it answers.
    pub(super) roaming: bool,
    /// How long a client that leaves stays at least and at most.
    pub(super) stay_ms_max: u64,
    pub(super) cleaning: bool,
    pub(super) troubled_ms: u64,
}

impl Plan {
    pub(super) fn draw(rng: &mut SmallRng) -> Self {
        let nodes = [2, 3, 3, 3, 3, 4, 5][rng.random_range(0..7)];
        let mut kinds = KINDS.to_vec();
        kinds.shuffle(rng);
        kinds.truncate(rng.random_range(1..=4));
        let all_stream = rng.random_bool(0.7);
        let stream = (0..nodes).map(|_| all_stream || rng.random_bool(0.5)).collect();
        let skewed = rng.random_bool(0.15);
        let clocks_ahead_ms =
            (0..nodes).map(|node| if skewed && node > 0 { rng.random_range(-2_000..=2_000) } else { 0 }).collect();
        let mut one_of = |choices: &[u64]| choices.choose(rng).copied().unwrap_or_default();
        Plan {
            nodes,
            services: one_of(&[1, 2, 3, 5]) as usize,
            clients: one_of(&[2, 4, 8]) as usize,
            kinds,
            stream,
            batch_keys_max: one_of(&[1, 2, 1_000]) as usize,
            clocks_ahead_ms,
            lost: one_of(&[0, 0, 5, 30]) as u32,
            broken: one_of(&[0, 0, 5, 30]) as u32,
            delay_ms_max: one_of(&[1, 3, 20, 100]),
            late: one_of(&[0, 20, 100]) as u32,
            late_ms_max: one_of(&[300, 1_500, 6_000]),
            hang_ups: one_of(&[0, 1]) == 1,
            fault_pause_ms_max: one_of(&[1_500, 4_000, 12_000]),
            fault_ms_max: one_of(&[800, 4_000, 12_000, 25_000]),
            roaming: one_of(&[0, 1]) == 1,
            stay_ms_max: one_of(&[8_000, 20_000, 40_000]),
            cleaning: one_of(&[0, 1]) == 1,
            troubled_ms: one_of(&[25_000, 40_000, 60_000]),
        }
    }

    /// How far two clocks are apart at most.
    pub(super) fn skew_ms(&self) -> u64 {
        let (least, most) = (self.clocks_ahead_ms.iter().min(), self.clocks_ahead_ms.iter().max());
        most.zip(least).map_or(0, |(most, least)| most.abs_diff(*least))
    }
}
