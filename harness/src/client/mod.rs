//! A Nacos 1.x client written from the wire up; it shares no type with the server.
//!
//! - [`call`]: one request, rendered once and sent as often as wanted, with what counts as success
//! - [`persistent`]: the requests about persistent instances and services
//! - [`connection`]: one keep-alive connection; what a load generator holds many of
//! - [`nacos`]: the convenient client: named calls over a small pool of connections
//! - [`wire`]: raw requests and answers, exact to the byte; what conformance cases are sent with
//! - [`raft`]: questions to the raft port, as another member asks them
//! - [`error`]: what can go wrong, and whether the server may have acted all the same

pub mod call;
pub mod connection;
pub mod error;
pub mod nacos;
pub mod persistent;
pub mod raft;
pub mod wire;

pub use call::{Call, Instance};
pub use connection::{Connection, Reply};
pub use error::ClientError;
pub use nacos::NacosClient;
