//! From `results.json` to something a person reads.
