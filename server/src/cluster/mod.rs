//! The members of the cluster: who they are, how they are, and who is responsible for what.

pub mod ring;
