//! Where the member list comes from: a file, an address server, or nowhere (compat/spec/membership.md §2).
//!
//! # Layout
//! - `file`: `conf/cluster.conf`, watched
//! - `address_server`: polled

mod address_server;
mod file;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::conf::{self, Entry};
use super::members::Members;
use crate::settings::{AddressServer, LookupKind, MemberSettings, Settings};
use crate::tasks::Tasks;

/// The lookup of one node; its kind can be switched while it runs.
#[derive(Debug)]
pub struct Lookup {
    target: Target,
    settings: MemberSettings,
    client: reqwest::Client,
    tasks: Tasks,
    running: Mutex<(LookupKind, CancellationToken)>,
}

impl Lookup {
    /// A lookup that has not looked yet.
    pub fn new(settings: &Settings, members: Arc<Members>, client: reqwest::Client, tasks: Tasks) -> Self {
        Lookup {
            target: Target { members, path: settings.cluster_conf() },
            settings: settings.members.clone(),
            client,
            tasks,
            running: Mutex::new((settings.members.lookup, CancellationToken::new())),
        }
    }

    /// Reads the list for the first time and keeps watching it.
    ///
    /// # Errors
    /// An address server that does not answer; a bad file leaves the node alone instead, as in official nodes.
    pub async fn start(&self) -> anyhow::Result<()> {
        let (kind, stop) = self.running.lock().clone();
        self.begin(kind, stop).await
    }

    /// Changes the kind by its official name.
    ///
    /// # Errors
    /// The official sentence for an unknown name, or why the new kind cannot start.
    pub async fn switch(&self, name: &str) -> Result<(), String> {
        let kind = match name {
            "file" => LookupKind::File,
            "address-server" => LookupKind::AddressServer,
            other => {
                return Err(format!("The addressing mode exists : {other}, just support : [[file, address-server]]"));
            }
        };
        let stop = {
            let mut running = self.running.lock();
            match running.0 {
                LookupKind::Standalone => return Err("a standalone node has no members to look up".to_owned()),
                current if current == kind => return Ok(()),
                _ => {}
            }
            running.1.cancel();
            *running = (kind, CancellationToken::new());
            running.1.clone()
        };
        self.begin(kind, stop).await.map_err(|error| format!("{error:#}"))
    }

    async fn begin(&self, kind: LookupKind, stop: CancellationToken) -> anyhow::Result<()> {
        match kind {
            LookupKind::Standalone => info!("standalone: no members are looked up"),
            LookupKind::File => {
                let mut file = file::FileLookup::new(self.target.clone(), self.settings.list.clone());
                file.write_servers(&self.settings.servers);
                let watch = file.watch();
                file.read().await;
                self.watch("file lookup", stop, file.run(watch));
            }
            LookupKind::AddressServer => {
                let server: AddressServer = self.settings.address_server.clone();
                let mut poll = address_server::Poll::new(self.target.clone(), server, self.client.clone());
                poll.start().await?;
                self.watch("address server lookup", stop, poll.run());
            }
        }
        Ok(())
    }

    fn watch(&self, name: &'static str, stop: CancellationToken, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(name, async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = work => {}
            }
        });
    }

    /// Writes the present list to `conf/cluster.conf`, after members left.
    pub fn write_back(&self) {
        if self.running.lock().0 != LookupKind::Standalone {
            self.target.write_back();
        }
    }
}

/// Where a list that was found goes: into the members and, when it changed them, back to the file.
#[derive(Debug, Clone)]
struct Target {
    members: Arc<Members>,
    path: PathBuf,
}

impl Target {
    /// Takes a list over.
    ///
    /// # Errors
    /// A host name that does not resolve; the present list then stays.
    async fn take(&self, entries: &[Entry]) -> Result<(), conf::ConfError> {
        if let Some(error) = conf::unresolved(entries).await {
            return Err(error);
        }
        if self.members.replace(entries) {
            self.write_back();
        }
        Ok(())
    }

    fn write_back(&self) {
        let addresses: Vec<_> = self.members.all().into_iter().map(|member| member.address).collect();
        let now = OffsetDateTime::now_local().unwrap_or_else(|_| OffsetDateTime::now_utc());
        if let Err(error) = write(&self.path, &conf::render(&addresses, now)) {
            warn!(path = %self.path.display(), %error, "cannot write the member list back");
        }
    }
}

/// Replaces the file in one step, so that nobody reads half of it; in place where that is not possible (a file mounted
/// into a container). The temporary name does not contain `cluster.conf`, which official nodes watch for.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory)?;
    let temporary = directory.join(format!(".members-{}.tmp", std::process::id()));
    let replaced = std::fs::write(&temporary, text).and_then(|()| std::fs::rename(&temporary, path));
    replaced.or_else(|_| {
        let _ = std::fs::remove_file(&temporary);
        std::fs::write(path, text)
    })
}
