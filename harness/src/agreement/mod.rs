//! Do all nodes of a cluster hold the same? Every node's whole content is read over the wire and compared.
//!
//! - [`content`]: what one node holds, in a form in which only content is left (no `lastBeat`, no time stamps)
//! - [`read`]: from the nodes' own answers to that form
//! - [`checksum`], [`ring`]: what official nodes compute from it: the checksum of an instance list and the node that is
//!   responsible for a service
//! - [`differ`]: pure comparison of what was read: between nodes, within a node, and with what a model expects
//! - [`members`]: the same for the member lists
//!
//! A service without instances counts as absent: when empty services go is each process's own timer
//! (`compat/DIFFERENCES.md` N6). The checksum of a *service* is not compared: official members disagree on it as soon
//! as a service has two clusters (`compat/DIFFERENCES.md` B5); the one compared is that of the instance list, which is
//! what nodes send each other to verify (`compat/spec/distro.md` §3).

pub mod checksum;
pub mod content;
pub mod differ;
pub mod members;
pub mod read;
pub mod ring;

#[cfg(test)]
mod tests;
