//! Read-only facts about the host, and which processes a run is about.

pub mod btf;
pub mod caps;
pub mod cgroup;
pub mod clock;
pub mod cpu_limits;
pub mod data_symbols;
mod error;
pub mod kernel;
pub mod launch;
pub mod mappings;
pub mod mounts;
pub mod proc;
pub mod regular_file;
pub mod signals;
pub mod sock_diag;
pub mod sockets;
pub mod target;
#[cfg(test)]
mod testing;
pub mod yielding;
