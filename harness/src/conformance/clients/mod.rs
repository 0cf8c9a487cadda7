//! Official clients as judges: the same script on four SDKs (`compat/clients`), run at any target, every step judged.
//!
//! - [`sdk`]: which clients, and what their programs are made of
//! - [`toolchain`]: what each needs on this machine
//! - `install`: from sources and pinned packages to something that runs, in the cache
//! - [`script`]: the steps, and what a program reports of each
//! - `program`: one run of one program
//! - [`pairs`]: which node is written to, and which other one is subscribed to
//! - `witness`: what the harness looks at itself: an instance without heartbeats, push counters, what is left
//! - [`judge`]: from reports to verdicts; pure
//! - [`session`]: the whole run

mod install;
pub mod judge;
pub mod pairs;
mod program;
pub mod script;
pub mod sdk;
pub mod session;
#[cfg(test)]
mod tests;
pub mod toolchain;
mod witness;
