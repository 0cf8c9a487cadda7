//! Flags of every subcommand that launches targets.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::target::options::READY_TIMEOUT;
use crate::target::{LaunchOptions, Mode, ReferenceChoice, stderr_progress};

/// Flags of every subcommand that launches targets.
#[derive(Debug, Clone, Args)]
pub struct LaunchArgs {
    /// Unpacked official distribution to start `nacos` nodes from
    #[arg(long, value_name = "DIR")]
    pub nacos_home: Option<PathBuf>,
    /// Where real Nacos comes from when no distribution is given
    #[arg(long, value_enum, default_value_t = Reference::Auto)]
    pub reference: Reference,
    /// Mode of a target of one node
    #[arg(long, value_enum, default_value_t = SingleMode::Standalone)]
    pub mode: SingleMode,
    /// Java heap of each node in MiB (512, or 256 for versions that have only the naming module)
    #[arg(long, value_name = "MIB")]
    pub heap: Option<u32>,
    /// Line for every node's application.properties; may be repeated
    #[arg(long = "property", value_name = "KEY=VALUE", value_parser = parse_property)]
    pub properties: Vec<(String, String)>,
    /// HTTP ports to choose from
    #[arg(long, value_name = "LOW-HIGH", value_parser = parse_ports, env = "TANDEM_PORTS")]
    pub ports: Option<RangeInclusive<u16>>,
    /// Directory for the nodes' own directories
    #[arg(long, value_name = "DIR")]
    pub work_dir: Option<PathBuf>,
    /// Longest wait until a cluster is usable, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = READY_TIMEOUT.as_secs())]
    pub ready_timeout: u64,
}

/// Where real Nacos comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Reference {
    /// Docker when an engine answers, else Maven
    Auto,
    /// The official image
    Docker,
    /// The Maven artifacts
    Maven,
}

/// Mode of a target of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SingleMode {
    /// Without peers
    Standalone,
    /// A cluster of one
    Cluster,
}

impl LaunchArgs {
    /// The options these flags stand for, with progress on standard error.
    pub fn options(&self) -> LaunchOptions {
        LaunchOptions {
            work_dir: self.work_dir.clone(),
            single_mode: match self.mode {
                SingleMode::Standalone => Mode::Standalone,
                SingleMode::Cluster => Mode::Cluster,
            },
            heap_mb: self.heap,
            nacos_home: self.nacos_home.clone(),
            reference: match self.reference {
                Reference::Auto => ReferenceChoice::Auto,
                Reference::Docker => ReferenceChoice::Docker,
                Reference::Maven => ReferenceChoice::Maven,
            },
            properties: self.properties.iter().cloned().collect::<BTreeMap<_, _>>(),
            progress: stderr_progress(),
            ready_timeout: Duration::from_secs(self.ready_timeout),
            ports: self.ports.clone(),
            ..LaunchOptions::default()
        }
    }
}

fn parse_property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() && !text.contains('\n') => Ok((key.trim().into(), value.into())),
        _ => Err(format!("{text:?} is not of the form KEY=VALUE")),
    }
}

fn parse_ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let wrong = || format!("{text:?} is not of the form LOW-HIGH with two port numbers");
    let (low, high) = text.split_once('-').ok_or_else(wrong)?;
    let range = low.parse().map_err(|_| wrong())?..=high.parse().map_err(|_| wrong())?;
    if range.is_empty() { Err(wrong()) } else { Ok(range) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_properties() {
        assert_eq!(parse_ports("14000-15999"), Ok(14_000..=15_999));
        for text in ["14000", "2-1", "a-b", "1-99999"] {
            assert!(parse_ports(text).is_err(), "{text}");
        }
        assert_eq!(parse_property("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert!(parse_property("a").is_err() && parse_property("=b").is_err());
    }
}
