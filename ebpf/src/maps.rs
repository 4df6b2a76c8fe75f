//! Every map, with the reason for its size.

use aya_ebpf::{
    btf_maps::{Array, HashMap, LruHashMap, LruPerCpuHashMap, PerCpuArray, RingBuf},
    macros::btf_map,
};
use whywait_ebpf::{
    abi::{Control, KernelLockKey, LockStat, SyscallStat, WaitStat, counter, kind},
    hist::BUCKETS,
    syscalls::MAX_COUNTED,
};

use crate::{
    conns::ConnState,
    stack::{PLACES_LEN, Place},
    task::ThreadState,
};

/// The records' way to user space. The loader sets the size.
#[btf_map]
pub static EVENTS: RingBuf<u64, { 1 << 24 }> = RingBuf::new();

/// Records that found no room, by kind.
#[btf_map]
pub static LOST: PerCpuArray<u64, { kind::COUNT as usize }> = PerCpuArray::new();

/// See [`counter`].
#[btf_map]
pub static COUNTERS: PerCpuArray<u64, { counter::COUNT as usize }> = PerCpuArray::new();

/// What a walk over tasks or files does.
#[btf_map]
pub static CONTROL: Array<Control, 1> = Array::new();

/// Processes that a walk registers. Only walks look here: a running thread of the target is known by its storage.
#[btf_map]
pub static TARGETS: HashMap<u32, u32, 16384> = HashMap::new();

/// Sockets of the target by their address. TCP sockets leave at `TCP_CLOSE`; those that end unseen (Unix, UDP)
/// are the least recently used at some time.
#[btf_map]
pub static CONNS: LruHashMap<u64, ConnState, 65536> = LruHashMap::new();

/// Local ports on which the target listens.
#[btf_map]
pub static PORTS: HashMap<u32, u32, 4096> = HashMap::new();

/// `unix_sock.addr` of the target's listening Unix sockets: an accepted socket shares its listener's.
#[btf_map]
pub static UNIX_LISTENERS: HashMap<u64, u32, 1024> = HashMap::new();

/// Places where threads wait, see `stack.rs`; two that share a slot share its rate.
#[btf_map]
pub static PLACES: Array<Place, { PLACES_LEN as usize }> = Array::new();

/// When this CPU may take the next stack of a thread that waits.
#[btf_map]
pub static NEXT_STACK: PerCpuArray<u64, 1> = PerCpuArray::new();

/// Counts the sockets seen by this CPU, for their ids.
#[btf_map]
pub static CONN_IDS: PerCpuArray<u64, 1> = PerCpuArray::new();

/// Count and time by system call, where system calls are traced.
#[btf_map]
pub static SYSCALLS: PerCpuArray<SyscallStat, MAX_COUNTED> = PerCpuArray::new();

/// Run-queue delay of the target's threads, nanoseconds.
#[btf_map]
pub static RUN_QUEUE: PerCpuArray<u64, BUCKETS> = PerCpuArray::new();

/// A futex: the process and the address in it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FutexKey {
    /// Address of the futex word.
    pub address: u64,
    /// Process.
    pub pid: u64,
}

/// Blocking waits by futex.
#[btf_map]
pub static FUTEXES: LruPerCpuHashMap<FutexKey, WaitStat, 4096> = LruPerCpuHashMap::new();

/// Waits by kernel lock and system call.
#[btf_map]
pub static KERNEL_LOCKS: LruPerCpuHashMap<KernelLockKey, LockStat, 4096> = LruPerCpuHashMap::new();

/// `BPF_MAP_TYPE_TASK_STORAGE`: state that the kernel frees with its thread. aya has no type for it; the definition is
/// the one that BTF maps have (`libbpf`'s `__uint`/`__type`).
#[repr(C)]
pub struct TaskStorage<V> {
    r#type: *const [i32; 29],
    map_flags: *const [i32; 1],
    key: *const i32,
    value: *const V,
}

// SAFETY: the definition is never read as data; the loader replaces it by the map.
unsafe impl<V> Sync for TaskStorage<V> {}

impl<V> TaskStorage<V> {
    const fn new() -> Self {
        Self {
            r#type: core::ptr::null(),
            map_flags: core::ptr::null(),
            key: core::ptr::null(),
            value: core::ptr::null(),
        }
    }

    /// The map, as helpers take it.
    pub fn as_ptr(&self) -> *mut core::ffi::c_void {
        core::ptr::from_ref(self).cast_mut().cast()
    }
}

/// State of each thread of the target.
#[btf_map]
pub static THREADS: TaskStorage<ThreadState> = TaskStorage::new();
