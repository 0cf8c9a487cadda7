//! The members of the cluster: who they are, how they are, and who is responsible for what.
//!
//! # Layout
//! - [`members`]: the list and its states; the one owner
//! - [`member`]: one member, and the rules by which its state changes
//! - [`ring`]: who is responsible for a service
//! - [`conf`]: the grammar of member lists
//! - [`lookup`]: where the list comes from
//! - [`reporter`]: reports to the others, which find out how they are
//! - [`leave`]: telling the others that members left
//! - [`client`]: the HTTP client for calls to the others
//! - [`status`]: whether naming serves

pub mod client;
pub mod conf;
pub mod leave;
pub mod lookup;
pub mod member;
pub mod members;
pub mod reporter;
pub mod ring;
pub mod status;
