//! What the operator said: properties, environment, flags, in the official node's own names.

use std::path::PathBuf;

/// Settings of one node.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `nacos.home`: holds `conf/` and `data/`.
    pub home: PathBuf,
    /// `nacos.server.ip`: this node's address as its peers write it.
    pub ip: String,
    /// `server.port`: HTTP port.
    pub port: u16,
    /// `server.servlet.contextPath`, normally `/nacos`.
    pub context_path: String,
    /// `nacos.standalone`.
    pub standalone: bool,
}

impl Settings {
    /// `ip:port`, compared by peers as a string.
    pub fn address(&self) -> String {
        format!("{}:{}", self.ip, self.port)
    }
}
