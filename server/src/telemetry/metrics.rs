//! Figures in Prometheus' text form: the official names where official nodes have them
//! (compat/spec/config-auth-console.md §7), `tandem_*` for what only this node has.
//!
//! Parts count by calling the functions here; nobody else names a metric. What can be read off the node when somebody
//! asks (services, instances, members, memory) is not counted but set then, by [`render`].

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Counter, Gauge, counter, gauge, histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use super::process;
use crate::cluster::member::MemberState;
use crate::node::Node;

/// Official gauges: `nacos_monitor{module="naming",name=…}`.
const MONITOR: &str = "nacos_monitor";
/// Requests by method, path and status.
const REQUESTS: &str = "http_server_requests_seconds";
/// From a change to a peer's acknowledgement of it.
const SYNC_LATENCY: &str = "tandem_sync_latency_seconds";
const SYNC_QUEUE: &str = "tandem_sync_queue_services";
const SYNC_LAG: &str = "tandem_sync_lag_seconds";
const SYNC_FAILURES: &str = "tandem_sync_failures_total";
const SYNC_BYTES: &str = "tandem_sync_bytes_total";
const SYNC_INSTANCES: &str = "tandem_sync_instances_total";
const BEATS_HANDED_ON: &str = "tandem_beats_handed_on_total";
const BEAT_BATCHES: &str = "tandem_beat_batches_total";
const BEATS: &str = "tandem_beats_total";
const MEMBERS: &str = "tandem_members";

/// Bounds of all histograms, seconds: requests are done in a millisecond, syncs in some, a dead peer takes seconds.
const BUCKETS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

const UPKEEP: Duration = Duration::from_secs(2);

/// Names of the naming module with what official nodes show before anything happened.
const NAMING: [(&str, f64); 10] = [
    ("mysqlhealthCheck", 0.0),
    ("httpHealthCheck", 0.0),
    ("tcpHealthCheck", 0.0),
    ("serviceCount", 0.0),
    ("ipCount", 0.0),
    ("maxPushCost", -1.0),
    ("avgPushCost", -1.0),
    ("leaderStatus", 0.0),
    ("totalPush", 0.0),
    ("failedPush", 0.0),
];

static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Starts counting in this process; once, whoever calls first. Without it counting costs nothing and shows nothing.
pub fn start() {
    HANDLE.get_or_init(|| {
        process::uptime();
        let recorder = PrometheusBuilder::new().set_buckets(&BUCKETS).ok()?.build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).ok()?;
        describe();
        Some(handle)
    });
}

/// Folds what was recorded into the histograms now and then, for ever: the recorder keeps every single value until it
/// is asked to, which without a scraper would be never.
pub async fn upkeep() {
    let Some(Some(handle)) = HANDLE.get() else { return };
    loop {
        tokio::time::sleep(UPKEEP).await;
        handle.run_upkeep();
    }
}

fn describe() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_gauge!(MONITOR, "Official figures of a Nacos node");
    describe_histogram!(REQUESTS, "Requests served, by path, method and status");
    describe_histogram!(SYNC_LATENCY, "From a change of a service to a peer's acknowledgement of it");
    describe_gauge!(SYNC_QUEUE, "Services with changes a peer has not acknowledged yet");
    describe_gauge!(SYNC_LAG, "Age of the oldest change a peer has not acknowledged yet");
    describe_counter!(SYNC_FAILURES, "Messages of changes a peer did not acknowledge");
    describe_counter!(SYNC_BYTES, "Bytes of changes and lists a peer acknowledged");
    describe_counter!(SYNC_INSTANCES, "Instances in the changes and lists a peer acknowledged");
    describe_counter!(BEATS_HANDED_ON, "Beats handed on to the responsible Tandem node in batches");
    describe_counter!(BEAT_BATCHES, "Batches those beats went in");
    describe_counter!(BEATS, "Beats taken from clients and forwarding members");
    describe_gauge!(MEMBERS, "Members by state, as this node sees them");
    for (name, value) in NAMING {
        monitor(name).set(value);
    }
}

/// An official gauge of the naming module. Names: `mysqlhealthCheck` (sic), `httpHealthCheck`, `tcpHealthCheck`,
/// `maxPushCost` and `avgPushCost` (ms, −1 while nothing was pushed), `totalPush`, `failedPush`, `leaderStatus`;
/// `serviceCount` and `ipCount` are set when somebody looks.
pub fn monitor(name: &'static str) -> Gauge {
    gauge!(MONITOR, "module" => "naming", "name" => name)
}

/// One request served. `path` is that of the route, never the one sent: a label must not grow with what clients invent.
pub fn request(method: &'static str, path: &'static str, status: u16, took: Duration) {
    if HANDLE.get().is_none() {
        return;
    }
    let outcome = match status / 100 {
        1 => "INFORMATIONAL",
        2 => "SUCCESS",
        3 => "REDIRECTION",
        4 => "CLIENT_ERROR",
        5 => "SERVER_ERROR",
        _ => "UNKNOWN",
    };
    let status = status.to_string();
    histogram!(REQUESTS, "exception" => "None", "method" => method, "outcome" => outcome, "status" => status, "uri" => path)
        .record(took);
}

/// A peer acknowledged a change that is `age` old.
pub fn synced(peer: &str, age: Duration) {
    histogram!(SYNC_LATENCY, "peer" => peer.to_owned()).record(age);
}

/// A peer acknowledged a message of this size.
pub fn sync_sent(peer: &str, bytes: usize, instances: usize) {
    counter!(SYNC_BYTES, "peer" => peer.to_owned()).increment(bytes as u64);
    counter!(SYNC_INSTANCES, "peer" => peer.to_owned()).increment(instances as u64);
}

/// A batch of beats left for a peer.
pub fn beats_handed_on(peer: &str, beats: usize) {
    counter!(BEATS_HANDED_ON, "peer" => peer.to_owned()).increment(beats as u64);
    counter!(BEAT_BATCHES, "peer" => peer.to_owned()).increment(1);
}

/// A peer did not acknowledge a message.
pub fn sync_failed(peer: &str) {
    counter!(SYNC_FAILURES, "peer" => peer.to_owned()).increment(1);
}

/// What a peer has not acknowledged yet: how many services, and the age of the oldest change.
pub fn sync_backlog(peer: &str, services: usize, oldest: Duration) {
    gauge!(SYNC_QUEUE, "peer" => peer.to_owned()).set(services as f64);
    gauge!(SYNC_LAG, "peer" => peer.to_owned()).set(oldest);
}

/// What a peer has not acknowledged yet, for people.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Backlog {
    /// Services with changes it has not acknowledged.
    pub services: u64,
    /// Age of the oldest of them when it was last looked at, seconds.
    pub oldest_s: f64,
    /// Messages it did not acknowledge since this node started.
    pub failures: u64,
}

/// The backlog of every peer something was sent to, by address; read from what is exposed, so that a page and a
/// dashboard never disagree. Empty when [`start`] was not called.
pub fn backlogs() -> BTreeMap<String, Backlog> {
    let exposed = HANDLE.get().and_then(Option::as_ref).map(PrometheusHandle::render).unwrap_or_default();
    backlogs_of(&exposed)
}

fn backlogs_of(exposed: &str) -> BTreeMap<String, Backlog> {
    let mut backlogs: BTreeMap<String, Backlog> = BTreeMap::new();
    for line in exposed.lines() {
        let Some((name, rest)) = line.split_once("{peer=\"") else { continue };
        let Some((peer, value)) = rest.split_once("\"} ") else { continue };
        let Ok(value) = value.trim().parse::<f64>() else { continue };
        let field: fn(&mut Backlog, f64) = match name {
            SYNC_QUEUE => |it, value| it.services = value as u64,
            SYNC_LAG => |it, value| it.oldest_s = value,
            SYNC_FAILURES => |it, value| it.failures = value as u64,
            _ => continue,
        };
        field(backlogs.entry(peer.to_owned()).or_default(), value);
    }
    backlogs
}

/// Beats; keep the handle.
pub fn beats() -> Counter {
    counter!(BEATS)
}

/// Everything, as of now; `None` when [`start`] was not called.
pub fn render(node: &Node) -> Option<String> {
    let handle = HANDLE.get()?.as_ref()?;
    let services = node.registry.services();
    let instances: usize = services.iter().map(|service| service.read().all().count()).sum();
    monitor("serviceCount").set(services.len() as f64);
    monitor("ipCount").set(instances as f64);
    let (pushed, unanswered) = node.pushes.get();
    monitor("totalPush").set(pushed as f64);
    monitor("failedPush").set(unanswered as f64);
    let members = node.members.all();
    for (state, name) in [(MemberState::Up, "UP"), (MemberState::Suspicious, "SUSPICIOUS"), (MemberState::Down, "DOWN")]
    {
        let count = members.iter().filter(|member| member.state == state).count();
        gauge!(MEMBERS, "state" => name).set(count as f64);
    }
    process::publish();
    handle.run_upkeep();
    Some(handle.render())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    #[test]
    fn backlogs_are_read_from_what_is_exposed() {
        start();
        sync_backlog("127.0.0.9:1", 3, Duration::from_millis(1500));
        sync_failed("127.0.0.9:1");
        let backlog = backlogs().remove("127.0.0.9:1").unwrap();
        assert_eq!(backlog, Backlog { services: 3, oldest_s: 1.5, failures: 1 });
        assert!(backlogs_of("tandem_sync_queue_services{peer=\"x\"} many\nx 1").is_empty());
    }

    #[test]
    fn official_names_are_there_from_the_start() {
        start();
        request("GET", "/test", 200, Duration::from_millis(2));
        synced("127.0.0.1:9", Duration::from_millis(3));
        beats().increment(2);
        let node = Node::new(Settings::loopback("/nowhere", 1));
        let text = render(&node).unwrap();
        for (name, _) in NAMING {
            assert!(text.contains(&format!("nacos_monitor{{module=\"naming\",name=\"{name}\"}}")), "{name}\n{text}");
        }
        for line in [
            "nacos_monitor{module=\"naming\",name=\"maxPushCost\"} -1",
            "http_server_requests_seconds_count{exception=\"None\",method=\"GET\",outcome=\"SUCCESS\",status=\"200\",uri=\"/test\"} 1",
            "tandem_sync_latency_seconds_bucket{peer=\"127.0.0.1:9\",le=\"0.005\"} 1",
            "tandem_members{state=\"UP\"} 1",
            "process_uptime_seconds ",
            "process_resident_memory_bytes ",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        // Counters are the process's: tests beside this one count as well.
        let counted = text.lines().find_map(|line| line.strip_prefix("tandem_beats_total ")?.parse::<u64>().ok());
        assert!(counted >= Some(2), "{counted:?}");
    }
}
