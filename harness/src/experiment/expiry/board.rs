//! Who is watched by whom, and what they saw: shared by the tasks that read, that listen for pushes and that act.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::track::{Change, Origin, State, Track};
use super::window::{Moment, Via};
use crate::client::{Instance, NacosClient};
use crate::experiment::workload::PushSocket;

/// Pause between two reads of a service at a node.
const READ_PAUSE: Duration = Duration::from_millis(50);

/// A subscription lasts ten seconds.
const SUBSCRIBE_AGAIN: Duration = Duration::from_secs(4);

/// One instance under observation.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) instance: Instance,
    pub(super) group: Group,
    /// Position of the node that is responsible for its service.
    pub(super) owner: usize,
}

/// Kinds of instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// Timeouts of the server.
    Default,
    /// Timeouts of their own, in their metadata.
    Own,
    /// Beats that come again before they are removed.
    Revived,
    /// Persistent, checked by the server over TCP.
    Checked,
}

impl Group {
    /// Words for the record.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default timeouts",
            Self::Own => "timeouts in metadata",
            Self::Revived => "beats again",
            Self::Checked => "checked over TCP",
        }
    }

    /// What is measured of such an instance.
    pub(super) fn moments(self) -> &'static [Moment] {
        match self {
            Self::Default | Self::Own => &[Moment::Unhealthy, Moment::Gone],
            Self::Revived => &[Moment::HealthyAgain],
            Self::Checked => &[Moment::PortClosed, Moment::PortOpened],
        }
    }

    /// Time without a beat until unhealthy, and until removal.
    pub(super) fn timeouts(self) -> (Duration, Duration) {
        match self {
            Self::Own => (Duration::from_secs(4), Duration::from_secs(16)),
            _ => (Duration::from_secs(15), Duration::from_secs(30)),
        }
    }
}

/// What an instance is seen as when a moment has come.
pub(super) fn state_at(moment: Moment) -> State {
    match moment {
        Moment::Unhealthy | Moment::PortClosed => State::Unhealthy,
        Moment::Gone => State::Absent,
        Moment::HealthyAgain | Moment::PortOpened => State::Healthy,
    }
}

/// Everything seen so far.
#[derive(Debug)]
pub(super) struct Board {
    began: Instant,
    pub(super) subjects: Vec<Subject>,
    /// By subject, node and way. A short lock, never held over an await.
    tracks: Mutex<HashMap<(usize, usize, Via), Track>>,
    origins: Mutex<HashMap<(usize, Moment), Origin>>,
    problems: Mutex<Vec<String>>,
}

impl Board {
    pub(super) fn new(subjects: Vec<Subject>) -> Self {
        Self {
            began: Instant::now(),
            subjects,
            tracks: Mutex::default(),
            origins: Mutex::default(),
            problems: Mutex::default(),
        }
    }

    /// Time since the beginning.
    pub(super) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Something happened to a subject between `sent` and now.
    pub(super) fn begins(&self, subject: usize, moments: &[Moment], sent: Duration) {
        let origin = Origin { sent, done: self.now() };
        self.origins.lock().extend(moments.iter().map(|moment| ((subject, *moment), origin)));
    }

    pub(super) fn origin(&self, subject: usize, moment: Moment) -> Option<Origin> {
        self.origins.lock().get(&(subject, moment)).copied()
    }

    /// When the last of all origins was done.
    pub(super) fn last_origin(&self) -> Duration {
        self.origins.lock().values().map(|it| it.done).max().unwrap_or_default()
    }

    /// Keeps what went wrong.
    pub(super) fn problem(&self, text: String) {
        self.problems.lock().push(text);
    }

    pub(super) fn problems(&self) -> Vec<String> {
        self.problems.lock().clone()
    }

    /// What an observer knows of a subject now.
    pub(super) fn state(&self, subject: usize, node: usize, via: Via) -> Option<State> {
        self.tracks.lock().get(&(subject, node, via)).and_then(Track::now)
    }

    /// Whether a moment can show at an observer at all: health that comes back before its loss was pushed is never
    /// pushed, because an official node builds a packet a second after the change (health-and-push.md §5.2).
    pub(super) fn can_show(&self, subject: usize, node: usize, via: Via, moment: Moment) -> bool {
        let Some(origin) = self.origin(subject, moment) else { return false };
        let known = || self.tracks.lock().get(&(subject, node, via))?.known_at(origin.sent);
        via == Via::Read || moment != Moment::HealthyAgain || known() == Some(State::Unhealthy)
    }

    /// The change that a moment is at an observer, once it was seen.
    pub(super) fn change(&self, subject: usize, node: usize, via: Via, moment: Moment) -> Option<Change> {
        let origin = self.origin(subject, moment)?;
        let tracks = self.tracks.lock();
        let track = tracks.get(&(subject, node, via))?;
        match moment {
            Moment::Gone => track.gone(origin.sent),
            _ => track.first(state_at(moment), origin.sent),
        }
    }

    /// How often a subject whose beats had stopped went from an observer and came back.
    pub(super) fn flickers(&self, subject: usize, node: usize, via: Via) -> u64 {
        let Some(origin) = self.origin(subject, Moment::Gone) else { return 0 };
        self.tracks.lock().get(&(subject, node, via)).map_or(0, |it| it.flickers(origin.sent))
    }

    fn with(&self, subject: usize, node: usize, via: Via, update: impl FnOnce(&mut Track)) {
        update(self.tracks.lock().entry((subject, node, via)).or_default());
    }

    /// The subjects of a service.
    fn of_service(&self, service: &str) -> Vec<usize> {
        let all = self.subjects.iter().enumerate();
        all.filter(|(_, it)| it.instance.service == service).map(|(index, _)| index).collect()
    }
}

/// Reads a service at a node again and again until dropped.
pub(super) async fn read(board: Arc<Board>, client: Arc<NacosClient>, node: usize, service: String) {
    let of_service = board.of_service(&service);
    let members: Vec<(usize, String)> = of_service
        .into_iter()
        .filter_map(|index| {
            let it = &board.subjects.get(index)?.instance;
            Some((index, format!("{}:{}_", it.ip, it.port)))
        })
        .collect();
    loop {
        let asked = board.now();
        // The list hides unhealthy instances when all of them are (health-and-push.md §7.1); this does not.
        if let Ok(statuses) = client.statuses(&service).await {
            let answered = board.now();
            for (subject, prefix) in &members {
                let state = match statuses.ips.iter().find_map(|it| it.strip_prefix(prefix.as_str())) {
                    Some("true") => State::Healthy,
                    Some(_) => State::Unhealthy,
                    None => State::Absent,
                };
                board.with(*subject, node, Via::Read, |it| it.look(state, asked, answered));
            }
        }
        sleep(READ_PAUSE).await;
    }
}

/// Subscribes to services at a node and takes what is pushed until dropped.
pub(super) async fn listen(board: Arc<Board>, client: Arc<NacosClient>, node: usize, services: Vec<String>) {
    let subscriber = match PushSocket::open(client.address()).await {
        Ok(subscriber) => subscriber,
        Err(error) => return board.problem(format!("{error:#}")),
    };
    loop {
        for service in &services {
            if let Err(error) = subscriber.subscribe(&client, service).await {
                board.problem(format!("{error:#}"));
            }
        }
        let until = Instant::now() + SUBSCRIBE_AGAIN;
        while let Some(pushed) = subscriber.next(until.saturating_duration_since(Instant::now())).await {
            let at = pushed.at.duration_since(board.began);
            let service = pushed.listing.name.split_once("@@").map_or("", |(_, name)| name);
            for subject in board.of_service(service) {
                let Some(instance) = board.subjects.get(subject).map(|it| &it.instance) else { continue };
                let mut hosts = pushed.listing.hosts.iter();
                let state = match hosts.find(|it| it.port == instance.port && it.ip == instance.ip) {
                    Some(host) if host.healthy => State::Healthy,
                    Some(_) => State::Unhealthy,
                    None => State::Absent,
                };
                board.with(subject, node, Via::Push, |it| it.told(state, at));
            }
        }
    }
}
