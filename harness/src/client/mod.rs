//! A Nacos 1.x client written from the wire up; it shares no type with the server.
//!
//! - [`call`]: one request, rendered once and sent as often as wanted, with what counts as success
//! - [`connection`]: one keep-alive connection; what a load generator holds many of
//! - [`nacos`]: the convenient client: named calls over a small pool of connections
//! - [`wire`]: raw requests and answers, exact to the byte; what conformance cases are sent with
//! - [`error`]: what can go wrong, and whether the server may have acted all the same

pub mod call;
pub mod connection;
pub mod error;
pub mod nacos;
pub mod wire;

pub use call::{Call, Instance};
pub use connection::{Connection, Reply};
pub use error::ClientError;
pub use nacos::NacosClient;
