//! The subcommands and their flags.

pub mod report;
