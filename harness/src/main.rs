//! `tandem`: the harness on the command line.
fn main() {}
