//! What both sides of the ring buffer agree on: record layouts, the constants that the loader sets, the
//! classes of system calls, and the bucket arithmetic of the histograms.
//!
//! The library has no dependencies and builds for the host and for the kernel alike; the programs
//! themselves are the binary of this package. A record's layout is its wire format: `repr(C)`, no
//! padding that is not named, every field in the byte order of the machine.

#![cfg_attr(not(test), no_std)]

pub mod abi;
pub mod hist;
pub mod offsets;
pub mod syscalls;
