//! The switches of a server while sequences run: health checks are off, so that nothing depends on time, and what a
//! sequence changes is put back.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::operation::Operation;
use crate::client::wire::{self, Limits};
use crate::conformance::place::Place;
use crate::conformance::play::request;

/// How long a change may take to show.
const DEADLINE: Duration = Duration::from_secs(5);

/// Names of switches as they are set, and as they are shown (`compat/spec/naming-api.md` §14).
const ENTRIES: [(&str, &str); 16] = [
    ("check", "healthCheckEnabled"),
    ("clientBeatInterval", "clientBeatInterval"),
    ("defaultCacheMillis", "defaultCacheMillis"),
    ("pushCacheMillis", "defaultPushCacheMillis"),
    ("lightBeatEnabled", "lightBeatEnabled"),
    ("defaultInstanceEphemeral", "defaultInstanceEphemeral"),
    ("pushEnabled", "pushEnabled"),
    ("autoChangeHealthCheckEnabled", "autoChangeHealthCheckEnabled"),
    ("disableAddIP", "disableAddIP"),
    ("sendBeatOnly", "sendBeatOnly"),
    ("healthCheckTimes", "checkTimes"),
    ("distroThreshold", "distroThreshold"),
    ("distro", "distroEnabled"),
    ("serviceStatusSynchronizationPeriodMillis", "serviceStatusSynchronizationPeriodMillis"),
    ("serverStatusSynchronizationPeriodMillis", "serverStatusSynchronizationPeriodMillis"),
    ("distroServerExpiredMillis", "distroServerExpiredMillis"),
];

/// Versions from which clients are pushed to.
const PUSH_VERSIONS: [(&str, &str); 3] = [("java", "pushJavaVersion"), ("go", "pushGoVersion"), ("c", "pushCVersion")];

/// The switches of one server as they were found, and as they are between sequences.
#[derive(Debug)]
pub struct Switches<'a> {
    place: &'a Place,
    found: Value,
    base: Value,
}

impl<'a> Switches<'a> {
    /// Reads the switches and turns the health checks off.
    ///
    /// # Errors
    /// When the server does not answer, or does not do so.
    pub async fn quiet(place: &'a Place) -> Result<Self> {
        let found = read(place).await?;
        let mut base = found.clone();
        base["healthCheckEnabled"] = Value::Bool(false);
        let switches = Self { place, found, base };
        set(place, "check", "false").await?;
        switches.wait(&switches.base).await?;
        Ok(switches)
    }

    /// Puts back what these calls changed.
    ///
    /// # Errors
    /// When that does not work: the next sequence would not be comparable.
    pub async fn put_back(&self, operations: &[Operation]) -> Result<()> {
        if !operations.iter().any(Operation::is_global) {
            return Ok(());
        }
        let touched: BTreeSet<&str> = operations.iter().filter_map(|it| it.param("entry")).collect();
        self.set_all(&self.base, |entry| touched.contains(entry)).await
    }

    /// Leaves the server as it was found.
    ///
    /// # Errors
    /// When that does not work.
    pub async fn give_back(&self) -> Result<()> {
        self.set_all(&self.found, |entry| entry == "check").await
    }

    async fn set_all(&self, to: &Value, wanted: impl Fn(&str) -> bool) -> Result<()> {
        for (entry, field) in ENTRIES {
            if let Some(value) = to.get(field).filter(|_| wanted(entry)) {
                set(self.place, entry, &plain(value)).await?;
            }
        }
        for (client, field) in PUSH_VERSIONS {
            if let Some(value) = to.get(field).filter(|_| wanted("pushVersion")) {
                set(self.place, "pushVersion", &format!("{client}:{}", plain(value))).await?;
            }
        }
        self.wait(to).await
    }

    async fn wait(&self, wanted: &Value) -> Result<()> {
        let until = Instant::now() + DEADLINE;
        loop {
            let shown = read(self.place).await?;
            if shown == *wanted {
                return Ok(());
            }
            if Instant::now() > until {
                bail!("the switches of {} are {shown} and should be {wanted}", self.place.asked());
            }
            sleep(Duration::from_millis(10)).await;
        }
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

async fn read(place: &Place) -> Result<Value> {
    let operation = Operation::read("/nacos/v1/ns/operator/switches", &[]);
    let body = ask(place, &operation).await?;
    serde_json::from_slice(&body).with_context(|| format!("{} shows switches that are not JSON", place.asked()))
}

/// One entry for good: a change that only this node makes (`debug=true`) is undone with the next one that all make.
async fn set(place: &Place, entry: &str, value: &str) -> Result<()> {
    let mut operation = Operation::read("/nacos/v1/ns/operator/switches", &[("entry", entry), ("value", value)]);
    operation.method = "PUT".to_owned();
    let body = ask(place, &operation).await?;
    if body != b"ok" {
        bail!("{} does not set {entry} to {value}: {}", place.asked(), String::from_utf8_lossy(&body));
    }
    Ok(())
}

async fn ask(place: &Place, operation: &Operation) -> Result<Vec<u8>> {
    let case = operation.case("switches", "");
    let answer = wire::exchange(place.asked(), &request(&case, place), &Limits::default()).await;
    Ok(answer.with_context(|| format!("cannot ask {} for its switches", place.asked()))?.body)
}
