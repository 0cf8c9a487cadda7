//! Conformance: cases as data, run live against every target and compared with the reference beside it.
