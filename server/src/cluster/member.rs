//! One member as this node sees it, and the rules by which its state changes.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// The version this node reports: three parts, compared as strings by official nodes, which stay in (or, restarted,
/// fall back to) the legacy raft while any member reports none (compat/spec/membership.md §8).
pub const REPORTED_VERSION: &str = "1.4.1";
/// `extendInfo` key by which Tandem nodes know each other; official nodes keep and ignore it.
pub const TANDEM: &str = "tandem";
/// `extendInfo` key with the newest version of the peer stream a Tandem node speaks; without it only plain Distro.
const TANDEM_STREAM: &str = "tandemStream";
/// The newest version of the peer stream this program speaks; peers use the older one of their two.
pub const STREAM_VERSION: u32 = 1;
const RAFT_PORT: &str = "raftPort";
const VERSION: &str = "version";
/// `extendInfo` key with the time of the last report, or for a node itself of the last thing it said there.
pub const LAST_REFRESH_TIME: &str = "lastRefreshTime";
/// Keys whose change official nodes announce to their parts (compat/spec/membership.md §3).
const BASIC_KEYS: [&str; 7] = ["site", "adWeight", RAFT_PORT, "weight", VERSION, TANDEM, TANDEM_STREAM];

/// How a member is, in this node's eyes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs, reason = "the official names")]
pub enum MemberState {
    Starting,
    Up,
    Suspicious,
    Down,
    Isolation,
}

impl MemberState {
    /// Whether the member is in the ring.
    pub fn is_healthy(self) -> bool {
        matches!(self, MemberState::Up | MemberState::Suspicious)
    }
}

/// One member. Field order is that of the official JSON (compat/spec/membership.md §3).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Address or host name.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub ip: String,
    /// HTTP port; −1 when a report names none.
    #[serde(default = "no_port")]
    pub port: i32,
    /// State.
    #[serde(default = "up")]
    pub state: MemberState,
    /// What the member says about itself, sorted by key.
    #[serde(default = "unnamed_extend_info")]
    pub extend_info: BTreeMap<String, Value>,
    /// `ip:port`: the identity, compared as a string.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub address: String,
    /// Consecutive failed reports.
    #[serde(default)]
    pub fail_access_cnt: u32,
}

fn null_is_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn no_port() -> i32 {
    -1
}

fn up() -> MemberState {
    MemberState::Up
}

/// What the official constructor gives a member whose report has no `extendInfo` at all.
fn unnamed_extend_info() -> BTreeMap<String, Value> {
    [("adWeight", "0"), ("site", "unknow"), ("weight", "1")].map(|(k, v)| (k.to_owned(), Value::from(v))).into()
}

impl Member {
    /// A member as a list names it: UP until proven otherwise, nothing known but its ports.
    pub fn listed(ip: &str, port: u16) -> Self {
        Member {
            ip: ip.to_owned(),
            port: i32::from(port),
            state: MemberState::Up,
            extend_info: [(RAFT_PORT.to_owned(), Value::from((i32::from(port) - 1000).to_string()))].into(),
            address: format!("{ip}:{port}"),
            fail_access_cnt: 0,
        }
    }

    /// This node.
    pub fn own(ip: &str, port: u16) -> Self {
        let mut own = Self::listed(ip, port);
        own.extend_info.insert(VERSION.to_owned(), REPORTED_VERSION.into());
        own.extend_info.insert(TANDEM.to_owned(), env!("CARGO_PKG_VERSION").into());
        own
    }

    /// The same, announcing that it takes what changed from other Tandem nodes, and beats in batches.
    pub fn streaming(mut self) -> Self {
        self.extend_info.insert(TANDEM_STREAM.to_owned(), STREAM_VERSION.to_string().into());
        self
    }

    /// This node without peers: nobody has to tell it apart, and official nodes stamp themselves when they start.
    pub fn alone(ip: &str, port: u16, now_ms: i64) -> Self {
        let mut own = Self::own(ip, port);
        own.extend_info.remove(TANDEM);
        own.extend_info.insert(LAST_REFRESH_TIME.to_owned(), now_ms.into());
        own
    }

    /// What the member says under a key, if it is text.
    pub fn extend_text(&self, key: &str) -> Option<&str> {
        self.extend_info.get(key).and_then(Value::as_str)
    }

    /// As official members show it: without what only nodes of this program tell each other.
    pub fn as_official(mut self) -> Self {
        self.extend_info.retain(|key, _| key != TANDEM && key != TANDEM_STREAM);
        self
    }

    /// The version the member last reported.
    pub fn version(&self) -> Option<&str> {
        self.extend_text(VERSION)
    }

    /// Whether it said anything of itself yet; the list of members names its address alone.
    pub fn has_reported(&self) -> bool {
        self.extend_info.contains_key(VERSION) || self.extend_info.contains_key(LAST_REFRESH_TIME)
    }

    /// Whether its own report said it is a Tandem node.
    pub fn is_tandem(&self) -> bool {
        self.extend_text(TANDEM).is_some()
    }

    /// Whether it can be a Tandem node: it said so, or has not said yet what it is.
    pub fn may_be_tandem(&self) -> bool {
        self.is_tandem() || !self.has_reported()
    }

    /// The newest version of the peer stream it said it speaks.
    pub fn stream_version(&self) -> Option<u32> {
        self.extend_text(TANDEM_STREAM).filter(|_| self.is_tandem())?.parse().ok().filter(|version| *version > 0)
    }

    /// Whether a report can be used at all.
    pub fn is_valid(&self) -> bool {
        !self.ip.trim().is_empty() && !self.address.trim().is_empty() && self.port != -1
    }

    /// Takes over a report the member sent itself: it is UP, and what it says replaces all it said before. True when
    /// something changed that other parts must hear of.
    pub(super) fn accept(&mut self, report: Member, now_ms: i64) -> bool {
        let changed = self.state != MemberState::Up
            || (&self.ip, self.port, &self.address) != (&report.ip, report.port, &report.address)
            || BASIC_KEYS.iter().any(|key| self.extend_info.get(*key) != report.extend_info.get(*key));
        *self = Member { state: MemberState::Up, fail_access_cnt: 0, ..report };
        self.extend_info.insert(LAST_REFRESH_TIME.to_owned(), now_ms.into());
        changed
    }

    /// Applies the outcome of a report sent to the member; true when its state changed.
    pub(super) fn judge(&mut self, outcome: Outcome, fail_access_max: u32) -> bool {
        let (state, count) = next(self.state, self.fail_access_cnt, outcome, fail_access_max);
        let changed = state != self.state;
        (self.state, self.fail_access_cnt) = (state, count);
        changed
    }
}

/// How a report sent to a member ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Answered with code 0 or 200.
    Accepted,
    /// Answered 404 or 501: a version without reports. Says nothing about its health.
    Unsupported,
    /// Any other answer, a timeout, a broken connection.
    Failed,
    /// Nobody listens.
    Refused,
}

impl Outcome {
    /// The outcome of an answer: the HTTP status rules, then the `code` in the body, absent meaning 0
    /// (compat/spec/membership.md §3.2).
    pub fn of_answer(status: u16, body: &[u8]) -> Self {
        let code = match status {
            200 => match serde_json::from_slice::<Value>(body) {
                Ok(Value::Object(fields)) => fields.get("code").map_or(Some(0), Value::as_i64),
                _ => None,
            },
            other => Some(i64::from(other)),
        };
        match code {
            Some(0 | 200) => Outcome::Accepted,
            Some(404 | 501) => Outcome::Unsupported,
            _ => Outcome::Failed,
        }
    }
}

/// The state machine: one failure makes SUSPICIOUS, more than `max` in a row or a refused connection make DOWN.
fn next(state: MemberState, count: u32, outcome: Outcome, max: u32) -> (MemberState, u32) {
    let failed = count.saturating_add(1);
    match outcome {
        Outcome::Accepted => (MemberState::Up, 0),
        Outcome::Unsupported => (state, count),
        Outcome::Refused => (MemberState::Down, failed),
        Outcome::Failed if failed > max => (MemberState::Down, failed),
        Outcome::Failed => (MemberState::Suspicious, failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use MemberState::{Down, Suspicious, Up};

    #[test]
    fn states_follow_the_official_rules() {
        // compat/spec/membership.md §12: M08, M09, M10, M12
        let mut member = Member::listed("127.0.0.1", 9202);
        let mut seen = Vec::new();
        for _ in 0..5 {
            let changed = member.judge(Outcome::Failed, 3);
            seen.push((member.state, member.fail_access_cnt, changed));
        }
        assert_eq!(
            seen,
            [(Suspicious, 1, true), (Suspicious, 2, false), (Suspicious, 3, false), (Down, 4, true), (Down, 5, false)]
        );
        assert!(!member.judge(Outcome::Unsupported, 3));
        assert_eq!((member.state, member.fail_access_cnt), (Down, 5));
        assert!(member.judge(Outcome::Accepted, 3));
        assert_eq!((member.state, member.fail_access_cnt), (Up, 0));
        assert!(!member.judge(Outcome::Unsupported, 3));
        assert_eq!(member.state, Up);
        assert!(member.judge(Outcome::Refused, 3));
        assert_eq!((member.state, member.fail_access_cnt), (Down, 1));
    }

    #[test]
    fn answers_are_read_status_first() {
        for (status, body, outcome) in [
            (200, r#"{"code":200,"message":null,"data":"true"}"#, Outcome::Accepted),
            (200, r#"{"code":200,"message":null,"data":"false"}"#, Outcome::Accepted),
            (200, r#"{"hello":1}"#, Outcome::Accepted),
            (200, r#"{"code":500}"#, Outcome::Failed),
            (200, r#"{"code":"x"}"#, Outcome::Failed),
            (200, "ok", Outcome::Failed),
            (200, "", Outcome::Failed),
            (404, r#"{"code":200}"#, Outcome::Unsupported),
            (501, "", Outcome::Unsupported),
            (500, r#"{"code":200}"#, Outcome::Failed),
            (503, "", Outcome::Failed),
        ] {
            assert_eq!(Outcome::of_answer(status, body.as_bytes()), outcome, "{status} {body}");
        }
    }

    #[test]
    fn a_report_replaces_all_and_lifts_to_up() {
        // M05, M06, M11
        let mut member = Member::listed("127.0.0.1", 9202);
        member.judge(Outcome::Refused, 3);
        let report = r#"{"ip":"127.0.0.1","port":9202,"state":"DOWN","extendInfo":{"version":"1.4.1","raftPort":"8202"},
            "address":"127.0.0.1:9202","failAccessCnt":7,"abilities":{}}"#;
        let report: Member = serde_json::from_str(report).unwrap();
        assert!(member.accept(report.clone(), 5));
        assert_eq!((member.state, member.fail_access_cnt), (Up, 0));
        assert!(!member.accept(report.clone(), 6), "only lastRefreshTime differs");
        assert_eq!(member.extend_info.get("lastRefreshTime"), Some(&Value::from(6)));
        let fewer = Member { extend_info: [("raftPort".to_owned(), "8202".into())].into(), ..report };
        assert!(member.accept(fewer, 7));
        assert_eq!(member.extend_text("version"), None);
    }

    #[test]
    fn json_is_the_official_one() {
        let text = serde_json::to_string(&Member::listed("127.0.0.1", 8848)).unwrap();
        let expected = r#"{"ip":"127.0.0.1","port":8848,"state":"UP","extendInfo":{"raftPort":"7848"},"address":"127.0.0.1:8848","failAccessCnt":0}"#;
        assert_eq!(text, expected);
        let own = serde_json::to_value(Member::own("127.0.0.1", 8848)).unwrap();
        assert_eq!(own["extendInfo"]["version"], "1.4.1");
        assert_eq!(own["extendInfo"]["tandem"], env!("CARGO_PKG_VERSION"));
        let alone = serde_json::to_value(Member::alone("127.0.0.1", 8848, 7)).unwrap();
        let expected = serde_json::json!({"lastRefreshTime": 7, "raftPort": "7848", "version": "1.4.1"});
        assert_eq!(alone["extendInfo"], expected);
        for illegal in [
            "{}",
            r#"{"ip":"h","address":"h:1"}"#,
            r#"{"ip":"h","port":1}"#,
            r#"{"ip":" ","port":1,"address":"h:1"}"#,
            r#"{"ip":null,"port":1,"address":"h:1"}"#,
        ] {
            assert!(!serde_json::from_str::<Member>(illegal).unwrap().is_valid(), "{illegal}");
        }
        let bare: Member = serde_json::from_str(r#"{"ip":"h","port":1,"address":"h:1"}"#).unwrap();
        assert!(bare.is_valid());
        assert_eq!(bare.extend_text("site"), Some("unknow"));
        assert!(serde_json::from_str::<Member>(r#"{"state":"WEIRD"}"#).is_err());
    }
}
