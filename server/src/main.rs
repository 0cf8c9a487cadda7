//! `tandem-server`: flags, properties and environment become a running node.
fn main() {}
