//! Flags of `tandem-server`; each is another name for a property.

use clap::Parser;

use super::layers::{Layers, Origin, SettingsError};
use super::{environment, keys};

/// A Nacos 1.4 node: speaks the client API, the UDP push and, between members, Distro and reports.
///
/// Takes the official node's own configuration. Later sources win: built-in defaults, HOME/conf/application.properties
/// and custom.properties, environment variables, flags.
#[derive(Debug, Clone, Default, Parser)]
#[command(name = "tandem-server", version, after_long_help = after_help())]
pub struct Flags {
    /// Directory with conf/ and data/
    #[arg(long, value_name = "DIR")]
    pub home: Option<String>,
    /// HTTP port
    #[arg(long, value_name = "PORT")]
    pub port: Option<String>,
    /// This node's address as its peers write it in their member lists
    #[arg(long, value_name = "IP")]
    pub ip: Option<String>,
    /// Address to listen on
    #[arg(long, value_name = "IP")]
    pub address: Option<String>,
    /// standalone (one node alone) or cluster
    #[arg(long, short, value_name = "MODE")]
    pub mode: Option<String>,
    /// Members, comma-separated, while conf/cluster.conf does not exist
    #[arg(long, value_name = "LIST")]
    pub members: Option<String>,
    /// Context path
    #[arg(long, value_name = "PATH")]
    pub context_path: Option<String>,
    /// Log as text or json
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// error, warn, info, debug, trace, or levels per module such as info,tandem_server::distro=debug
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// Start nothing: ask the node that these settings describe, on this host, whether it serves, and exit 0 if so
    #[arg(long)]
    pub health: bool,
    /// Sets any property, as with java
    #[arg(short = 'D', value_name = "KEY=VALUE")]
    pub define: Vec<String>,
}

impl Flags {
    /// Puts the flags over everything else.
    ///
    /// # Errors
    /// `--mode` with another word.
    pub fn apply(&self, layers: &mut Layers) -> Result<(), SettingsError> {
        for word in &self.define {
            let Some((key, value)) = definition(word) else {
                return Err(SettingsError(format!("the flag -D is \"{word}\", but it must be KEY=VALUE")));
            };
            layers.set(key, value, Origin::Flag(format!("-D{key}")));
        }
        for (flag, key, value) in [
            ("--home", "nacos.home", &self.home),
            ("--port", "server.port", &self.port),
            ("--ip", "nacos.server.ip", &self.ip),
            ("--address", "server.address", &self.address),
            ("--members", "nacos.member.list", &self.members),
            ("--context-path", "server.servlet.context-path", &self.context_path),
            ("--log-format", "tandem.log.format", &self.log_format),
            ("--log-level", "tandem.log.level", &self.log_level),
        ] {
            if let Some(value) = value {
                layers.set(key, value, Origin::Flag(flag.to_owned()));
            }
        }
        match self.mode.as_deref() {
            None => {}
            Some(mode @ ("standalone" | "cluster")) => {
                let value = if mode == "standalone" { "true" } else { "false" };
                layers.set("nacos.standalone", value, Origin::Flag("--mode".to_owned()));
            }
            Some(other) => {
                return Err(SettingsError(format!(
                    "the flag --mode is \"{other}\", but it must be standalone or cluster"
                )));
            }
        }
        Ok(())
    }
}

/// `key=value`; a bare `key` is a property with an empty value, as for java.
pub fn definition(word: &str) -> Option<(&str, &str)> {
    let (key, value) = word.split_once('=').unwrap_or((word, ""));
    (!key.is_empty()).then_some((key, value))
}

fn after_help() -> String {
    let line = |(key, usage): &(&str, keys::Use)| match usage {
        keys::Use::Honoured(help) if !key.ends_with('[') => Some(format!("  {key}: {help}\n")),
        _ => None,
    };
    let honoured: String = keys::KEYS.iter().filter_map(line).collect();
    format!(
        "Environment variables (those of the official image):\n{}\n\
         Properties (in application.properties, as -D, or as a variable such as SERVER_PORT):\n{honoured}\n\
         Other keys of official nodes are accepted without effect; unknown nacos.* keys are named in the log.",
        environment::help()
    )
}
