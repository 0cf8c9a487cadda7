//! What a node's own log says of the snapshot it took at its start.
//!
//! Official nodes write `[DISTRO-INIT] load snapshot TYPE from ADDRESS result: true` to `protocol-distro.log`; Tandem
//! writes `loaded peer=ADDRESS services=N` to its standard output. Neither line is written for a push or a pull.

use crate::target::{LogMark, Node, NodeKind};

/// What a log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Proof {
    /// The snapshot of a giver was loaded.
    Loaded(String),
    /// Something else was.
    Otherwise(String),
    /// Nothing.
    None(String),
}

/// The end of a node's log before it is started.
#[derive(Debug)]
pub(super) struct Mark {
    kind: NodeKind,
    log: Option<LogMark>,
}

impl Mark {
    pub(super) fn of(node: &Node) -> Self {
        let name = if node.kind == NodeKind::Tandem { "stdout.log" } else { "protocol-distro.log" };
        let log = node.logs.as_ref().map(|it| LogMark::at_end_of(it.join(name)));
        Self { kind: node.kind, log }
    }

    /// What was written since.
    pub(super) fn proof(&self, givers: &[Node], services: usize) -> Proof {
        let Some(text) = self.log.as_ref().and_then(LogMark::written_since) else {
            return Proof::None(
                "there is no log of its start to read, so nothing says that it took a snapshot".to_owned(),
            );
        };
        let givers: Vec<_> = givers.iter().map(|it| it.address.as_str()).collect();
        match self.kind {
            NodeKind::Tandem => of_tandem(&text, &givers, services),
            _ => of_nacos(&text, &givers),
        }
    }
}

fn of_tandem(log: &str, givers: &[&str], services: usize) -> Proof {
    let field = |line: &str, name: &str| -> Option<String> {
        let (_, rest) = line.split_once(&format!("{name}="))?;
        Some(rest.split_whitespace().next().unwrap_or_default().trim_matches('"').to_owned())
    };
    let Some(line) = log.lines().find(|it| it.contains("distro::load") && it.contains(": loaded ")) else {
        return Proof::None("its log does not say that it took a snapshot".to_owned());
    };
    let from = field(line, "peer").unwrap_or_default();
    let loaded = field(line, "services").and_then(|it| it.parse::<usize>().ok()).unwrap_or(0);
    let said = format!("loaded {loaded} services from {from}");
    if givers.contains(&from.as_str()) && loaded >= services { Proof::Loaded(said) } else { Proof::Otherwise(said) }
}

fn of_nacos(log: &str, givers: &[&str]) -> Proof {
    let results = log.lines().filter_map(|line| line.split_once("[DISTRO-INIT] load snapshot "));
    let loaded = results.filter_map(|(_, rest)| rest.strip_suffix(" result: true")?.split_once(" from ")).next();
    match loaded {
        None => Proof::None("its log does not say that it took a snapshot".to_owned()),
        Some((kind, from)) => {
            let said = format!("loaded {kind} from {from}");
            if givers.contains(&from) { Proof::Loaded(said) } else { Proof::Otherwise(said) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_official_log_names_the_member_the_snapshot_came_from() {
        let log = "2026-11-21 07:00:00,000 INFO [DISTRO-INIT] load snapshot com.alibaba.nacos.naming.iplist. from 127.0.0.1:2\n\
                   2026-11-21 07:00:00,001 INFO [DISTRO-INIT] load snapshot com.alibaba.nacos.naming.iplist. from 127.0.0.1:2 result: true\n\
                   2026-11-21 07:00:00,002 INFO [DISTRO-INIT] load snapshot data success\n";
        assert!(matches!(of_nacos(log, &["127.0.0.1:2"]), Proof::Loaded(_)));
        assert!(matches!(of_nacos(log, &["127.0.0.1:3"]), Proof::Otherwise(_)));
        assert!(matches!(of_nacos(&log.replace("true", "false"), &["127.0.0.1:2"]), Proof::None(_)));
    }

    #[test]
    fn tandems_log_says_how_much_came_from_whom() {
        let log = "2026-11-21T07:00:00Z  INFO tandem_server::distro::load: loaded peer=\"127.0.0.1:2\" services=1000\n";
        assert!(matches!(of_tandem(log, &["127.0.0.1:2"], 1000), Proof::Loaded(_)));
        assert!(matches!(of_tandem(log, &["127.0.0.1:2"], 1001), Proof::Otherwise(_)));
        assert!(matches!(of_tandem(log, &["127.0.0.1:3"], 1000), Proof::Otherwise(_)));
        assert!(matches!(of_tandem("", &["127.0.0.1:2"], 1), Proof::None(_)));
    }
}
