//! Who plays what: the same steps with other roles, so that only the subject's place differs.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde::Deserialize;

use super::case::WireFile;
use crate::conformance::case::Case;

/// A part in a case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The member the harness asks.
    Asked,
    /// The member it deals with: the owner of the service, the sender of a message.
    #[default]
    Peer,
    /// The other one.
    Third,
    /// The harness.
    Foreign,
}

/// Which roles a file is played with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CastKind {
    /// The subject once as the member that is asked, once as the owner.
    Forward,
    /// The subject as the member that is asked.
    Member,
    /// Nobody is asked: what members send by themselves, the subject once as sender and once as receiver.
    Traffic,
}

/// One way to fill the roles. Members are named by their index.
#[derive(Debug, Clone)]
pub struct Cast {
    /// What is behind the `@` of a result's id; empty for the reference.
    pub name: &'static str,
    /// The asked one, its peer, the third.
    pub roles: [usize; 3],
    /// Every member's address, by index.
    pub members: Vec<String>,
    /// Address of the harness as a member.
    pub foreign: String,
    /// Names by placeholder.
    services: BTreeMap<String, String>,
}

impl CastKind {
    /// The reference's cast first, then the subject's; `real` are the two real nodes.
    pub fn casts(self, real: [usize; 2], subject: usize) -> Vec<(&'static str, [usize; 3])> {
        let [one, two] = real;
        let mut casts = vec![("", [one, two, subject])];
        match self {
            Self::Forward => {
                casts.push(("tandem-asked", [subject, two, one]));
                casts.push(("tandem-owner", [one, subject, two]));
            }
            Self::Member => casts.push(("mixed", [subject, two, one])),
            Self::Traffic => {
                casts.push(("tandem-sends", [subject, two, one]));
                casts.push(("tandem-receives", [one, subject, two]));
            }
        }
        casts
    }
}

impl Cast {
    /// Fills the roles and chooses a name for every service of the file; `names` counts through the whole run.
    pub fn new(
        (name, roles): (&'static str, [usize; 3]),
        members: &[String],
        foreign: &str,
        file: &WireFile,
        names: &mut u32,
    ) -> Result<Self> {
        let mut cast =
            Self { name, roles, members: members.to_vec(), foreign: foreign.to_owned(), services: BTreeMap::new() };
        for (key, rule) in &file.services {
            let owner = cast.address(rule.owner).to_owned();
            let name = cast.name_owned_by(&owner, &rule.group, names);
            cast.services.insert(key.clone(), name.with_context(|| format!("no service is owned by {owner}"))?);
        }
        Ok(cast)
    }

    /// Roles without services and without the harness.
    pub fn bare((name, roles): (&'static str, [usize; 3]), members: &[String]) -> Self {
        Self { name, roles, members: members.to_vec(), foreign: "-".to_owned(), services: BTreeMap::new() }
    }

    /// A member's index in a role; none for the harness.
    pub fn index(&self, role: Role) -> Option<usize> {
        let [asked, peer, third] = self.roles;
        match role {
            Role::Asked => Some(asked),
            Role::Peer => Some(peer),
            Role::Third => Some(third),
            Role::Foreign => None,
        }
    }

    /// The address in a role.
    pub fn address(&self, role: Role) -> &str {
        self.index(role).map_or(self.foreign.as_str(), |at| self.members.get(at).map_or("", String::as_str))
    }

    /// The addresses in the order of the roles.
    pub fn addresses(&self) -> Vec<String> {
        [Role::Asked, Role::Peer, Role::Third].iter().map(|role| self.address(*role).to_owned()).collect()
    }

    /// Names are equally long, so that lengths can be compared.
    pub fn name_owned_by(&self, owner: &str, group: &str, names: &mut u32) -> Option<String> {
        (0..1000).find_map(|_| {
            *names += 1;
            let name = format!("wire-{names:06}");
            (self.owner(&format!("{group}@@{name}")) == owner).then_some(name)
        })
    }

    /// The member responsible for a grouped name (`compat/spec/distro.md` §4).
    pub fn owner(&self, grouped: &str) -> &str {
        let mut ring: Vec<&str> = self.members.iter().map(String::as_str).collect();
        ring.sort_unstable();
        let hash = grouped.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
        let place = (hash % i32::MAX).unsigned_abs() as usize % ring.len().max(1);
        ring.get(place).copied().unwrap_or_default()
    }

    /// Puts the cast in for the placeholders of a text: `{asked}`, `{asked_ip}`, `{asked_port}` and so on, `{now}` in
    /// ms since the epoch, and the file's services.
    pub fn fill(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (role, name) in
            [(Role::Asked, "{asked}"), (Role::Peer, "{peer}"), (Role::Third, "{third}"), (Role::Foreign, "{foreign}")]
        {
            let address = self.address(role);
            let (ip, port) = address.rsplit_once(':').unwrap_or((address, ""));
            let bare = name.trim_end_matches('}');
            text = text.replace(name, address);
            text = text.replace(&format!("{bare}_ip}}"), ip).replace(&format!("{bare}_port}}"), port);
        }
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        text = text.replace("{now}", &since_epoch.as_millis().to_string());
        self.services.iter().fold(text, |text, (key, name)| text.replace(&format!("{{{key}}}"), name))
    }

    /// The case with everything filled in.
    pub fn fill_case(&self, case: &Case) -> Case {
        let mut case = case.clone();
        let fill = |text: &mut String| *text = self.fill(text);
        fill(&mut case.path);
        case.params.values_mut().for_each(fill);
        case.headers.values_mut().for_each(fill);
        case.raw_query.iter_mut().chain(&mut case.body).chain(&mut case.shows).for_each(fill);
        if let Some(contains) = case.wire.as_mut().and_then(|wire| wire.contains.as_mut()) {
            fill(contains);
        }
        case.foreign.iter_mut().for_each(|scripted| fill(&mut scripted.body));
        case
    }

    /// The placeholders in place of names and addresses, also percent-encoded ones.
    pub fn normal(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (role, name) in
            [(Role::Asked, "{asked}"), (Role::Peer, "{peer}"), (Role::Third, "{third}"), (Role::Foreign, "{foreign}")]
        {
            let address = self.address(role);
            text = text.replace(address, name).replace(&address.replace(':', "%3A"), name);
        }
        self.services.iter().fold(text, |text, (key, name)| text.replace(name.as_str(), &format!("{{{key}}}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cast() -> Cast {
        let members = ["127.0.0.1:9203", "127.0.0.1:9201", "127.0.0.1:9202"].map(str::to_owned).to_vec();
        let services = BTreeMap::from([("a".to_owned(), "wire-000001".to_owned())]);
        Cast { name: "x", roles: [2, 1, 0], members, foreign: "127.0.0.1:1".to_owned(), services }
    }

    #[test]
    fn owners_are_those_that_real_nodes_named() {
        // compat/spec/membership.md §3.3
        let owners =
            ["h2d1", "h2d2", "h2d3", "h2d4"].map(|name| cast().owner(&format!("DEFAULT_GROUP@@{name}")).to_owned());
        assert_eq!(owners, ["127.0.0.1:9203", "127.0.0.1:9202", "127.0.0.1:9201", "127.0.0.1:9203"]);
    }

    #[test]
    fn what_is_filled_in_comes_out_again() {
        let text = "x={asked}&y={peer}&z={third}&f={foreign}&s={a}";
        let filled = cast().fill(text);
        assert_eq!(filled, "x=127.0.0.1:9202&y=127.0.0.1:9201&z=127.0.0.1:9203&f=127.0.0.1:1&s=wire-000001");
        assert_eq!(cast().normal(&filled), text);
        assert_eq!(cast().normal("127.0.0.1%3A9202"), "{asked}");
    }
}
