//! From a descriptor to its file, by the way that `fdget` takes (`include/linux/fdtable.h`).

use whywait_ebpf::abi::file_kind;

use crate::{
    globals::{
        FDT_FD, FDT_MAX_FDS, FILE_INODE, FILE_PRIVATE, FILES_FDT, INODE_INO, INODE_MODE, SOCKET_SK,
        TASK_FILES,
    },
    mem::{load, peek},
    task::Task,
};
use aya_ebpf::helpers::bpf_probe_read_kernel;

const S_IFMT: u16 = 0o170_000;
const S_IFSOCK: u16 = 0o140_000;
const S_IFREG: u16 = 0o100_000;
const S_IFBLK: u16 = 0o060_000;
const S_IFDIR: u16 = 0o040_000;
const S_IFIFO: u16 = 0o010_000;

/// A file, and what identifies it.
#[derive(Clone, Copy)]
pub struct FileOf {
    /// See [`file_kind`].
    pub kind: u8,
    /// The socket's address, or the inode's number.
    pub object: u64,
}

/// File of a task's descriptor.
#[inline(always)]
pub fn of_descriptor(task: Task, descriptor: u32) -> FileOf {
    let files: *const u8 = unsafe { load(task.0, &TASK_FILES) };
    let table: u64 = peek(files, &FILES_FDT);
    let table = table as *const u8;
    let size: u32 = peek(table, &FDT_MAX_FDS);
    if descriptor >= size {
        return FileOf { kind: file_kind::NONE, object: 0 };
    }
    let slots: u64 = peek(table, &FDT_FD);
    let slot = (slots + u64::from(descriptor) * 8) as *const u64;
    let file = unsafe { bpf_probe_read_kernel(slot) }.unwrap_or(0);
    of_file(file as *const u8)
}

/// What a `struct file` is.
#[inline(always)]
pub fn of_file(file: *const u8) -> FileOf {
    if file.is_null() {
        return FileOf { kind: file_kind::NONE, object: 0 };
    }
    let inode: u64 = peek(file, &FILE_INODE);
    let inode = inode as *const u8;
    let mode: u16 = peek(inode, &INODE_MODE);
    if mode & S_IFMT == S_IFSOCK {
        let socket: u64 = peek(file, &FILE_PRIVATE);
        return FileOf { kind: file_kind::SOCKET, object: peek(socket as *const u8, &SOCKET_SK) };
    }
    let kind = match mode & S_IFMT {
        S_IFREG | S_IFBLK | S_IFDIR => file_kind::DISK,
        S_IFIFO => file_kind::PIPE,
        _ => file_kind::OTHER,
    };
    FileOf { kind, object: peek(inode, &INODE_INO) }
}
