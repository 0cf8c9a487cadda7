//! Reports of a made-up run.

pub(crate) mod fixture;
