//! The member lists: does every node know every member, as up, and who it is?

use std::collections::BTreeSet;

use serde::Deserialize;

/// One member as a node's `GET /v1/core/cluster/nodes` shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Member {
    /// `ip:port`, as members know each other.
    pub address: String,
    /// `UP`, `SUSPICIOUS`, `DOWN`, …
    pub state: String,
    /// `extendInfo.version`, which tells peers how to talk to it.
    pub version: Option<String>,
    /// `extendInfo.raftPort`.
    pub raft_port: Option<String>,
}

impl Member {
    /// Whether it takes part in the ring of responsibility (`compat/spec/distro.md` §4).
    pub fn is_in_ring(&self) -> bool {
        matches!(self.state.as_str(), "UP" | "SUSPICIOUS")
    }
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(default)]
    address: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    extend_info: serde_json::Map<String, serde_json::Value>,
}

/// Reads the answer of a node.
///
/// # Errors
/// When it is no member list.
pub fn parse(body: &[u8]) -> Result<Vec<Member>, serde_json::Error> {
    // The port is a text from one node and a number from another.
    let text = |entry: &Entry, key: &str| match entry.extend_info.get(key) {
        Some(serde_json::Value::String(text)) if !text.is_empty() => Some(text.clone()),
        Some(serde_json::Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let answer: Answer = serde_json::from_slice(body)?;
    Ok(answer
        .data
        .into_iter()
        .map(|it| Member {
            version: text(&it, "version"),
            raft_port: text(&it, "raftPort"),
            address: it.address,
            state: it.state,
        })
        .collect())
}

/// What is wrong with the member lists of all nodes, one sentence each; nothing when every node shows every member UP
/// and says which version it runs and where its consensus group listens.
pub fn problems(lists: &[(&str, &[Member])]) -> Vec<String> {
    let everyone: BTreeSet<&str> =
        lists.iter().flat_map(|(_, members)| members.iter().map(|it| it.address.as_str())).collect();
    let mut problems = Vec::new();
    for (node, members) in lists {
        for address in &everyone {
            let Some(member) = members.iter().find(|it| it.address == *address) else {
                problems.push(format!("{node} does not know the member {address}"));
                continue;
            };
            if member.state != "UP" {
                problems.push(format!("{node} shows the member {address} as {}", member.state));
            }
            // An official node forgets its own when its list of members is edited (`compat/spec/membership.md` §11 Q5);
            // nobody else asks it there.
            if member.address == *node {
                continue;
            }
            if member.version.is_none() {
                problems.push(format!("{node} does not know the version of {address}"));
            }
            if member.raft_port.is_none() {
                problems.push(format!("{node} does not know the raft port of {address}"));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(states: &str) -> Vec<Member> {
        let body = format!(
            r#"{{"code":200,"data":[{{"address":"a:1","state":"UP","extendInfo":{{"version":"1.4.1","raftPort":"7"}}}},
                {{"address":"b:1","state":"{states}","extendInfo":{{"version":"1.4.1","raftPort":8}}}}]}}"#
        );
        parse(body.as_bytes()).unwrap()
    }

    #[test]
    fn a_member_that_is_missing_down_or_mute_is_named() {
        let (good, down) = (list("UP"), list("DOWN"));
        assert_eq!(problems(&[("a:1", &good), ("b:1", &good)]), Vec::<String>::new());
        assert_eq!(problems(&[("a:1", &down), ("b:1", &good)]), ["a:1 shows the member b:1 as DOWN"]);
        let forgetful = [Member { version: None, ..good[0].clone() }, good[1].clone()];
        assert_eq!(problems(&[("a:1", &forgetful), ("b:1", &good)]), Vec::<String>::new());
        let mut mute = vec![forgetful[0].clone()];
        assert_eq!(
            problems(&[("a:1", &good), ("b:1", &mute)]),
            ["b:1 does not know the version of a:1", "b:1 does not know the member b:1"]
        );
        mute.clear();
        assert_eq!(problems(&[("a:1", &good), ("b:1", &mute)]).len(), 2);
    }
}
