//! Read-only facts about the host, and which processes a run is about.

pub mod btf;
