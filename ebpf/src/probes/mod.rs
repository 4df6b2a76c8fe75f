//! One file for each family of hooks.

mod accept;
mod arrival;
mod count;
mod kernel_lock;
mod process;
mod sample;
mod sched;
mod snapshot;
mod socket;
mod syscall;
mod wake;
