//! The HTTP API: one file per official controller. Controllers parse, call and format; they hold no logic.
//!
//! # Layout
//! - [`request`], [`response`]: what controllers take and give
//! - [`routes`]: every method and path that exists; anything else is 501

pub mod request;
pub mod response;
pub mod routes;
