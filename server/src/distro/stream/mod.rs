//! What Tandem nodes send each other instead of whole lists: what changed (version 1).
//!
//! Official nodes never see it: both sides announce it in their member metadata (`extendInfo.tandemStream`), and
//! everything else stays plain Distro.
//!
//! # Protocol
//! `POST /v1/ns/distro/tandem/changes`, a `incoming::Message` as JSON, answered by an [`Answer`]. A sender has one
//! request per peer under way. Each entry is one service: either the whole list, or what was put and removed since a
//! *base*, with digests (`fingerprint::Digest`) of the list before and after.
//!
//! # Why no lost, doubled, late or reordered message leaves a wrong list
//! 1. A message is applied only in the session the receiver issued last to this sender, and only with a higher
//!    sequence number than the last one; so messages take effect in the order they were sent, each at most once. A
//!    session is known to nobody but whoever got the answer it was issued in, so that a message of an earlier life of
//!    the sender is refused however late it comes.
//! 2. Changes are applied only to a list whose digest is that of the base and only when the outcome has the digest the
//!    sender computed; otherwise the service is answered as *behind* and the sender sends its whole list. What else
//!    wrote to the list meanwhile (an official peer, a merge, a pull) therefore never mixes with it.
//! 3. The sender keeps a service pending until an answer says it was applied. With an unknown outcome it is sent
//!    again, even when the list is back to what was told before: that outdates the message that may still arrive.
//!    When it had arrived after all, the digest shows it.
//! 4. The checksums of [`super::verify`] are the last repair, as for plain Distro.
//!
//! Lists are trusted as in plain Distro (`super::merge`): changes from whom we do not hold responsible are answered
//! as behind, and the whole list that follows is merged. For that, each entry also names what was removed of late
//! ([`crate::naming::removals`]), and until which last beat. Changes from a list to itself ask whether ours is the same,
//! whoever is responsible (`super::hand_over`). Who was responsible adds from when it was told of beats
//! ([`crate::naming::heard`]), and to such a question these beats.
//!
//! # Layout
//! - `fingerprint`: when two records or two lists are the same
//! - `outgoing`: what a peer was told, and the next message to it
//! - `incoming`: what peers send

use serde::{Deserialize, Serialize};

pub(super) mod fingerprint;
pub(super) mod incoming;
pub(super) mod outgoing;

/// The answer to a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The session to go on in.
    pub session: String,
    /// False when nothing of the message was looked at, because it belongs to no current session or comes too late.
    pub accepted: bool,
    /// Entries, by position, whose changes do not fit our list: we need all of it.
    #[serde(default)]
    pub behind: Vec<usize>,
}

#[cfg(test)]
mod tests;
