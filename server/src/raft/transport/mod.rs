//! SOFAJRaft's gRPC, both ways (compat/spec/jraft.md §3, §4).
//!
//! # Layout
//! - [`peers`]: calls to others
//! - [`server`]: the port others call
//! - [`cli_client`]: calls of the command line to others
//! - `frame`: gRPC's framing of one message
//! - `core_calls`, `cli_calls`: what they call
//! - `wire`, `convert`: messages, and what the core makes of them

mod cli_calls;
pub mod cli_client;
mod convert;
mod core_calls;
mod frame;
pub mod peers;
pub mod server;
mod wire;

#[cfg(test)]
mod tests;

/// What stands before the name of a request of the consensus.
const RAFT: &str = "/com.alipay.sofa.jraft.rpc.RpcRequests$";
/// What stands before the name of a request of the command line.
const CLI: &str = "/com.alipay.sofa.jraft.rpc.CliRequests$";
/// What stands before the name of a request of Nacos itself.
const NACOS: &str = "/com.alibaba.nacos.consistency.entity.";
/// What stands behind it.
const METHOD: &str = "/_call";

/// Larger messages are refused, as gRPC-Java does by default (compat/spec/jraft.md §3).
const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
