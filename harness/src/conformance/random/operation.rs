//! One generated call, and the case it is asked as.

use indexmap::IndexMap;

use crate::conformance::case::Case;

/// Where the names of one run of one sequence stand in paths and parameters: every run has names of its own, so that
/// nothing an earlier one left can be seen.
pub const TAG: &str = "{tag}";

/// Fields that differ between any two servers: times.
const VOLATILE: [&str; 3] = ["lastRefTime", "lastBeat", "timestamp"];

/// Fields that the real server lists in the order of its reflection, which is not that of another process
/// (`compat/spec/naming-api.md` §10.6 and §10.7).
const UNORDERED_KEYS: [&str; 7] = [
    "instanceIdGenerator",
    "instanceHeartBeatTimeOut",
    "ipDeleteTimeout",
    "instanceHeartBeatInterval",
    "defCkport",
    "defIPPort",
    "empty",
];

/// One call, its names still open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Operation {
    /// Method.
    pub method: String,
    /// Path with the context path `/nacos`.
    pub path: String,
    /// Parameters in order, not yet encoded.
    pub params: IndexMap<String, String>,
    /// Sends the parameters as a form body.
    pub form: bool,
    /// Header lines.
    pub headers: IndexMap<String, String>,
}

impl Operation {
    /// A call that only reads, as the harness itself makes to look at the state.
    pub fn read(path: &str, params: &[(&str, &str)]) -> Self {
        Self {
            method: "GET".to_owned(),
            path: path.to_owned(),
            params: params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            ..Self::default()
        }
    }

    /// Whether the state is the same after it as before.
    pub fn only_reads(&self) -> bool {
        // The old name of the beat is a GET.
        matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS") && !self.path.ends_with("/clientBeat")
    }

    /// Whether it changes something that all services of the server share.
    pub fn is_global(&self) -> bool {
        self.path.ends_with("/switches") && self.method == "PUT"
    }

    /// A parameter as it is sent; none when it is absent.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.get(name).map(String::as_str)
    }

    /// The case with the names of one run.
    pub fn case(&self, id: &str, tag: &str) -> Case {
        let named = |text: &String| text.replace(TAG, tag);
        Case {
            method: self.method.clone(),
            path: self.path.clone(),
            params: self.params.iter().map(|(name, value)| (name.clone(), named(value))).collect(),
            form: self.form && !self.params.is_empty(),
            headers: self.headers.clone(),
            volatile: VOLATILE.iter().map(|it| (*it).to_owned()).collect(),
            unordered_keys: self.unordered_keys(),
            poll: Some(self.only_reads()),
            ..Case::bare(id)
        }
    }

    fn unordered_keys(&self) -> Vec<String> {
        let is_catalog = self.path.contains("/catalog/");
        UNORDERED_KEYS.iter().filter(|_| is_catalog).map(|it| (*it).to_owned()).collect()
    }

    /// Method and path, which say which of two differences are likely the same.
    pub fn endpoint(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// The service it is about, as the server names it (`compat/spec/naming-api.md` §1.2).
    pub fn service(&self) -> Option<Service> {
        let filled = |name: &str| self.param(name).map(str::trim).filter(|it| !it.is_empty());
        let name = filled("serviceName").or_else(|| filled("dom"))?;
        let group = filled("groupName").unwrap_or("DEFAULT_GROUP");
        let grouped = if name.contains("@@") { name.to_owned() } else { format!("{group}@@{name}") };
        let namespace = filled("namespaceId").unwrap_or("public").to_owned();
        let cluster = filled("clusterName").or_else(|| filled("cluster")).unwrap_or("DEFAULT").to_owned();
        Some(Service { namespace, grouped, cluster })
    }
}

/// A service, and the cluster of it that a call was about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Service {
    /// Namespace id.
    pub namespace: String,
    /// `group@@name`.
    pub grouped: String,
    /// Name of the cluster.
    pub cluster: String,
}

impl Service {
    /// What is read to see whether both servers hold the same of it: what clients get, the full records, the
    /// service's own settings and those of its clusters.
    pub fn looks(&self) -> Vec<Operation> {
        let of = |path: &str, more: &[(&str, &str)]| {
            let mut params = vec![("serviceName", self.grouped.as_str()), ("namespaceId", self.namespace.as_str())];
            params.extend(more);
            Operation::read(&format!("/nacos/v1/ns/{path}"), &params)
        };
        vec![
            of("instance/list", &[]),
            of("catalog/instances", &[("clusterName", &self.cluster), ("pageNo", "1"), ("pageSize", "100")]),
            of("catalog/service", &[]),
            of("service", &[]),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::case::Topology;

    fn of(params: &[(&str, &str)]) -> Operation {
        Operation { method: "POST".to_owned(), ..Operation::read("/nacos/v1/ns/instance", params) }
    }

    #[test]
    fn the_service_is_the_one_the_server_means() {
        let plain = of(&[("serviceName", " s "), ("namespaceId", "")]).service().expect("a service");
        let expected = ("public", "DEFAULT_GROUP@@s", "DEFAULT");
        assert_eq!((plain.namespace.as_str(), plain.grouped.as_str(), plain.cluster.as_str()), expected);
        let grouped = of(&[("serviceName", "g@@s"), ("groupName", "x"), ("cluster", "c")]).service().expect("one");
        assert_eq!((grouped.grouped.as_str(), grouped.cluster.as_str()), ("g@@s", "c"));
        assert_eq!(of(&[("serviceName", " ")]).service(), None);
    }

    #[test]
    fn a_run_has_names_of_its_own() {
        let case = of(&[("namespaceId", "{tag}a"), ("port", "{open_port}")]).case("x", "r7");
        assert_eq!(case.params.values().collect::<Vec<_>>(), ["r7a", "{open_port}"]);
        assert!(!case.may_repeat(Topology::Standalone));
    }
}
