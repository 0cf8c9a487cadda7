//! Measurements: each experiment plans, runs and returns distributions.
