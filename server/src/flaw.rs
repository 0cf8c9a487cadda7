//! Faults put in on purpose, so that the simulation's own sharpness can be tested. Outside of tests there are none.

/// One fault of the replication of ephemeral instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Checksums are never sent.
    NeverVerifies,
    /// What was removed is forgotten at once.
    ForgetsRemovals,
    /// Every node judges every beat, its own service or not.
    JudgesOthers,
    /// A takeover judges by the copies of beats, as official nodes do.
    JudgesCopies,
    /// The snapshot at start is asked for and dropped.
    IgnoresSnapshot,
    /// What moves with the ring is not offered to its heir.
    KeepsToItself,
    /// What could not be delivered is left to the checksums.
    DropsRetry,
}

#[cfg(test)]
pub(crate) use crate::simulation::is_broken;

/// Whether a test broke this on purpose.
#[cfg(not(test))]
pub(crate) const fn is_broken(_: Flaw) -> bool {
    false
}
