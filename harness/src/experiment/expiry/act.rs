//! What is done to the instances: beats that stop, beats that come again, ports that close and open.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rand::RngExt as _;
use rand::rngs::StdRng;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::board::{Board, Group, Subject};
use super::track::State;
use super::window::{Moment, Via};
use crate::client::{Call, Instance, NacosClient};

/// Last beats are spread over this: two looks at a service, so that every phase of its check occurs.
const STAGGER: Duration = Duration::from_secs(10);

/// Longest pause between two beats while they come; official clients send one every 5 s.
const BEAT_PAUSE_MAX: Duration = Duration::from_secs(4);

/// From the registration to the last beat at least: real Nacos acknowledges before it knows the instance, and on a busy
/// machine much before.
const SETTLED: Duration = Duration::from_secs(3);

/// How often a beat that is refused is sent again, and the pause before.
const BEAT_TRIES: usize = 5;
const BEAT_RETRY: Duration = Duration::from_millis(200);

/// The same for the registration of a persistent instance.
const WRITE_TRIES: usize = 5;
const WRITE_RETRY: Duration = Duration::from_secs(1);

/// How long a push of lost health is waited for before a beat comes again: official nodes push after a second.
const PUSHED: Duration = Duration::from_millis(2500);

/// A revived instance must be unhealthy everywhere before it is removed.
const REVIVE_BEFORE: Duration = Duration::from_secs(29);

/// From the first check until checks come once a second (health-and-push.md §4.1: up to 7 s, then 5 s shrinking by a
/// quarter each time).
const STEADY: Duration = Duration::from_secs(24);

/// Ports close spread over this.
const CLOSE_STAGGER: Duration = Duration::from_secs(3);

/// How long a port stays closed at least.
const CLOSED: Duration = Duration::from_secs(8);

/// How long a closed port is waited for to be noticed.
const NOTICED: Duration = Duration::from_secs(12);

/// How long an opened port is waited for to be noticed.
const RECOVERED: Duration = Duration::from_secs(25);

/// Pause between two looks at the board.
const LOOK: Duration = Duration::from_millis(20);

/// The choices of one instance, drawn before anything happens so that every target meets the same.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draw {
    /// Before it is registered.
    begin: Duration,
    /// Share of the time over which stops are spread.
    stop: f64,
    /// Before a beat comes again.
    pause: Duration,
    /// Where the first request goes; the next goes to the next node.
    node: usize,
}

impl Draw {
    pub(super) fn of(random: &mut StdRng, nodes: usize) -> Self {
        Self {
            begin: Duration::from_millis(random.random_range(0..1000)),
            stop: random.random_range(0.0..1.0),
            pause: Duration::from_millis(random.random_range(0..500)),
            node: random.random_range(0..nodes.max(1)),
        }
    }
}

/// Nodes in turn.
struct Nodes {
    clients: Arc<[Arc<NacosClient>]>,
    next: usize,
}

impl Nodes {
    fn next(&mut self) -> Result<&NacosClient> {
        self.next += 1;
        let at = self.next.checked_rem(self.clients.len()).context("a cluster without nodes")?;
        self.clients.get(at).map(Arc::as_ref).context("a cluster without nodes")
    }
}

/// Does what the group of a subject asks for; problems go to the board.
pub(super) async fn act(board: Arc<Board>, clients: Arc<[Arc<NacosClient>]>, index: usize, draw: Draw) {
    let Some(subject) = board.subjects.get(index).cloned() else { return };
    let nodes = Nodes { clients, next: draw.node };
    let done = match subject.group {
        Group::Default | Group::Own | Group::Revived => beats(&board, nodes, index, &subject, draw).await,
        Group::Checked => ports(&board, nodes, index, &subject, draw).await,
    };
    if let Err(error) = done {
        board.problem(format!("{}, {}: {error:#}", subject.group.name(), subject.instance.ip));
    }
}

async fn beats(board: &Board, mut nodes: Nodes, index: usize, subject: &Subject, draw: Draw) -> Result<()> {
    sleep(draw.begin).await;
    nodes.next()?.register(&subject.instance).await?;
    let registered = board.now();
    // Revived ones have the longest way to go.
    let spread = if subject.group == Group::Revived { STAGGER / 3 } else { STAGGER };
    let until = registered + SETTLED + spread.mul_f64(draw.stop);
    let pause = BEAT_PAUSE_MAX.min(subject.group.timeouts().0 / 3);
    loop {
        let left = until.saturating_sub(board.now());
        sleep(left.min(pause)).await;
        if left <= pause {
            break;
        }
        // One that fails is followed by another.
        let _ = nodes.next()?.beat_light(&subject.instance).await;
    }
    let sent = beat(board, &mut nodes, subject).await.context("the last beat")?;
    if subject.group != Group::Revived {
        board.begins(index, subject.group.moments(), sent);
        return Ok(());
    }
    let everywhere = wait(board, index, &nodes, Via::Read, State::Unhealthy, sent + REVIVE_BEFORE).await;
    anyhow::ensure!(everywhere, "not unhealthy on every node before it was removed");
    wait(board, index, &nodes, Via::Push, State::Unhealthy, (board.now() + PUSHED).min(sent + REVIVE_BEFORE)).await;
    sleep(draw.pause).await;
    let sent = beat(board, &mut nodes, subject).await.context("the beat that comes again")?;
    board.begins(index, &[Moment::HealthyAgain], sent);
    Ok(())
}

/// One beat that counts; when it was sent. One that is refused changed nothing.
async fn beat(board: &Board, nodes: &mut Nodes, subject: &Subject) -> Result<Duration> {
    let mut tries = 0;
    loop {
        let sent = board.now();
        tries += 1;
        match nodes.next()?.beat_light(&subject.instance).await {
            Ok(()) => return Ok(sent),
            Err(error) if tries == BEAT_TRIES => return Err(error.into()),
            Err(_) => sleep(BEAT_RETRY).await,
        }
    }
}

/// A port that somebody listens on until dropped.
struct OpenPort(JoinHandle<()>);

impl OpenPort {
    async fn listen(address: &str) -> Result<Self> {
        let listener = TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
        Ok(Self(tokio::spawn(async move {
            // A checker keeps its connection until its next check.
            let mut _held = None;
            while let Ok((stream, _)) = listener.accept().await {
                _held = Some(stream);
            }
        })))
    }

    /// Closes the port; it is closed when this returns.
    async fn close(mut self) {
        self.0.abort();
        let _ = (&mut self.0).await;
    }
}

impl Drop for OpenPort {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn ports(board: &Board, mut nodes: Nodes, index: usize, subject: &Subject, draw: Draw) -> Result<()> {
    let instance = &subject.instance;
    let address = format!("{}:{}", instance.ip, instance.port);
    let port = OpenPort::listen(&address).await?;
    sleep(draw.begin).await;
    register_checked(&mut nodes, instance, &cluster(index)).await?;
    sleep(STEADY + CLOSE_STAGGER.mul_f64(draw.stop)).await;
    let healthy = wait(board, index, &nodes, Via::Read, State::Healthy, board.now() + NOTICED).await;
    anyhow::ensure!(healthy, "not healthy on every node with its port open");
    let sent = board.now();
    port.close().await;
    board.begins(index, &[Moment::PortClosed], sent);
    let reopen = board.now() + CLOSED;
    if !wait(board, index, &nodes, Via::Read, State::Unhealthy, sent + NOTICED).await {
        return Ok(());
    }
    sleep(reopen.saturating_sub(board.now())).await;
    let sent = board.now();
    let port = OpenPort::listen(&address).await?;
    board.begins(index, &[Moment::PortOpened], sent);
    wait(board, index, &nodes, Via::Read, State::Healthy, sent + RECOVERED).await;
    port.close().await;
    Ok(())
}

/// Registers a persistent instance. A real cluster refuses some of many writes at once, and then takes them.
async fn register_checked(nodes: &mut Nodes, instance: &Instance, cluster: &str) -> Result<()> {
    let mut tries = 0;
    loop {
        tries += 1;
        let client = nodes.next()?;
        match client.send(&Call::register_checked(client.context(), instance, cluster)?).await {
            Ok(_) => return Ok(()),
            Err(error) if tries == WRITE_TRIES => return Err(error.into()),
            Err(_) => sleep(WRITE_RETRY).await,
        }
    }
}

/// Name of the cluster of a checked instance: each has one, because one task checks all instances of a cluster and one
/// that fails slows it down for all (health-and-push.md §4.1).
pub(super) fn cluster(index: usize) -> String {
    format!("c{index}")
}

/// Waits until an observer of every node knows a state; whether they did in time.
async fn wait(board: &Board, index: usize, nodes: &Nodes, via: Via, state: State, until: Duration) -> bool {
    loop {
        if (0..nodes.clients.len()).all(|node| board.state(index, node, via) == Some(state)) {
            return true;
        }
        if board.now() >= until {
            return false;
        }
        sleep(LOOK).await;
    }
}
