//! Holds the criterion benches of the server's hot paths; see `benches/`.
