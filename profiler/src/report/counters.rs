//! What the kernel counted by itself, for the explanation: no records, no losses.

use serde::Serialize;
use whywait_ebpf::{abi::kernel_lock, hist, syscalls};

use crate::{
    locks::LockType,
    observe::Observation,
    probe::{KernelLockWaits, LockWaits},
};

/// Locks and system calls that are told one by one.
const MOST: usize = 16;

/// Counters and histograms of the run.
#[derive(Clone, Debug, Serialize)]
pub struct Counters {
    /// Waits for a CPU.
    pub run_queue: Delays,
    /// Futexes by the time that threads blocked on them, most first.
    pub futexes: Vec<Waits>,
    /// Kernel locks, each with the system call that met it, by the time that threads waited for them, most first.
    pub kernel_locks: Vec<KernelWaits>,
    /// System calls by their time, most first; empty unless they were traced.
    pub system_calls: Vec<Calls>,
}

/// Delays by their quantiles, to within an eighth.
#[derive(Clone, Debug, Serialize)]
pub struct Delays {
    /// How many.
    pub count: u64,
    /// The median in microseconds.
    pub p50_us: f64,
    /// 99 % are no longer, in microseconds.
    pub p99_us: f64,
    /// No delay was longer, in microseconds.
    pub max_us: f64,
}

/// Waits for one kernel lock in one system call.
#[derive(Clone, Debug, Serialize)]
pub struct KernelWaits {
    /// The lock, and the waits for it.
    #[serde(flatten)]
    pub waits: Waits,
    /// Its type: `spinlock`, `rwlock`, `mutex`, `rwsem`, `percpu-rwsem`, `rt-mutex`, `semaphore`.
    #[serde(rename = "type")]
    pub lock_type: &'static str,
    /// Its name, where it is known by where it lies: `mmap_lock`; else empty.
    pub name: &'static str,
    /// The system call; empty outside any, as in a page fault.
    pub system_call: String,
}

/// Waits for one lock.
#[derive(Clone, Debug, Serialize)]
pub struct Waits {
    /// Process of a futex; 0 for a kernel lock.
    pub pid: u32,
    /// Address, in hexadecimal.
    pub address: String,
    /// Waits.
    pub count: u64,
    /// Microseconds waited in all.
    pub total_us: f64,
    /// The longest wait in microseconds.
    pub max_us: f64,
}

/// Calls of one system call.
#[derive(Clone, Debug, Serialize)]
pub struct Calls {
    /// Its name; its number where whywait does not know it.
    pub name: String,
    /// Calls that returned.
    pub count: u64,
    /// Mean time in microseconds.
    pub mean_us: f64,
}

/// What the kernel counted.
pub(super) fn counters(observation: &Observation) -> Counters {
    let mut calls: Vec<_> =
        observation.facts.syscalls.iter().filter(|_| observation.facts.mode.syscalls).collect();
    calls.sort_by_key(|call| std::cmp::Reverse(call.total_ns));
    Counters {
        run_queue: delays(&observation.facts.run_queue),
        futexes: waits(&observation.facts.futexes),
        kernel_locks: kernel_waits(&observation.facts.kernel_locks),
        system_calls: calls
            .into_iter()
            .take(MOST)
            .map(|call| Calls {
                name: i32::try_from(call.number).map_or_else(|_| call.number.to_string(), name_of),
                count: call.count,
                mean_us: call.total_ns as f64 / call.count.max(1) as f64 / 1e3,
            })
            .collect(),
    }
}

/// Name of a system call; its number where whywait does not know it, nothing for none.
fn name_of(call: i32) -> String {
    match syscalls::name(call) {
        Some(name) => name.to_owned(),
        None if call < 0 => String::new(),
        None => call.to_string(),
    }
}

fn waits(locks: &[LockWaits]) -> Vec<Waits> {
    let mut locks: Vec<&LockWaits> = locks.iter().collect();
    locks.sort_by_key(|lock| std::cmp::Reverse(lock.total_ns));
    locks.into_iter().take(MOST).map(waits_of).collect()
}

fn kernel_waits(locks: &[KernelLockWaits]) -> Vec<KernelWaits> {
    let mut locks: Vec<&KernelLockWaits> = locks.iter().collect();
    locks.sort_by_key(|lock| std::cmp::Reverse(lock.waits.total_ns));
    let told = |lock: &KernelLockWaits| KernelWaits {
        waits: waits_of(&lock.waits),
        lock_type: LockType::of(lock.flags).id(),
        name: if lock.name == kernel_lock::MMAP { "mmap_lock" } else { "" },
        system_call: name_of(lock.syscall),
    };
    locks.into_iter().take(MOST).map(told).collect()
}

fn waits_of(lock: &LockWaits) -> Waits {
    Waits {
        pid: lock.pid,
        address: format!("{:#x}", lock.address),
        count: lock.count,
        total_us: lock.total_ns as f64 / 1e3,
        max_us: lock.max_ns as f64 / 1e3,
    }
}

fn delays(buckets: &[u64]) -> Delays {
    let count: u64 = buckets.iter().sum();
    let quantile = |share: f64| {
        let rank = (count as f64 * share).ceil().max(1.0);
        let mut seen = 0.0;
        for (index, in_bucket) in buckets.iter().enumerate() {
            seen += *in_bucket as f64;
            if *in_bucket > 0 && seen >= rank {
                return hist::upper(index) as f64 / 1e3;
            }
        }
        0.0
    };
    Delays { count, p50_us: quantile(0.5), p99_us: quantile(0.99), max_us: quantile(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_the_upper_ends_of_their_buckets() {
        let mut buckets = vec![0; hist::BUCKETS];
        buckets[hist::index(1_000)] = 98;
        buckets[hist::index(1_000_000)] = 2;
        let delays = delays(&buckets);
        assert_eq!(delays.count, 100);
        assert!((1.0..1.13).contains(&delays.p50_us), "{delays:?}");
        assert!((1_000.0..1_130.0).contains(&delays.p99_us), "{delays:?}");
    }

    #[test]
    fn a_kernel_lock_has_the_call_that_met_it() {
        let waits =
            LockWaits { address: 0xff00, count: 2, total_ns: 3_000, max_ns: 2_000, ..LockWaits::default() };
        let met = |syscall| KernelLockWaits { waits, syscall, name: kernel_lock::MMAP, flags: 4 };
        let told = kernel_waits(&[met(syscalls::MUNMAP), met(-1)]);
        assert_eq!([&*told[0].system_call, &*told[1].system_call], ["munmap", ""]);
        let json = serde_json::to_value(&told[0]).unwrap();
        assert_eq!(
            (&json["name"], &json["type"], &json["count"]),
            (&"mmap_lock".into(), &"rwsem".into(), &2.into())
        );
    }

    #[test]
    fn no_delay_at_all_is_zero() {
        assert!(delays(&vec![0; hist::BUCKETS]).max_us.abs() < f64::EPSILON);
    }
}
