//! One node's place in a cluster that is about to start: address, directory, configuration files.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::options::LaunchOptions;

/// What every launcher needs to know about one node.
#[derive(Debug, Clone)]
pub(crate) struct Seat {
    /// Position in the cluster.
    pub(crate) index: usize,
    /// Address the node is known by, without port.
    pub(crate) ip: String,
    pub(crate) port: u16,
    /// Address it listens on when that is not the one it is known by.
    pub(crate) listen_ip: Option<&'static str>,
    /// Its own directory (`nacos.home`).
    pub(crate) home: PathBuf,
    pub(crate) standalone: bool,
    /// `ip:port` of every member, itself included, in node order.
    pub(crate) members: Vec<String>,
    pub(crate) heap_mb: Option<u32>,
}

/// What the template of the official 1.4.1 distribution sets. Some of it differs from the values packaged in the jars
/// and changes behaviour or timing, so every node gets it, ours included (`compat/spec/reference-targets.md` §4.1).
pub(crate) const DISTRIBUTION_PROPERTIES: [(&str, &str); 14] = [
    ("server.servlet.contextPath", "/nacos"),
    ("nacos.naming.empty-service.auto-clean", "true"),
    ("nacos.naming.empty-service.clean.initial-delay-ms", "50000"),
    ("nacos.naming.empty-service.clean.period-time-ms", "30000"),
    ("management.metrics.export.elastic.enabled", "false"),
    ("management.metrics.export.influx.enabled", "false"),
    ("server.tomcat.accesslog.enabled", "true"),
    ("server.tomcat.basedir", ""),
    ("nacos.core.auth.system.type", "nacos"),
    ("nacos.core.auth.enabled", "false"),
    ("nacos.core.auth.default.token.expire.seconds", "18000"),
    ("nacos.core.auth.caching.enabled", "true"),
    ("nacos.core.auth.enable.userAgentAuthWhite", "true"),
    ("nacos.istio.mcp.server.enabled", "false"),
];

impl Seat {
    pub(crate) fn address(&self) -> String {
        format!("{}:{}", self.ip, self.port)
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.home.join("logs")
    }

    /// Where the process' standard output goes.
    pub(crate) fn output(&self) -> PathBuf {
        self.logs().join("stdout.log")
    }

    /// Makes the directory with `conf/application.properties` and, in a cluster, `conf/cluster.conf`: one `ip:port`
    /// per line (`compat/spec/reference-targets.md` §3).
    pub(crate) fn write(&self, base: &[(&str, &str)], options: &LaunchOptions) -> anyhow::Result<()> {
        let conf = self.home.join("conf");
        for dir in [&conf, &self.logs(), &self.home.join("tmp")] {
            std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        }
        let mut properties = String::new();
        let asked = options.properties_of(self.index).map(|(key, value)| (key.as_str(), value.as_str()));
        for (key, value) in base.iter().copied().chain(asked) {
            // Later lines win, so what was asked for overrides the template.
            let _ = writeln!(properties, "{key}={value}");
        }
        write_file(&conf.join("application.properties"), &properties)?;
        if !self.standalone {
            self.write_members(&self.members.iter().cloned().collect())?;
        }
        Ok(())
    }

    /// Writes the list of members, whole or not at all: a running node reads it as soon as it changes
    /// (`compat/spec/membership.md` §2.1).
    pub(crate) fn write_members(&self, members: &BTreeSet<String>) -> anyhow::Result<()> {
        write_members(&self.home, members)
    }
}

/// The same for the node at a home.
pub(crate) fn write_members(home: &Path, members: &BTreeSet<String>) -> anyhow::Result<()> {
    let lines: String = members.iter().map(|member| format!("{member}\n")).collect();
    let (new, path) = (home.join("conf/members.new"), home.join("conf/cluster.conf"));
    write_file(&new, &lines)?;
    std::fs::rename(&new, &path).with_context(|| format!("cannot write {}", path.display()))
}

fn write_file(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn seat(home: PathBuf, standalone: bool) -> Seat {
        let members = vec!["127.0.0.1:14001".to_owned(), "127.0.0.1:14002".to_owned()];
        Seat {
            index: 1,
            ip: "127.0.0.1".to_owned(),
            port: 14_002,
            listen_ip: None,
            home,
            standalone,
            members,
            heap_mb: None,
        }
    }

    #[test]
    fn what_was_asked_for_comes_after_the_template() {
        let dir = tempfile::tempdir().unwrap();
        let of = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        let options = LaunchOptions {
            properties: of("a", "all"),
            node_properties: BTreeMap::from([(0, of("b", "other node")), (1, of("a", "this node"))]),
            ..LaunchOptions::default()
        };
        seat(dir.path().to_owned(), false).write(&[("a", "template")], &options).unwrap();
        let read = |name: &str| std::fs::read_to_string(dir.path().join("conf").join(name)).unwrap();
        assert_eq!(read("application.properties"), "a=template\na=all\na=this node\n");
        assert_eq!(read("cluster.conf"), "127.0.0.1:14001\n127.0.0.1:14002\n");
    }

    #[test]
    fn a_standalone_node_has_no_member_list() {
        let dir = tempfile::tempdir().unwrap();
        seat(dir.path().to_owned(), true).write(&[], &LaunchOptions::default()).unwrap();
        assert!(!dir.path().join("conf/cluster.conf").exists());
    }
}
