//! Conformance between members: a cluster of two real nodes and one of the subject, judged by what they send each
//! other.
//!
//! Every case is played several times with the same steps and other roles ([`cast`]): once among the real nodes, which
//! gives the expectation, and once for each place the subject can take. Compared are the answer to the harness, the
//! request that one member sends another because of it, and the other member's answer.
//!
//! - [`case`]: the case files (`compat/cases/cluster`)
//! - [`cast`]: who is asked and who owns what
//! - [`foreign`]: the harness as a member
//! - [`request`]: one request between members, reduced to what is compared
//! - [`play`]: the cases of a file
//! - [`traffic`]: what members send without being asked
//! - [`consensus`]: questions to the raft port in every role
//! - [`failures`]: owners that are silent or dead
//! - [`membership`]: member lists edited live, and a member the harness plays
//! - [`session`]: the whole run

pub mod case;
pub mod cast;
pub mod consensus;
pub mod failures;
pub mod foreign;
pub mod membership;
pub mod play;
pub mod request;
pub mod session;
pub mod traffic;
