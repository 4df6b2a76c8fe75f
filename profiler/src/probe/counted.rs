//! What the programs have counted: since they were attached, or in a window of that time. Pure.

use rustc_hash::FxHashMap;

use super::maps::{Counters, KernelLockWaits, LockWaits, Loss, SyscallCount};

/// All counts of the programs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Records that found no room.
    pub loss: Loss,
    /// The programs' counters.
    pub counters: Counters,
    /// System calls, where they are traced.
    pub syscalls: Vec<SyscallCount>,
    /// Waits by futex.
    pub futexes: Vec<LockWaits>,
    /// Waits by kernel lock and the system call that met it.
    pub kernel_locks: Vec<KernelLockWaits>,
    /// Run-queue delays by the buckets of [`whywait_ebpf::hist`].
    pub run_queue: Vec<u64>,
}

impl Counted {
    /// What has been counted between an earlier look and this one; what did not happen meanwhile is left out.
    ///
    /// The longest wait is exact where it is the longest since attaching. Where an earlier one was longer it is not known: then it is the
    /// most that it can have been, the earlier one or all waits of the window together.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            loss: self.loss.since(&before.loss),
            counters: self.counters.since(before.counters),
            syscalls: grown(
                &self.syscalls,
                &before.syscalls,
                |call| call.number,
                |now, then| SyscallCount {
                    count: now.count.saturating_sub(then.count),
                    total_ns: now.total_ns.saturating_sub(then.total_ns),
                    ..*now
                },
                |call| call.count,
            ),
            futexes: grown(
                &self.futexes,
                &before.futexes,
                |lock| (lock.pid, lock.address),
                waits_since,
                |lock| lock.count,
            ),
            kernel_locks: grown(
                &self.kernel_locks,
                &before.kernel_locks,
                |lock| (lock.waits.address, lock.syscall, lock.name),
                |now, then| KernelLockWaits { waits: waits_since(&now.waits, &then.waits), ..*now },
                |lock| lock.waits.count,
            ),
            run_queue: self
                .run_queue
                .iter()
                .zip(before.run_queue.iter().copied().chain(std::iter::repeat(0)))
                .map(|(now, then)| now.saturating_sub(then))
                .collect(),
        }
    }
}

/// Entries that count more than those of the same key did before.
fn grown<T: Copy + Default, K: std::hash::Hash + Eq>(
    now: &[T],
    before: &[T],
    key: impl Fn(&T) -> K,
    since: impl Fn(&T, &T) -> T,
    count: impl Fn(&T) -> u64,
) -> Vec<T> {
    let before: FxHashMap<K, &T> = before.iter().map(|entry| (key(entry), entry)).collect();
    let none = T::default();
    let entries = now.iter().map(|entry| since(entry, before.get(&key(entry)).copied().unwrap_or(&none)));
    entries.filter(|entry| count(entry) > 0).collect()
}

fn waits_since(now: &LockWaits, then: &LockWaits) -> LockWaits {
    let total_ns = now.total_ns.saturating_sub(then.total_ns);
    let max_ns = if now.max_ns > then.max_ns { now.max_ns } else { now.max_ns.min(total_ns) };
    LockWaits { count: now.count.saturating_sub(then.count), total_ns, max_ns, ..*now }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn futex(address: u64, count: u64, total_ns: u64, max_ns: u64) -> LockWaits {
        LockWaits { pid: 7, address, count, total_ns, max_ns }
    }

    #[test]
    fn a_window_has_only_what_happened_in_it() {
        let before = Counted {
            futexes: vec![futex(0x10, 5, 500, 200), futex(0x20, 1, 9, 9), futex(0x30, 2, 70, 60)],
            run_queue: vec![4, 0, 1],
            counters: Counters { sent: 100, no_state: 1, ..Counters::default() },
            syscalls: vec![SyscallCount { number: 3, count: 10, total_ns: 90 }],
            ..Counted::default()
        };
        let after = Counted {
            futexes: vec![
                futex(0x10, 7, 560, 200),
                futex(0x20, 1, 9, 9),
                futex(0x30, 3, 170, 100),
                futex(0x40, 1, 8, 8),
            ],
            run_queue: vec![4, 2, 1],
            counters: Counters { sent: 130, no_state: 1, ..Counters::default() },
            syscalls: vec![SyscallCount { number: 3, count: 14, total_ns: 130 }],
            ..Counted::default()
        };
        let window = after.since(&before);
        // The first one's longest wait is from before: this window's waits took 60 ns together, so none took longer.
        let expected = [futex(0x10, 2, 60, 60), futex(0x30, 1, 100, 100), futex(0x40, 1, 8, 8)];
        assert_eq!(window.futexes, expected);
        assert_eq!(window.run_queue, [0, 2, 0]);
        assert_eq!((window.counters.sent, window.counters.no_state), (30, 0));
        assert_eq!(window.syscalls, [SyscallCount { number: 3, count: 4, total_ns: 40 }]);
    }

    /// A kernel lock that is met in two system calls is two entries.
    #[test]
    fn kernel_locks_are_told_apart_by_the_system_call() {
        let lock = |syscall, count| KernelLockWaits {
            waits: LockWaits { count, total_ns: count * 10, max_ns: 10, ..LockWaits::default() },
            syscall,
            ..KernelLockWaits::default()
        };
        let before = Counted { kernel_locks: vec![lock(9, 3), lock(11, 1)], ..Counted::default() };
        let after = Counted { kernel_locks: vec![lock(11, 1), lock(9, 5)], ..Counted::default() };
        let window = after.since(&before).kernel_locks;
        assert_eq!(window.len(), 1);
        assert_eq!((window[0].syscall, window[0].waits.count), (9, 2));
    }

    proptest! {
        /// Windows that follow one another add up to what was counted in all of them.
        #[test]
        fn windows_add_up(steps in prop::collection::vec((0..4_u64, 1..50_u64, 0..4_usize), 1..40)) {
            let (mut counted, mut last) = (Counted { run_queue: vec![0; 4], ..Counted::default() }, Counted::default());
            let (mut waits, mut delays) = (0, 0);
            for (address, nanos, bucket) in steps {
                let known = counted.futexes.iter().position(|lock| lock.address == address);
                let place = known.unwrap_or_else(|| {
                    counted.futexes.push(futex(address, 0, 0, 0));
                    counted.futexes.len() - 1
                });
                let lock = &mut counted.futexes[place];
                *lock = futex(address, lock.count + 1, lock.total_ns + nanos, lock.max_ns.max(nanos));
                counted.run_queue[bucket] += 1;
                let window = counted.since(&last);
                prop_assert_eq!(window.futexes.len(), 1);
                prop_assert!(window.futexes[0].max_ns >= nanos);
                waits += window.futexes[0].total_ns;
                delays += window.run_queue.iter().sum::<u64>();
                last.clone_from(&counted);
            }
            prop_assert_eq!(waits, counted.futexes.iter().map(|lock| lock.total_ns).sum::<u64>());
            prop_assert_eq!(delays, counted.run_queue.iter().sum::<u64>());
            prop_assert!(counted.since(&counted).futexes.is_empty());
        }
    }
}
