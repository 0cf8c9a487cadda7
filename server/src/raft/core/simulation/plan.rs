//! What kind of world a seed makes.

use rand::RngExt;
use rand::rngs::SmallRng;

use crate::raft::core::options::{Options, Timing};

/// Sizes, speeds and misfortunes of one world. Chances are per mille.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) nodes: usize,
    /// The first so many vote at the start; the others can be added.
    pub(super) voters: usize,
    pub(super) options: Options,
    /// Clocks run up to this much too fast or too slow.
    pub(super) clock_drift: u64,
    pub(super) lost: u32,
    pub(super) doubled: u32,
    pub(super) slow: u32,
    pub(super) delay_ms_max: u64,
    pub(super) sync_ms_max: u64,
    pub(super) apply_ms_max: u64,
    pub(super) client_pause_ms_max: u64,
    pub(super) fault_pause_ms_max: u64,
    pub(super) snapshot_pause_ms_max: u64,
    pub(super) batch_max: u64,
    pub(super) install_fails: u32,
    /// A crash between putting a snapshot in place and telling the log.
    pub(super) crash_between: u32,
    /// A restart just after a vote was given.
    pub(super) restart_after_vote: u32,
    pub(super) troubled_ms: u64,
}

impl Plan {
    pub(super) fn draw(rng: &mut SmallRng) -> Self {
        let voters = [1, 2, 3, 3, 3, 4, 5, 5][rng.random_range(0..8)];
        let spares = [0, 0, 1, 2][rng.random_range(0..4)];
        let mut one_of = |choices: &[u64]| choices[rng.random_range(0..choices.len())];
        let options = Options {
            timing: Timing {
                election_ms: 150,
                election_spread_ms: one_of(&[5, 30, 100]),
                heartbeat_ms: one_of(&[20, 30, 60]),
                lease_ms: 135,
                heartbeat_timeout_ms: 75,
                call_timeout_ms: one_of(&[150, 600]),
            },
            install_timeout_ms: 1_000,
            append_entries_max: one_of(&[1, 2, 8, 1_024]) as usize,
            append_bytes_max: one_of(&[1, 64, 512 * 1024]) as usize,
            appends_in_flight_max: one_of(&[1, 1, 2, 8]) as usize,
            proposals_max: one_of(&[4, 32, 100]) as usize,
            applying_max: one_of(&[1, 16, 4_096]) as usize,
            cache_bytes_max: one_of(&[0, 32, 4 * 1024 * 1024]) as usize,
            catch_up_margin: one_of(&[0, 2, 1_000]),
            ..Options::default()
        };
        Plan {
            nodes: voters + spares,
            voters,
            options,
            clock_drift: one_of(&[0, 20, 200]),
            lost: one_of(&[0, 10, 50, 200]) as u32,
            doubled: one_of(&[0, 20, 200]) as u32,
            slow: one_of(&[0, 5, 50]) as u32,
            delay_ms_max: one_of(&[1, 5, 20]),
            sync_ms_max: one_of(&[0, 2, 10, 40]),
            apply_ms_max: one_of(&[0, 2, 50]),
            client_pause_ms_max: one_of(&[10, 30, 60]),
            fault_pause_ms_max: one_of(&[20, 60, 200, 800]),
            snapshot_pause_ms_max: one_of(&[40, 100, 500, 1_000_000]),
            batch_max: one_of(&[1, 3, 10]),
            install_fails: one_of(&[0, 100, 500]) as u32,
            crash_between: one_of(&[0, 300]) as u32,
            restart_after_vote: one_of(&[0, 0, 300]) as u32,
            troubled_ms: one_of(&[1_500, 2_000, 3_000]),
        }
    }
}
