//! The kernel's own account of what programs cost (`bpf_enable_stats`), for a slice of a run.

use std::os::fd::OwnedFd;

use aya::sys::{Stats, enable_stats};

/// Run statistics are kept for as long as this lives. Keeping them costs each run two readings of the clock.
pub struct RunStats {
    _on: OwnedFd,
}

impl RunStats {
    /// Turns them on.
    ///
    /// # Errors
    /// When that is not allowed (it takes `CAP_SYS_ADMIN`), or the kernel is older than 5.8; why.
    pub fn enable() -> Result<Self, String> {
        enable_stats(Stats::RunTime).map(|on| Self { _on: on }).map_err(|error| error.to_string())
    }
}
