//! Reference servers.
