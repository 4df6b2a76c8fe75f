//! Loads from kernel structures.

use aya_ebpf::{
    Global,
    helpers::{bpf_probe_read_kernel, bpf_probe_read_user},
};

/// Loads through a trusted pointer: the verifier checks the offset against BTF.
///
/// # Safety
/// `base` must be a pointer that the verifier trusts, of the structure that `offset` belongs to.
#[inline(always)]
pub unsafe fn load<T: Copy>(base: *const u8, offset: &Global<u32>) -> T {
    unsafe { core::ptr::read_volatile(base.add(offset.load() as usize).cast::<T>()) }
}

/// Loads through any address; zero where it cannot be read.
#[inline(always)]
pub fn peek<T: Copy + Default>(base: *const u8, offset: &Global<u32>) -> T {
    unsafe { bpf_probe_read_kernel(base.wrapping_add(offset.load() as usize).cast::<T>()) }
        .unwrap_or_default()
}

/// Loads from the current task's memory; `None` where the page is not there.
#[inline(always)]
pub fn peek_user<T: Copy>(address: u64) -> Option<T> {
    if address == 0 {
        return None;
    }
    unsafe { bpf_probe_read_user(address as *const T) }.ok()
}
