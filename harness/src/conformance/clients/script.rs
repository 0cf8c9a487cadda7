//! The steps of the script, and what a program reports of each (`compat/clients/README.md`).

use serde::Deserialize;
use serde_json::Value;

/// One step.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// As programs name it.
    pub name: &'static str,
    /// What is done, for reports.
    pub what: &'static str,
}

const fn step(name: &'static str, what: &'static str) -> Step {
    Step { name, what }
}

/// What a program does, in order.
pub const STEPS: [Step; 16] = [
    step("connect", "make a client for each of the two nodes"),
    step("subscribe", "subscribe at the one node to a service that does not exist yet"),
    step("register", "register two instances at the other node, with weight, cluster, group and metadata"),
    step("appear", "be told both"),
    step("list", "list all instances at the node subscribed to"),
    step("list-at-writer", "list all instances at the node written to"),
    step("select-cluster", "select the healthy instances of one cluster"),
    step("select-healthy", "select the healthy instances"),
    step("select-one", "select one healthy instance by weight"),
    step("services", "list the services of the group"),
    step("beats", "keep both instances healthy for 20 s by the client's own heartbeats"),
    step("update", "give one another weight and other metadata"),
    step("updated", "be told the new weight and metadata"),
    step("deregister", "deregister one"),
    step("gone", "be told that only the other is left"),
    step("leave", "unsubscribe and deregister the other"),
];

/// Steps in which the subscriber is told of a change.
pub const CHANGES: [&str; 3] = ["appear", "updated", "gone"];

/// The step that cannot be judged when instances stay without heartbeats.
pub const BEATS: &str = "beats";

/// What the harness adds of its own.
pub const PUSH: Step = step("push", "be told of at least one change by a UDP push");
/// What the harness adds of its own.
pub const ACKS: Step = step("acks", "acknowledge every push: the server counts none that is not");
/// What the harness adds of its own.
pub const NOTHING_LEFT: Step = step("nothing-left", "leave no instance behind on any node");

/// By what a subscriber was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// A UDP push had arrived that showed the change.
    Push,
    /// The client asked.
    Poll,
}

impl Way {
    /// `push` or `poll`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Poll => "poll",
        }
    }
}

/// What a program reports of one step.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Line {
    /// Name of the step.
    pub step: String,
    /// Whether it was as it should be.
    #[serde(default)]
    pub ok: bool,
    /// Since the start of the program, ms.
    #[serde(default)]
    pub at_ms: Option<f64>,
    /// What the client showed.
    #[serde(default)]
    pub saw: Value,
    /// What went wrong.
    #[serde(default)]
    pub detail: String,
    /// By what the subscriber was told, in steps that wait for that.
    #[serde(default)]
    pub way: Option<Way>,
    /// From the call that made the change until the subscriber was told, ms.
    #[serde(default)]
    pub after_ms: Option<f64>,
    /// Why the client cannot do this step at all.
    #[serde(default)]
    pub skip: Option<String>,
}

/// The reports in what a program printed; anything else it printed is passed over.
pub fn lines(printed: &str) -> Vec<Line> {
    printed.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}
