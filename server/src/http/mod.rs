//! The HTTP API: one file per official controller. Controllers parse, call and format; they hold no logic.
//!
//! # Layout
//! - [`server`]: the connection level: accepts, frames, stops
//! - [`pipeline`]: the stages every request passes (compat/spec/naming-api.md §1)
//! - [`request`], [`response`]: what controllers take and give
//! - [`params`]: required, optional and Spring-bound parameters
//! - [`form`]: query strings and bodies become parameters
//! - [`accept`], [`cors`], [`error_page`], [`firewall`]: what Tomcat and Spring answer by themselves
//! - [`forward`]: hands a request to the responsible node
//! - [`routes`]: every method and path that exists; anything else is 501
//! - [`distro`]: what peers call
//! - `tandem_peer`: what Tandem peers call
//! - [`rest_result`]: the envelope of the core and console APIs
//! - [`core_cluster`], [`actuator`]: members and operators
//! - [`instance`], [`service`], [`cluster`], [`health`], [`catalog`], [`operator`], [`api`], [`raft`], [`console`]:
//!   the controllers, one per official one; `instance_list` and the like are parts of them

pub mod accept;
pub mod actuator;
pub mod api;
pub mod catalog;
pub mod cluster;
pub mod console;
pub mod console_page;
pub mod core_cluster;
pub mod cors;
pub mod distro;
pub mod error_page;
pub mod firewall;
pub mod form;
pub mod forward;
pub mod health;
mod host_load;
pub mod instance;
mod instance_beat;
mod instance_list;
mod instance_metadata;
pub mod operator;
pub mod params;
pub mod pipeline;
pub mod raft;
pub mod request;
pub mod response;
pub mod rest_result;
pub mod routes;
pub mod server;
pub mod service;
mod service_list;
mod tandem_peer;
mod wire;
