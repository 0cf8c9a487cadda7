//! Term, vote and log on disk.
