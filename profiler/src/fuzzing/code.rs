//! Bytes of machines: code, types, answers of the kernel.

use std::{
    ffi::CString,
    fs::File,
    io::Write,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    path::PathBuf,
};

use super::input::Input;
use crate::{
    decode::RawStack,
    platform::{btf::Btf, data_symbols, sock_diag as diag},
    symbols,
};

/// Bytes of a copied stack at the end of the input of [`elf`].
const STACK: usize = 64;

/// A file that a just-in-time compiler wrote.
pub fn perf_map(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let addresses = [input.long(), input.long(), 0, 0x100, u64::MAX];
    symbols::read_any_perf_map(bytes, &addresses);
}

/// A file that a process has mapped: its symbols, its names by debugging information, and the callers in a stack, which is the last bytes.
pub fn elf(bytes: &[u8]) {
    let (file, stack) = bytes.split_at(bytes.len().saturating_sub(STACK));
    let mut registers = Input::new(stack);
    let raw = RawStack {
        registers: [
            0x40_0000 + u64::from(registers.short()),
            0x7000_0000,
            0x7000_0000 + u64::from(registers.byte()),
        ],
        kernel: Vec::new(),
        bytes: stack.to_vec(),
    };
    let addresses = [registers.long(), 0, 0x1000, 0x1010, 0x2000, u64::MAX];
    symbols::read_any_image(file, &raw);
    data_symbols::read_any(file, &addresses);
    if let Some((_held, path)) = in_memory(file) {
        symbols::read_any_names(&path, &[addresses[0], 0, 0x10, 0x1010]);
    }
}

/// A file that is in memory alone, and its path.
#[expect(unsafe_code, reason = "a descriptor from the kernel becomes an owned one")]
fn in_memory(bytes: &[u8]) -> Option<(File, PathBuf)> {
    let name = CString::new("fuzz").ok()?;
    // SAFETY: the name is a string with its end, and the call has no other pointer.
    let descriptor = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) };
    if descriptor < 0 {
        return None;
    }
    // SAFETY: the kernel has just given this descriptor to nobody else.
    let mut file = File::from(unsafe { OwnedFd::from_raw_fd(descriptor) });
    file.write_all(bytes).ok()?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd()).into();
    Some((file, path))
}

/// A kernel's types.
pub fn btf(bytes: &[u8]) {
    let Ok(btf) = Btf::parse(bytes) else { return };
    assert!(btf.type_count() <= bytes.len(), "{} types in {} bytes", btf.type_count(), bytes.len());
    for name in ["task_struct", "s", "u", "t", ""] {
        for path in ["pid", "a", "a.b", "b.c.d", ""] {
            let _offset = btf.member_offset(name, path).map(|offset| offset.extract(u64::MAX));
        }
        let _size = btf.struct_size(name);
        let _value = btf.enum_value(name, "A");
    }
    for tracepoint in ["sched_switch", "t"] {
        let _arguments = btf.tracepoint_args(tracepoint);
        let _there = btf.has_tracepoint(tracepoint);
    }
}

/// What the kernel says of listening sockets.
pub fn sock_diag(bytes: &[u8]) {
    diag::read_any(bytes);
}
