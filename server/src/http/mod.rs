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
//! - `naming_*`, `console`: the controllers
//! - [`rest_result`]: the envelope of the core and console APIs
//! - `naming_*`, `core_*`, `console`, `actuator`: the controllers

pub mod accept;
pub mod actuator;
pub mod console;
pub mod core_cluster;
pub mod cors;
pub mod distro;
pub mod error_page;
pub mod firewall;
pub mod form;
pub mod forward;
pub mod params;
pub mod pipeline;
pub mod request;
pub mod response;
pub mod rest_result;
pub mod routes;
pub mod server;
