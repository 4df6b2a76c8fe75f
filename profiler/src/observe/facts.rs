//! What is told of a run besides its records: read from `/proc`, from the programs' maps, from the clock. It can be written down, and what
//! comes of a run is a function of its records and its facts.

use std::{collections::HashMap, hash::Hash};

use serde::{Deserialize, Serialize};

use super::slice;
use crate::{
    cpu, fingerprint,
    locks::LockNames,
    probe::{Counters, KernelLockWaits, LockWaits, Loss, Mode, Outcome, SyscallCount},
    units::{Ns, Pid},
};

/// Facts of a window.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// When the window began.
    pub begin: Ns,
    /// When it ended.
    pub end: Ns,
    /// Processes that were named, by the host's numbers.
    pub pids: Vec<Pid>,
    /// The target's name.
    pub command: String,
    /// Ports that it listens on.
    pub ports: Vec<u16>,
    /// CPUs of the machine.
    pub machine_cpus: usize,
    /// Records that found no room.
    pub loss: Loss,
    /// Records that are not in the recording, because the disk was too slow for them.
    pub unwritten: u64,
    /// The programs' counters.
    pub counters: Counters,
    /// What the slice found.
    pub slice: slice::Findings,
    /// Every program, attached or not.
    pub capabilities: Vec<Outcome>,
    /// How the kernel was asked.
    pub mode: Mode,
    /// System calls, where they were traced.
    pub syscalls: Vec<SyscallCount>,
    /// Waits by futex.
    pub futexes: Vec<LockWaits>,
    /// Waits by kernel lock and the system call that met it.
    pub kernel_locks: Vec<KernelLockWaits>,
    /// Run-queue delays by the buckets of [`whywait_ebpf::hist`].
    pub run_queue: Vec<u64>,
    /// CPU time of whywait itself in nanoseconds.
    pub own_cpu_ns: u64,
    /// The target ended before the time was over.
    pub target_ended: bool,
    /// Who shared the CPUs with the target, and what limited it.
    pub cpu: cpu::Outside,
    /// What the concurrency model cannot be told by from events alone.
    pub processes: fingerprint::Outside,
    /// What locks are called.
    pub lock_names: LockNames,
}

impl Facts {
    /// The facts of what came after `earlier`: the programs count from when they were attached on. The longest wait
    /// is exact where it is the longest since attaching; where an earlier one was longer it is the most that it can have been: the earlier
    /// one, or all waits of the window together.
    #[must_use]
    pub fn since(self, earlier: &Self) -> Self {
        let groups = self.cpu.groups.into_iter().map(|mut group| {
            if let Some(before) = earlier.cpu.groups.iter().find(|before| before.path == group.path) {
                group.throttled_ns = group.throttled_ns.saturating_sub(before.throttled_ns);
                group.throttled_periods = group.throttled_periods.saturating_sub(before.throttled_periods);
            }
            group
        });
        Self {
            begin: earlier.end,
            loss: self.loss.since(&earlier.loss),
            unwritten: self.unwritten.saturating_sub(earlier.unwritten),
            counters: self.counters.since(&earlier.counters),
            syscalls: later(
                self.syscalls,
                &earlier.syscalls,
                |call| call.number,
                |call, before| {
                    *call = call.since(before);
                    call.count > 0
                },
            ),
            futexes: later(self.futexes, &earlier.futexes, |waits| (waits.pid, waits.address), lock_waits),
            kernel_locks: later(
                self.kernel_locks,
                &earlier.kernel_locks,
                |lock| (lock.waits.address, lock.syscall, lock.name),
                |lock, before| lock_waits(&mut lock.waits, &before.waits),
            ),
            run_queue: self
                .run_queue
                .iter()
                .enumerate()
                .map(|(bucket, count)| {
                    count.saturating_sub(earlier.run_queue.get(bucket).copied().unwrap_or(0))
                })
                .collect(),
            own_cpu_ns: self.own_cpu_ns.saturating_sub(earlier.own_cpu_ns),
            cpu: cpu::Outside { groups: groups.collect(), ..self.cpu },
            ..self
        }
    }

    /// What the next window is counted from: all but what is looked at anew for each.
    #[must_use]
    pub fn counted_so_far(self) -> Self {
        Self { own_cpu_ns: 0, cpu: cpu::Outside::default(), ..self }
    }
}

fn lock_waits(waits: &mut LockWaits, before: &LockWaits) -> bool {
    waits.count = waits.count.saturating_sub(before.count);
    waits.total_ns = waits.total_ns.saturating_sub(before.total_ns);
    if waits.max_ns <= before.max_ns {
        waits.max_ns = waits.max_ns.min(waits.total_ns);
    }
    waits.count > 0
}

/// What of each was not there before; `take` takes from one what was, and tells whether anything is left.
fn later<T, K: Hash + Eq>(
    all: Vec<T>,
    earlier: &[T],
    key: impl Fn(&T) -> K,
    take: impl Fn(&mut T, &T) -> bool,
) -> Vec<T> {
    let before: HashMap<K, &T> = earlier.iter().map(|one| (key(one), one)).collect();
    let mut all = all;
    all.retain_mut(|one| before.get(&key(one)).is_none_or(|before| take(one, before)));
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_came_later_is_what_was_not_there_before() {
        let waits =
            |address, count| LockWaits { address, count, total_ns: count * 10, ..LockWaits::default() };
        let earlier = Facts {
            end: Ns(50),
            futexes: vec![waits(1, 5), waits(2, 6)],
            run_queue: vec![1, 2],
            own_cpu_ns: 7,
            ..Facts::default()
        };
        let now = Facts {
            end: Ns(90),
            futexes: vec![waits(2, 6), waits(1, 8), waits(3, 1)],
            run_queue: vec![1, 5],
            own_cpu_ns: 9,
            ..Facts::default()
        };
        let later = now.since(&earlier);
        assert_eq!((later.begin, later.end, later.own_cpu_ns), (Ns(50), Ns(90), 2));
        assert_eq!(later.futexes, [waits(1, 3), waits(3, 1)]);
        assert_eq!(later.run_queue, [0, 3]);
    }

    fn futex(address: u64, count: u64, total_ns: u64, max_ns: u64) -> LockWaits {
        LockWaits { pid: 7, address, count, total_ns, max_ns }
    }

    fn call(count: u64, total_ns: u64) -> SyscallCount {
        SyscallCount { number: 3, count, total_ns, ..SyscallCount::default() }
    }

    #[test]
    fn a_window_has_only_what_happened_in_it() {
        let before = Facts {
            futexes: vec![futex(0x10, 5, 500, 200), futex(0x20, 1, 9, 9), futex(0x30, 2, 70, 60)],
            run_queue: vec![4, 0, 1],
            counters: Counters { sent: 100, no_state: 1, ..Counters::default() },
            syscalls: vec![call(10, 90)],
            ..Facts::default()
        };
        let after = Facts {
            futexes: vec![
                futex(0x10, 7, 560, 200),
                futex(0x20, 1, 9, 9),
                futex(0x30, 3, 170, 100),
                futex(0x40, 1, 8, 8),
            ],
            run_queue: vec![4, 2, 1],
            counters: Counters { sent: 130, no_state: 1, ..Counters::default() },
            syscalls: vec![call(14, 130)],
            ..Facts::default()
        };
        let window = after.clone().since(&before);
        // The first one's longest wait is from before: this window's waits took 60 ns together, so none took longer.
        let expected = [futex(0x10, 2, 60, 60), futex(0x30, 1, 100, 100), futex(0x40, 1, 8, 8)];
        assert_eq!(window.futexes, expected);
        assert_eq!(window.run_queue, [0, 2, 0]);
        assert_eq!((window.counters.sent, window.counters.no_state), (30, 0));
        assert_eq!(window.syscalls, [call(4, 40)]);
    }

    /// A kernel lock that is met in two system calls is two entries.
    #[test]
    fn kernel_locks_are_told_apart_by_the_system_call() {
        let lock = |syscall, count| KernelLockWaits {
            waits: LockWaits { count, total_ns: count * 10, max_ns: 10, ..LockWaits::default() },
            syscall,
            ..KernelLockWaits::default()
        };
        let before = Facts { kernel_locks: vec![lock(9, 3), lock(11, 1)], ..Facts::default() };
        let after = Facts { kernel_locks: vec![lock(11, 1), lock(9, 5)], ..Facts::default() };
        let window = after.clone().since(&before).kernel_locks;
        assert_eq!(window.len(), 1);
        assert_eq!((window[0].syscall, window[0].waits.count), (9, 2));
    }

    proptest! {
        /// Windows that follow one another add up to what was counted in all of them.
        #[test]
        fn windows_add_up(steps in prop::collection::vec((0..4_u64, 1..50_u64, 0..4_usize), 1..40)) {
            let (mut counted, mut last) = (Facts { run_queue: vec![0; 4], ..Facts::default() }, Facts::default());
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
                let window = counted.clone().since(&last);
                prop_assert_eq!(window.futexes.len(), 1);
                prop_assert!(window.futexes[0].max_ns >= nanos);
                waits += window.futexes[0].total_ns;
                delays += window.run_queue.iter().sum::<u64>();
                last = counted.clone();
            }
            prop_assert_eq!(waits, counted.futexes.iter().map(|lock| lock.total_ns).sum::<u64>());
            prop_assert_eq!(delays, counted.run_queue.iter().sum::<u64>());
            prop_assert!(counted.clone().since(&counted).futexes.is_empty());
        }
    }
}
