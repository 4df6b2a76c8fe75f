//! The kernel side, from user space: what to load, with which constants, how to attach and to read the maps.
//!
//! The only part of the crate that knows aya.

mod fentry;
mod maps;
mod offsets;
mod plan;
mod sampler;
mod session;
mod stats;
mod walk;

pub use fentry::fentry_works;
pub use maps::{Counters, KernelLockWaits, LockWaits, Loss, SyscallCount};
pub use plan::{Capability, Facts, Hook, Mode, Outcome, PLAN, Probe, Tier, When};
pub use sampler::SAMPLES_PER_SECOND;
pub use session::{AttachError, Options, Session};
pub use stats::RunStats;

/// The compiled programs; `cargo xtask ebpf` makes them from `ebpf/`.
pub const OBJECT: &[u8] = aya::include_bytes_aligned!("../../ebpf/whywait.bpf.o");
