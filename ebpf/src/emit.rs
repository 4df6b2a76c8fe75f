//! Sending a record: room in the ring, the header, the wake-up of the reader, the count of what found no room.

use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::{bpf_get_smp_processor_id, bpf_ringbuf_query},
    maps::ring_buf::RingBufEntry,
};
use whywait_ebpf::abi::{Header, counter};

use crate::{
    globals::WAKE_AT,
    maps::{COUNTERS, EVENTS, LOST},
    task::{Task, ThreadState},
};

/// Beyond the fill level the reader is woken within this many bytes, that is by one record or a few; it is
/// running from then on.
const WAKE_WINDOW: u64 = 1024;

/// Adds to a counter of this CPU.
#[inline(always)]
pub fn count(slot: u32, by: u64) {
    if let Some(value) = COUNTERS.get_ptr_mut(slot) {
        unsafe { *value += by };
    }
}

/// Counts a record that found no room.
#[inline(always)]
pub fn lost(kind: u16) {
    if let Some(value) = LOST.get_ptr_mut(u32::from(kind)) {
        unsafe { *value += 1 };
    }
}

/// The header of a record of type `T` about a thread of the target.
#[inline(always)]
pub fn header<T>(kind: u16, ts: u64, task: Task, thread: &mut ThreadState) -> Header {
    let spun = thread.spun;
    thread.spun = 0;
    let mut header = nobodys::<T>(kind, ts);
    header.tid = task.tid();
    header.pid = task.pid();
    header.seq = thread.next_seq();
    header.spun = spun;
    header
}

/// The header of a record of type `T` about none of the target's threads.
#[inline(always)]
pub fn nobodys<T>(kind: u16, ts: u64) -> Header {
    Header {
        ts,
        tid: 0,
        pid: 0,
        seq: 0,
        cpu: unsafe { bpf_get_smp_processor_id() } as u16,
        kind,
        len: size_of::<T>() as u32,
        spun: 0,
    }
}

/// Sends a record.
#[inline(always)]
pub fn send<T: 'static>(kind: u16, record: T) {
    let Some(mut entry) = EVENTS.reserve_untyped::<T>(0) else {
        lost(kind);
        return;
    };
    entry.write(record);
    submit(entry);
}

/// Hands a record over that lies in the ring already.
#[inline(always)]
pub fn submit<T: 'static>(entry: RingBufEntry<T>) {
    let ring = core::ptr::from_ref(&EVENTS).cast_mut().cast::<core::ffi::c_void>();
    let used = unsafe { bpf_ringbuf_query(ring, u64::from(BPF_RB_AVAIL_DATA)) };
    let wake_at = u64::from(WAKE_AT.load());
    // Wide enough for the record itself, so that none can leap over it.
    let window = WAKE_WINDOW.max(size_of::<T>() as u64 + 8);
    let flags = if used.wrapping_sub(wake_at) < window { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP };
    entry.submit(u64::from(flags));
    count(counter::SENT, 1);
}
