//! Constants that the loader sets before the programs are verified.

use aya_ebpf::Global;

macro_rules! statics {
    ($($name:ident: $structure:literal $member:literal,)*) => {
        $(
            #[doc = concat!("Offset of `", $structure, ".", $member, "`.")]
            #[unsafe(no_mangle)]
            pub static $name: Global<u32> = Global::new(0);
        )*
    };
}
whywait_ebpf::for_each_offset!(statics);

/// Mask of `in_iowait` in the byte at `TASK_IN_IOWAIT`.
#[unsafe(no_mangle)]
pub static TASK_IN_IOWAIT_MASK: Global<u32> = Global::new(0);
/// 1: child processes belong to the target.
#[unsafe(no_mangle)]
pub static CHILDREN: Global<u32> = Global::new(1);
/// Fill level of the ring in bytes at which its reader is woken.
#[unsafe(no_mangle)]
pub static WAKE_AT: Global<u32> = Global::new(0);
/// 1: stacks are taken.
#[unsafe(no_mangle)]
pub static STACKS: Global<u32> = Global::new(1);
/// 1: socket operations are taken from the returns of system calls.
#[unsafe(no_mangle)]
pub static SOCKETS_BY_SYSCALL: Global<u32> = Global::new(0);
