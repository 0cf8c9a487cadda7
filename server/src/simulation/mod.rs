//! The replication of ephemeral instances in simulated clusters full of trouble.
//!
//! What runs is the server itself: members and reporter, registry, expiry and cleaner, Distro with its stream, and the
//! whole request pipeline down to the controllers. Only three things are the simulation's:
//! - the network, which takes the place of sockets in [`crate::peer_http`], one request and its answer at a time;
//! - the clock: tokio's, paused, from which [`crate::clock`] takes the wall time, too;
//! - chance, drawn from the seed.
//!
//! A library that simulates TCP (turmoil) would have left hyper's client and its pool in the picture: they read the
//! real clock, and a byte stream per request makes a world several times as slow, to find out what hyper does and not
//! what we do. What a connection adds to a request is drawn instead: refused, never connected, broken after the request
//! was read, silent, a caller who has hung up.
//!
//! All nodes of a world share one thread and one runtime. Every task belongs to a node ([`place`]), so that a node can be
//! killed, which drops its tasks where they are, or paused, which leaves them where they are.
//!
//! A world follows from its seed alone, so a failure can be run again (CONTRIBUTING.md).
//!
//! # Layout
//! - [`place`]: which node a task belongs to, and what follows from that
//! - `network`: requests on their way
//! - `plan`: what kind of world a seed makes
//! - `clients`: who registers, beats, leaves and dies
//! - `trouble`: faults, and their end
//! - `checks`: what must hold
//! - `world`: all of it together
//! - `tests`: many worlds, and broken servers

mod checks;
mod clients;
mod network;
mod place;
mod plan;
mod tests;
mod trouble;
mod world;

pub(crate) use place::{current, is_broken, now_ms, placed};
