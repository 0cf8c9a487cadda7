//! Following: entries and snapshots of a leader (compat/spec/jraft.md §5, "AppendEntries, receiver").

use super::member::{Member, Part};
use super::message::{AppendRequest, CallId, Output, RaftError, Response};
use super::store::Change;
use super::types::{Entry, Index, PeerId, SnapshotMeta, Term};

impl Member {
    /// Takes the sender for the leader of its term. `None` when it is; else the answer's term.
    fn follow(&mut self, from: &PeerId, term: Term) -> Option<Term> {
        if term < self.hard.term {
            return Some(self.hard.term);
        }
        if term > self.hard.term || matches!(self.part, Part::Candidate { .. }) {
            self.step_down(term, "there is a leader");
        }
        if self.leader.as_ref().is_some_and(|leader| leader != from) {
            // Two leaders in one term, as can be when a peer forgot its vote: neither goes on.
            self.step_down(term + 1, "there are two leaders in one term");
            return Some(term + 1);
        }
        if self.leader.is_none() {
            self.drop_pre_votes();
            self.leader = Some(from.clone());
        }
        self.leader_heard_ms = self.now_ms;
        self.rearm_election();
        None
    }

    fn drop_pre_votes(&mut self) {
        if let Part::Follower { pre_votes } = &mut self.part {
            *pre_votes = None;
        }
    }

    pub(super) fn on_append(&mut self, call: CallId, append: AppendRequest) {
        let AppendRequest { from, term, prev, entries, committed, .. } = append;
        if let Some(term) = self.follow(&from, term) {
            return self.reply(call, Response::Append { term, success: false, last_log_index: None });
        }
        if !entries.is_empty() && self.installing.is_some() {
            return self.reply_error(call, RaftError::EBUSY, format!("Node {} is installing snapshot.", self.me));
        }
        let agrees = match self.log.term_at(prev.index) {
            Some(term) => term == prev.term,
            // Compacted here: what is committed is the same everywhere.
            None => prev.index <= self.commit,
        };
        if !agrees {
            let last_log_index = Some(self.log.last());
            return self.reply(call, Response::Append { term, success: false, last_log_index });
        }
        // Entries behind those it sent may be others than the leader's.
        let reached = prev.index + u64::try_from(entries.len()).unwrap_or_default();
        let last_log_index = entries.is_empty().then(|| self.log.last());
        if !self.take_entries(entries) {
            return;
        }
        self.commit = self.commit.max(committed.min(reached).min(self.log.last()));
        self.claimed = self.claimed.max(committed);
        // A leader has all that was committed before its term; what it committed since, it claims.
        if self.log.last_id().term == self.hard.term && self.log.last() >= self.claimed {
            self.complete();
        }
        self.reply(call, Response::Append { term, success: true, last_log_index });
    }

    /// Adds what is new; drops what another leader left. `false` when that would be something committed.
    fn take_entries(&mut self, mut entries: Vec<Entry>) -> bool {
        let same = |entry: &&Entry| match self.log.term_at(entry.index) {
            Some(term) => term == entry.term,
            None => entry.index < self.log.first(),
        };
        let known = entries.iter().take_while(same).count();
        let new = entries.split_off(known);
        let Some(first) = new.first() else { return true };
        if first.index <= self.commit {
            let (index, term) = (first.index, first.term);
            self.fatal(format!(
                "the leader of term {} has another entry {index} (of term {term}) than was committed",
                { self.hard.term }
            ));
            return false;
        }
        if first.index <= self.log.last() {
            let from = first.index;
            self.log.truncate_suffix(from);
            self.persist(Change::TruncateSuffix(from));
        }
        for entry in &new {
            self.log.push(entry.clone());
        }
        self.persist(Change::Append(new));
        true
    }

    pub(super) fn on_install(&mut self, call: CallId, from: &PeerId, term: Term, meta: SnapshotMeta, uri: String) {
        if let Some(term) = self.follow(from, term) {
            return self.reply(call, Response::InstallSnapshot { term, success: false });
        }
        if meta.last_included_index <= self.commit {
            // All that is in it is here.
            return self.reply(call, Response::InstallSnapshot { term, success: true });
        }
        if self.installing.is_some() {
            return self.reply_error(call, RaftError::EBUSY, "A former snapshot is under installing");
        }
        self.installing = Some((call, meta.clone()));
        self.out.push(Output::InstallSnapshot { meta, uri });
    }

    pub(super) fn on_snapshot_installed(&mut self, result: Result<SnapshotMeta, RaftError>) {
        let Some((call, _)) = self.installing.take() else { return };
        let meta = match result {
            Ok(meta) => meta,
            Err(error) => return self.reply(call, Response::Error(error)),
        };
        let index = meta.last_included_index;
        if self.log.term_at(index) == Some(meta.last_included_term) {
            // The log goes on behind it. As with an own snapshot, some of what is before is kept.
            self.compact(meta);
        } else {
            self.log.reset(meta.clone());
            self.persist(Change::Reset(meta));
        }
        self.applied_by_snapshot(index);
        self.reply(call, Response::InstallSnapshot { term: self.hard.term, success: true });
    }

    pub(super) fn on_snapshot_saved(&mut self, meta: SnapshotMeta) {
        if meta.last_included_index > self.log.snapshot().last_included_index {
            self.compact(meta);
        }
    }

    /// Entries are kept back to the snapshot before, for followers that are only a little behind.
    fn compact(&mut self, meta: SnapshotMeta) {
        let keep_from: Index = self.log.snapshot().last_included_index + 1;
        self.log.set_snapshot(meta.clone());
        self.persist(Change::Snapshot(meta));
        if keep_from > self.log.first() {
            self.log.truncate_prefix(keep_from);
            self.persist(Change::TruncatePrefix(keep_from));
        }
    }
}
