//! Waits with a time-out on a futex that nobody wakes: how a thread sleeps where its runtime keeps a condition variable for that, as the
//! JVM does for `Thread.sleep`, and everything does that waits for an event which never comes.

use rustc_hash::FxHashMap;
use whywait_ebpf::{abi::OffCpu, syscalls as call};

use crate::units::{Pid, Tid};

/// Futexes that are told apart. Beyond this many all are forgotten, and learnt again.
const MOST: usize = 65_536;
/// `FUTEX_PRIVATE_FLAG`
const PRIVATE: u64 = 128;
/// Of so many waits that ended by themselves one may have been ended by a thread: the timer's interrupt has met that thread in a system call of its
/// own, or the place is where a runtime parks the thread for whatever it waits for, as Ruby does for its interpreter lock as well.
const WOKEN: u32 = 2;

/// How waits on a futex have ended.
#[derive(Debug)]
struct Ends {
    tid: Tid,
    shared: bool,
    by_itself: u32,
    woken: u32,
}

/// Futexes on which threads have waited.
#[derive(Debug, Default)]
pub(super) struct TimedFutexes {
    futexes: FxHashMap<(Pid, u64), Ends>,
}

impl TimedFutexes {
    /// Whether this wait was a sleep: it ended by itself, on a futex on which this thread alone waits and that hardly a thread wakes. So a lock with
    /// a time-out, such as that of `CPython`'s interpreter, is none from the second waiter or the first wake-up on.
    pub fn is_sleep(&mut self, tid: Tid, pid: Pid, interval: &OffCpu) -> bool {
        // Who wakes a futex of several processes may be none of the target, and is not told then.
        if interval.syscall != call::FUTEX || interval.args[1] & PRIVATE == 0 {
            return false;
        }
        if self.futexes.len() >= MOST {
            self.futexes.clear();
        }
        // The two futexes between which glibc's condition variables alternate share eight bytes.
        let ends = self.futexes.entry((pid, interval.args[0] & !7)).or_insert(Ends {
            tid,
            shared: false,
            by_itself: 0,
            woken: 0,
        });
        ends.shared |= ends.tid != tid;
        let woken = interval.waker_tid != 0 && interval.waker_syscall == call::FUTEX;
        let count = if woken { &mut ends.woken } else { &mut ends.by_itself };
        *count = count.saturating_add(1);
        !woken && !ends.shared && interval.woken != 0 && ends.by_itself > WOKEN.saturating_mul(ends.woken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMED: u64 = 137;

    fn wait(futex: u64, waker_tid: u32) -> OffCpu {
        OffCpu {
            syscall: call::FUTEX,
            args: [futex, TIMED, 0],
            waker_tid,
            waker_syscall: call::FUTEX,
            woken: 9,
            ..OffCpu::default()
        }
    }

    #[test]
    fn a_wait_that_nobody_ever_ends_is_a_sleep() {
        let mut timed = TimedFutexes::default();
        assert!(timed.is_sleep(Tid(1), Pid(1), &wait(64, 0)));
        assert!(!timed.is_sleep(Tid(1), Pid(1), &wait(68, 7)), "woken");
        assert!(!timed.is_sleep(Tid(1), Pid(1), &wait(64, 0)), "the other half of what is woken");
        assert!(timed.is_sleep(Tid(2), Pid(2), &wait(64, 0)), "another process has another futex there");
    }

    /// Waiters for an interpreter lock give up again and again before its holder gives it away.
    #[test]
    fn what_several_threads_wait_for_is_a_lock() {
        let mut timed = TimedFutexes::default();
        assert!(timed.is_sleep(Tid(1), Pid(1), &wait(64, 0)), "nothing is known yet");
        assert!(!timed.is_sleep(Tid(2), Pid(1), &wait(64, 0)));
        assert!(!timed.is_sleep(Tid(1), Pid(1), &wait(64, 0)));
    }

    #[test]
    fn an_interrupt_in_a_thread_that_is_in_futex_itself_is_no_waker_for_ever() {
        let mut timed = TimedFutexes::default();
        assert!((0..=WOKEN).all(|_| timed.is_sleep(Tid(1), Pid(1), &wait(64, 0))));
        assert!(!timed.is_sleep(Tid(1), Pid(1), &wait(64, 7)));
        assert!(timed.is_sleep(Tid(1), Pid(1), &wait(64, 0)));
    }

    /// Whoever ends them may not be watched; and semaphores are no place to sleep in.
    #[test]
    fn waits_that_processes_share_are_locks() {
        let mut timed = TimedFutexes::default();
        assert!(!timed.is_sleep(Tid(1), Pid(1), &OffCpu { args: [64, 9, 0], ..wait(64, 0) }));
        assert!(!timed.is_sleep(Tid(1), Pid(1), &OffCpu { syscall: call::SEMTIMEDOP, ..wait(64, 0) }));
    }
}
