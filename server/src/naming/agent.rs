//! Which client asks, from its `User-Agent` (compat/spec/naming-api.md §7).

use super::switches::SwitchDomain;

/// Kinds of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "named after the clients")]
pub enum ClientType {
    Java,
    Dns,
    C,
    Go,
    CSharp,
    Unknown,
}

/// A version as three numbers.
pub type Version = [u32; 3];

/// A client's kind and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agent {
    /// Kind.
    pub client: ClientType,
    /// `None` when there is nothing to split: official Nacos fails on it.
    pub version: Option<Version>,
}

const PREFIXES: [(&str, ClientType); 6] = [
    ("Nacos-Java-Client", ClientType::Java),
    ("Nacos-DNS", ClientType::Dns),
    ("Nacos-C-Client", ClientType::C),
    ("vip-client4cpp", ClientType::C),
    ("Nacos-Go-Client", ClientType::Go),
    ("Nacos-CSharp-Client", ClientType::CSharp),
];

impl Agent {
    /// Reads the header.
    pub fn parse(header: &str) -> Self {
        let found = PREFIXES.iter().find(|(prefix, _)| header.starts_with(prefix));
        let client = found.map_or(ClientType::Unknown, |(_, client)| *client);
        if client == ClientType::Unknown {
            return Agent { client, version: Some([0; 3]) };
        }
        // Without ":v" Nacos takes everything but the first letter, which reads as 0.0.0.
        let text = header.split_once(":v").map_or_else(|| header.get(1..).unwrap_or_default(), |(_, rest)| rest);
        Agent { client, version: version(text) }
    }

    /// Whether names are shown with their group; `None` where Nacos fails for lack of a version.
    pub fn shows_groups(&self) -> Option<bool> {
        match self.client {
            ClientType::Java => Some(self.version? >= [1, 0, 0]),
            _ => Some(false),
        }
    }

    /// Whether the client can be pushed. `None` where Nacos fails for lack of a version.
    pub fn is_pushable(&self, switches: &SwitchDomain) -> bool {
        let least = match self.client {
            ClientType::Java => &switches.push_java_version,
            ClientType::Dns => &switches.push_python_version,
            ClientType::C => &switches.push_c_version,
            ClientType::Go => &switches.push_go_version,
            ClientType::CSharp => &switches.push_csharp_version,
            ClientType::Unknown => return false,
        };
        match (self.version, version(least)) {
            (Some(known), Some(least)) => known >= least,
            _ => false,
        }
    }
}

/// Jackson's version text: split at separators, what is not a number is 0, `None` without any separator.
pub fn version(text: &str) -> Option<Version> {
    let mut parts = text.trim().split(['-', '_', '.', '/', ';', ':']);
    let mut numbers = [0u32; 3];
    let mut count = 0;
    for number in &mut numbers {
        let Some(part) = parts.next() else { break };
        count += 1;
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        *number = digits.parse().unwrap_or(0);
    }
    (count >= 2).then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents() {
        assert_eq!(Agent::parse("Nacos-Java-Client:v1.4.1").shows_groups(), Some(true));
        assert_eq!(Agent::parse("Nacos-Java-Client:v0.9.0").shows_groups(), Some(false));
        assert_eq!(Agent::parse("Nacos-Java-Client:vABC").shows_groups(), None);
        assert_eq!(Agent::parse("nacos-java-client:v1.4.1").client, ClientType::Unknown);
        let switches = SwitchDomain::default();
        for (agent, pushed) in [
            ("Nacos-Java-Client:v0.9.0", true),
            ("Nacos-Java-Client:v0.0.9", false),
            ("Nacos-C-Client:v1.0.12", true),
            ("vip-client4cpp:v1.0.11", false),
            ("Nacos-Go-Client:v0.0.1", false),
            ("Nacos-Python-Client:v1.0.0", false),
        ] {
            assert_eq!(Agent::parse(agent).is_pushable(&switches), pushed, "{agent}");
        }
    }
}
