//! The wire between the members of a cluster: what each sends to each, recorded without taking part.
//!
//! Every member is known to the others by an address of the harness and listens on another one of the same port
//! ([`Wire`]). What arrives at the first is passed on byte for byte to the second, and a copy is read: requests,
//! answers, times, and by whom. The consensus port (1000 lower) is bound to all addresses by real Nacos, so the
//! members reach it past the recorder; that of a member that is bound to one is passed on unread.
//!
//! - `parse`: HTTP/1.1 out of a copy of the bytes
//! - `relay`: one connection; `sender`: whose it is
//! - `passage`: the consensus port
//! - [`Exchange`]: one request with its answer

mod log;
mod parse;
mod passage;
mod relay;
mod sender;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

use log::Log;
pub use log::{Exchange, Sender};
pub use parse::{Message, Requests};

/// How often a member that does not listen is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// The two addresses of one member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wire {
    /// What the others know it by; the harness listens there.
    pub known_as: SocketAddr,
    /// Where it really listens.
    pub listens_on: SocketAddr,
}

/// Records what the members of one cluster say to each other, until it is dropped.
#[derive(Debug)]
pub struct Recorder {
    log: Arc<Log>,
    /// Process of each member, where one runs.
    pids: Arc<Mutex<Vec<Option<u32>>>>,
    /// Tells a member's task that its member is gone.
    gone: Vec<Arc<Notify>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Recorder {
    /// Begins to record. An address is open while its member listens, and refuses otherwise.
    pub fn start(wires: &[Wire]) -> Self {
        let log = Arc::new(Log::default());
        let pids = Arc::new(Mutex::new(vec![None; wires.len()]));
        let gone: Vec<_> = wires.iter().map(|_| Arc::new(Notify::new())).collect();
        let tasks = wires.iter().zip(&gone).enumerate().map(|(index, (wire, gone))| {
            let member = Member { index, wire: *wire, log: log.clone(), pids: pids.clone(), gone: gone.clone() };
            tokio::spawn(member.run())
        });
        let tasks = tasks.chain(wires.iter().map(|wire| tokio::spawn(passage::run(*wire)))).collect();
        Self { log, pids, gone, tasks }
    }

    /// Says which process a member is now; none closes its address at once, as if nobody listened.
    pub fn set_process(&self, index: usize, pid: Option<u32>) {
        if let Some(known) = self.pids.lock().get_mut(index) {
            *known = pid;
        }
        if pid.is_none()
            && let Some(gone) = self.gone.get(index)
        {
            gone.notify_one();
        }
    }

    /// The number the next request gets: a mark for [`Self::since`].
    pub fn mark(&self) -> u64 {
        self.log.next()
    }

    /// Everything from a mark on. An exchange is there before its answer reaches whoever asked.
    pub fn since(&self, mark: u64) -> Vec<Exchange> {
        self.log.since(mark)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// One member's address.
struct Member {
    index: usize,
    wire: Wire,
    log: Arc<Log>,
    pids: Arc<Mutex<Vec<Option<u32>>>>,
    gone: Arc<Notify>,
}

impl Member {
    async fn run(self) {
        loop {
            while TcpStream::connect(self.wire.listens_on).await.is_err() {
                tokio::time::sleep(LOOK).await;
            }
            match TcpListener::bind(self.wire.known_as).await {
                Ok(listener) => self.serve(listener).await,
                Err(error) => {
                    tracing::warn!(address = %self.wire.known_as, %error, "cannot listen for a recorded member");
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
    }

    /// Serves until the member is gone; its connections end with it.
    async fn serve(&self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.gone.notified() => return,
                // Ended connections are forgotten.
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            };
            let Ok((client, from)) = accepted else { continue };
            match TcpStream::connect(self.wire.listens_on).await {
                Ok(server) => {
                    let sender = self.look_up(from.port());
                    connections.spawn(relay::relay(client, server, self.log.clone(), sender, self.index));
                }
                Err(_) => {
                    // The kernel took the connection on our behalf before we knew that nobody listens.
                    let _ = client.set_zero_linger();
                    return;
                }
            }
        }
    }

    /// Asks the kernel beside the first request, so that nothing waits for the answer.
    fn look_up(&self, from: u16) -> Arc<OnceLock<Sender>> {
        let sender = Arc::new(OnceLock::new());
        let (found, to, members) = (sender.clone(), self.wire.known_as.port(), self.pids.lock().clone());
        tokio::task::spawn_blocking(move || {
            let own = std::process::id();
            let pids: Vec<u32> = members.iter().copied().flatten().chain([own]).collect();
            let Some(pid) = sender::owner(from, to, &pids) else { return };
            let member = members.iter().position(|known| *known == Some(pid));
            let _ = found.set(member.map_or(Sender::Harness, Sender::Member));
        });
        sender
    }
}
