//! The programs that run in the kernel.
//!
//! Each file of [`probes`] begins with its hooks, its cost and the first kernel that has them. All of them are
//! BTF tracepoints or BPF iterators: no kprobe, no fentry. A program that fires for somebody else's thread costs one
//! load, or a look-up in task storage where another tool keeps something for that thread; one that fires for somebody
//! else's socket, one look-up in a hash.

#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "every line here reads kernel memory")]
#![allow(
    clippy::undocumented_unsafe_blocks,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::cast_ptr_alignment,
    reason = "the verifier proves each load and store; kernel integers are narrowed as the kernel does"
)]

mod conns;
mod emit;
mod files;
mod globals;
mod maps;
mod mem;
mod probes;
mod stack;
mod task;

/// The helpers that read kernel memory are reserved for programs under a GPL-compatible licence.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
