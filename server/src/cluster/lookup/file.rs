//! `conf/cluster.conf`: read at start, watched, and looked at every few seconds in case the watch misses something.
//!
//! A change is believed once the file has held still for a moment, and a list that loses members a moment longer: the
//! file is rewritten in place by official nodes and editors, and half of it is a list, too
//! (compat/spec/membership.md §11 Q7).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::sleep;
use tracing::{error, info, warn};

use super::Target;
use crate::cluster::conf::{self, Entry};

/// How long the file must hold still.
const SETTLE: Duration = Duration::from_millis(40);
/// How long it must when members would go.
const SETTLE_LOSS: Duration = Duration::from_millis(300);
/// A file that never holds still is read as it is after this many looks.
const LOOKS_MAX: usize = 20;
/// Time between looks without a notification.
const POLL: Duration = Duration::from_secs(3);
/// The same while the last look failed: a host name may come to resolve.
const POLL_FAILED: Duration = Duration::from_secs(1);

/// The file, and what was last seen of it.
#[derive(Debug)]
pub(super) struct FileLookup {
    target: Target,
    /// `nacos.member.list`, for as long as the file does not exist.
    list: Option<String>,
    /// What was last taken over; the same text again says nothing new.
    seen: Option<String>,
    complaint: Option<String>,
}

/// A running watch; the watcher ends when dropped.
#[derive(Debug)]
pub(super) struct Watch {
    changed: Arc<Notify>,
    _watcher: Option<RecommendedWatcher>,
}

impl FileLookup {
    pub(super) fn new(target: Target, list: Option<String>) -> Self {
        FileLookup { target, list, seen: None, complaint: None }
    }

    /// `NACOS_SERVERS`: the official image writes them to the file at every start.
    pub(super) fn write_servers(&mut self, servers: &[String]) {
        if servers.is_empty() {
            return;
        }
        let text: String = servers.iter().map(|server| format!("{server}\n")).collect();
        let written = std::fs::read_to_string(&self.target.path).ok();
        let same = |written: String| conf::parse(&written).ok() == conf::parse(&text).ok();
        if written.is_some_and(same) {
            return;
        }
        if let Err(error) = super::write(&self.target.path, &text) {
            warn!(path = %self.target.path.display(), %error, "cannot write NACOS_SERVERS; they are used without");
            self.list = Some(servers.join(","));
        }
    }

    /// Starts watching the directory, so that a file that comes later is seen, too.
    pub(super) fn watch(&self) -> Watch {
        let changed = Arc::new(Notify::new());
        let directory = self.target.path.parent().unwrap_or(Path::new(".")).to_owned();
        let notify = Arc::clone(&changed);
        let names_it = |path: &std::path::PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().contains("cluster.conf"))
        };
        let watcher = std::fs::create_dir_all(&directory).map_err(notify::Error::io).and_then(|()| {
            let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                let relevant = event.is_ok_and(|event| {
                    (event.kind.is_create() || event.kind.is_modify() || event.kind.is_remove())
                        && event.paths.iter().any(names_it)
                });
                if relevant {
                    notify.notify_one();
                }
            })?;
            watcher.watch(&directory, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        let watcher = watcher
            .inspect_err(|error| warn!(%error, directory = %directory.display(), "not watched, only looked at"))
            .ok();
        Watch { changed, _watcher: watcher }
    }

    /// Follows the file for ever.
    pub(super) async fn run(mut self, watch: Watch) {
        loop {
            let poll = if self.complaint.is_some() { POLL_FAILED } else { POLL };
            tokio::select! {
                () = watch.changed.notified() => {}
                () = sleep(poll) => {}
            }
            if self.text().await == self.seen && self.complaint.is_none() {
                continue;
            }
            self.settle().await;
            self.read().await;
        }
    }

    /// Reads the file and takes it over when it says something new and nothing wrong.
    pub(super) async fn read(&mut self) {
        let text = self.text().await;
        let entries = match self.entries(text.as_deref()) {
            Ok(entries) if entries.is_empty() => Err("it names no member".to_owned()),
            Ok(entries) => self.target.take(&entries).await.map_err(|error| error.to_string()),
            Err(error) => Err(error),
        };
        match entries {
            Ok(()) => {
                if self.complaint.take().is_some() {
                    info!(path = %self.target.path.display(), "the member list is good again");
                }
                // What was just written back is read here, so that it is not taken for news.
                self.seen = self.text().await;
            }
            Err(complaint) => {
                if self.complaint.as_ref() != Some(&complaint) {
                    let path = self.target.path.display();
                    error!(%path, "the member list is not usable and the present one stays: {complaint}");
                    self.complaint = Some(complaint);
                }
                self.seen = text;
            }
        }
    }

    async fn text(&self) -> Option<String> {
        let bytes = tokio::fs::read(&self.target.path).await.ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn entries(&self, text: Option<&str>) -> Result<Vec<Entry>, String> {
        let entries = match (text, &self.list) {
            (Some(text), _) => conf::parse(text),
            (None, Some(list)) => conf::parse_list(list),
            (None, None) => Ok(Vec::new()),
        };
        entries.map_err(|error| error.to_string())
    }

    /// Waits until two looks show the same.
    async fn settle(&self) {
        let mut before = self.text().await;
        for _ in 0..LOOKS_MAX {
            sleep(if self.loses_members(before.as_deref()) { SETTLE_LOSS } else { SETTLE }).await;
            let now = self.text().await;
            if now == before {
                return;
            }
            before = now;
        }
    }

    fn loses_members(&self, text: Option<&str>) -> bool {
        let entries = self.entries(text).unwrap_or_default();
        let named: Vec<_> = entries.iter().map(|entry| format!("{}:{}", entry.host, entry.port)).collect();
        self.target.members.peers().iter().any(|peer| !named.contains(&peer.address))
    }
}
