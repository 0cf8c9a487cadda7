//! What clients and misfortune do to a world.

use rand::RngExt;

use super::checks::Violation;
use super::node::{Node, command};
use super::world::{Event, World};
use crate::raft::core::PeerId;
use crate::raft::core::message::{Input, MembershipChange, Role, Token};

impl World {
    pub(super) fn client(&mut self) -> Result<(), Violation> {
        if self.calm {
            return Ok(());
        }
        let pause = self.rng.random_range(0..=self.plan.client_pause_ms_max);
        self.plan_event(pause, Event::Client);
        let node = self.rng.random_range(0..self.nodes.len());
        if self.nodes[node].process.is_none() {
            return Ok(());
        }
        if self.chance(400) {
            self.tokens += 1;
            self.checks.asks(self.tokens);
            return self.input(node, Input::Read(self.tokens));
        }
        // Mostly where it has a chance.
        let leader = self
            .nodes
            .iter()
            .position(|it| it.process.as_ref().is_some_and(|process| process.member.status().role == Role::Leader));
        let node = leader.filter(|_| self.rng.random_range(0..8) > 0).unwrap_or(node);
        self.propose(node)
    }

    pub(super) fn propose(&mut self, node: usize) -> Result<(), Violation> {
        let count = self.rng.random_range(1..=self.plan.batch_max);
        let mut proposals = Vec::new();
        for _ in 0..count {
            self.tokens += 1;
            self.checks.asks(self.tokens);
            proposals.push((self.tokens, command(self.tokens, self.rng.random_range(0..16))));
        }
        self.input(node, Input::Propose(proposals))
    }

    pub(super) fn fault(&mut self) -> Result<(), Violation> {
        let pause = self.rng.random_range(1..=self.plan.fault_pause_ms_max);
        self.plan_event(pause, Event::Fault);
        if self.calm {
            return Ok(());
        }
        let node = self.rng.random_range(0..self.nodes.len());
        match self.rng.random_range(0..100) {
            0..12 => self.crash(node),
            // Back at once, as a supervisor does it.
            12..30 => {
                self.crash(node);
                self.start(node);
            }
            30..50 if self.nodes[node].process.is_none() => self.start(node),
            30..40 => {}
            40..50 => {
                // The leader alone, or with few.
                let leader = self.leader();
                self.island = (0..self.nodes.len()).filter(|_| self.rng.random_bool(0.1)).chain(leader).collect();
            }
            50..60 => {
                self.island = (0..self.nodes.len()).filter(|_| self.rng.random_bool(0.4)).collect();
            }
            60..72 => self.island.clear(),
            72..86 => {
                let to = self.rng.random_range(0..self.nodes.len());
                let to = Some(self.nodes[to].peer.clone()).filter(|_| self.rng.random_bool(0.8));
                self.at_leader(|token| Input::Transfer(token, to))?;
            }
            _ => {
                let change = self.draw_change();
                self.at_leader(|token| Input::ChangePeers(token, change))?;
            }
        }
        Ok(())
    }

    fn draw_change(&mut self) -> MembershipChange {
        let peer = self.nodes[self.rng.random_range(0..self.nodes.len())].peer.clone();
        match self.rng.random_range(0..3) {
            0 => MembershipChange::Add(peer),
            1 => MembershipChange::Remove(peer),
            _ => {
                let chosen: Vec<PeerId> =
                    self.nodes.iter().filter(|_| self.rng.random_bool(0.6)).map(|node| node.peer.clone()).collect();
                MembershipChange::To(chosen)
            }
        }
    }

    pub(super) fn leader(&self) -> Option<usize> {
        let leads = |node: &Node| {
            let process = node.process.as_ref()?;
            let status = process.member.status();
            (status.role == Role::Leader).then_some(status.term)
        };
        let leaders = self.nodes.iter().enumerate().filter_map(|(at, node)| leads(node).map(|term| (term, at)));
        leaders.max().map(|(_, at)| at)
    }

    fn at_leader(&mut self, input: impl FnOnce(Token) -> Input) -> Result<(), Violation> {
        let Some(leader) = self.leader() else { return Ok(()) };
        self.tokens += 1;
        self.input(leader, input(self.tokens))
    }

    pub(super) fn save_snapshot(&mut self, node: usize) -> Result<(), Violation> {
        let Some(process) = &self.nodes[node].process else { return Ok(()) };
        let state = process.state.clone();
        let Some(meta) = process.member.snapshot_meta(state.index) else { return Ok(()) };
        let latest = self.nodes[node].snapshot.as_ref().map_or(0, |(meta, _)| meta.last_included_index);
        if meta.last_included_index <= latest {
            return Ok(());
        }
        self.nodes[node].snapshot = Some((meta.clone(), state));
        if self.chance(self.plan.crash_between) {
            self.crash(node);
            return Ok(());
        }
        self.input(node, Input::SnapshotSaved(meta))
    }

    /// No more faults: everybody is up and can talk.
    pub(super) fn heal(&mut self) {
        self.calm = true;
        self.island.clear();
        for node in 0..self.nodes.len() {
            if self.nodes[node].process.is_none() {
                self.start(node);
            }
        }
    }
}
