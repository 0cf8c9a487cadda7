//! The members of the cluster: who they are, how they are, and who is responsible for what.
//!
//! # Layout
//! - [`members`]: the list and its states; the one owner
//! - [`member`]: one member, and the rules by which its state changes
//! - [`ring`]: who is responsible for a service
//! - [`conf`]: the grammar of member lists

pub mod conf;
pub mod member;
pub mod members;
pub mod ring;
