//! Stacks: of threads that leave the CPU where waits were long, of those that wake them, of those that run.

use super::Header;

/// Frames of the kernel that are kept, innermost first.
pub const KERNEL_FRAMES: usize = 32;
/// Bytes of a thread's own stack that are kept. User space walks them: with them every function can be passed that has
/// call-frame information, whether it was built with frame pointers or not.
pub const STACK_BYTES: usize = 8192;
/// Bytes that are copied at once: where the stack ends before the room does, less than this is missing.
pub const STACK_CHUNK: usize = 1024;

/// Why a stack was taken.
pub mod taken {
    /// The thread leaves the CPU to wait at a place where a wait was long before; `at` is when it left.
    pub const OFF_CPU: u8 = 0;
    /// The thread wakes `other`, whose stack was taken when that left the CPU, at `at`.
    pub const WAKER: u8 = 1;
    /// The thread runs, and the clock of the samples has struck; `at` is when.
    pub const ON_CPU: u8 = 2;
}

/// A thread's stack.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stack {
    /// The thread; `ts`: when the stack was taken.
    pub header: Header,
    /// See [`taken`].
    pub at: u64,
    /// Instruction pointer in user space; 0 for a thread that has no stack there.
    pub ip: u64,
    /// Stack pointer, the address of `bytes`.
    pub sp: u64,
    /// Register `bp`: the frame pointer in code that has one.
    pub bp: u64,
    /// Address of the futex that the waiting thread is in; else 0.
    pub futex: u64,
    /// The woken thread, for [`taken::WAKER`]; else 0.
    pub other: u32,
    /// Bytes of `bytes` that were read; what follows them means nothing.
    pub bytes_len: u16,
    /// Frames of `kernel` that are valid.
    pub kernel_len: u8,
    /// See [`taken`].
    pub how: u8,
    /// The kernel's frames, innermost first.
    pub kernel: [u64; KERNEL_FRAMES],
    /// The thread's stack from `sp` on.
    pub bytes: [u8; STACK_BYTES],
}

const _: () = assert!(size_of::<Stack>() == 32 + 40 + 8 + 8 * KERNEL_FRAMES + STACK_BYTES);
const _: () = assert!(STACK_BYTES.is_multiple_of(STACK_CHUNK) && STACK_BYTES <= u16::MAX as usize);
