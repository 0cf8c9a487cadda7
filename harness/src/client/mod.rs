//! A Nacos 1.x client written from the wire up; it shares no type with the server.

pub mod wire;
