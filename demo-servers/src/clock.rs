//! The kernel's clocks, as plain nanoseconds.
//!
//! `std::time::Instant` hides its value, and what the servers say about themselves must be comparable with the
//! time stamps of a tracer in another process: both read `CLOCK_MONOTONIC`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment of `CLOCK_MONOTONIC`, in nanoseconds since boot (suspended time excluded).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MonotonicNs(pub u64);

impl MonotonicNs {
    /// The present.
    pub fn now() -> Self {
        Self(read(libc::CLOCK_MONOTONIC))
    }

    /// Time since `earlier`; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Time from now until this moment; zero if it has passed.
    pub fn remaining(self) -> Duration {
        self.since(Self::now())
    }
}

impl std::ops::Add<Duration> for MonotonicNs {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(nanos(span)))
    }
}

/// CPU time that the calling thread has used so far, user and system (`CLOCK_THREAD_CPUTIME_ID`).
///
/// This clock is not in the vDSO: each reading is a system call.
pub fn thread_cpu() -> Duration {
    Duration::from_nanos(read(libc::CLOCK_THREAD_CPUTIME_ID))
}

/// A duration as whole nanoseconds, saturating (584 years).
pub fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[expect(unsafe_code, reason = "std offers neither clock as a number")]
fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec for the kernel to fill. The call can fail only for a clock that does not
    // exist, and both callers name clocks that every Linux has; `time` then stays zero.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    // Neither field is negative for these two clocks.
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The monotonic clock runs through a sleep, the thread's CPU clock does not.
    #[test]
    fn a_sleep_passes_wall_time_and_no_cpu_time() {
        let (wall, cpu) = (MonotonicNs::now(), thread_cpu());
        std::thread::sleep(Duration::from_millis(20));
        assert!(MonotonicNs::now().since(wall) >= Duration::from_millis(20));
        assert!(thread_cpu().saturating_sub(cpu) < Duration::from_millis(10));
    }
}
