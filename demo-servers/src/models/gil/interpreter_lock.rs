//! The lock that a thread must hold to run application code, with the rules of `CPython`'s (`Python/ceval_gil.c`).
//!
//! A plain mutex would not do: its holder, releasing and taking it again at once, mostly wins against a thread that has
//! to be woken first. So the lock is a flag under a mutex, with three rules on top:
//!
//! 1. Who wants it waits at most [`SWITCH_INTERVAL`] at a time. If the same holder has had it all along, it leaves a
//!    *drop request*.
//! 2. The holder looks for such a request between instructions ([`ThreadState::check`], `CPython`'s "eval breaker") and
//!    then lets go. It also lets go around everything that blocks ([`ThreadState::allow_threads`]).
//! 3. Who lets go upon a request waits until another thread really has taken the lock ("forced switching").

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a thread leaves the holder in peace: what `sys.getswitchinterval()` says.
pub const SWITCH_INTERVAL: Duration = Duration::from_millis(5);

/// The lock of one interpreter.
#[derive(Debug, Default)]
pub struct InterpreterLock {
    state: Mutex<State>,
    released: Condvar,
    switched: Condvar,
    drop_request: AtomicBool,
    threads: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    locked: bool,
    last_holder: Option<u64>,
    /// How often it went from one thread to another.
    switches: u64,
}

/// A thread that runs in the interpreter: it holds the lock, except within [`Self::allow_threads`].
#[derive(Debug)]
pub struct ThreadState<'l> {
    lock: &'l InterpreterLock,
    thread: u64,
}

impl InterpreterLock {
    /// Lets the calling thread into the interpreter, once it gets the lock.
    pub fn attach(&self) -> ThreadState<'_> {
        let thread = self.threads.fetch_add(1, Ordering::Relaxed);
        self.take(thread);
        ThreadState { lock: self, thread }
    }

    fn take(&self, thread: u64) {
        let mut state = self.state();
        while state.locked {
            let switches = state.switches;
            let (after, waited) =
                self.released.wait_timeout(state, SWITCH_INTERVAL).unwrap_or_else(PoisonError::into_inner);
            state = after;
            if waited.timed_out() && state.locked && state.switches == switches {
                self.drop_request.store(true, Ordering::Relaxed);
            }
        }
        state.locked = true;
        // Whoever asked for it: the others will ask again when they have waited for an interval.
        self.drop_request.store(false, Ordering::Relaxed);
        if state.last_holder.replace(thread) != Some(thread) {
            state.switches += 1;
            self.switched.notify_all();
        }
    }

    fn release(&self) {
        let mut state = self.state();
        state.locked = false;
        self.released.notify_one();
        if self.drop_request.load(Ordering::Relaxed) {
            // Who made the request is still waiting, so this ends.
            let switches = state.switches;
            while state.switches == switches {
                state = self.switched.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// No critical section here can panic, so a poisoned mutex is as good as any.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ThreadState<'_> {
    /// Between two instructions: lets another thread run if one has asked for it. Costs one load if not.
    pub fn check(&mut self) {
        if self.lock.drop_request.load(Ordering::Relaxed) {
            self.allow_threads(|| ());
        }
    }

    /// Does something that may block, without the lock.
    pub fn allow_threads<T>(&mut self, blocking: impl FnOnce() -> T) -> T {
        self.lock.release();
        // Taken again even if `blocking` panics: dropping `self` will release it.
        let _retake = Retake(self);
        blocking()
    }
}

impl Drop for ThreadState<'_> {
    fn drop(&mut self) {
        self.lock.release();
    }
}

struct Retake<'t, 'l>(&'t ThreadState<'l>);

impl Drop for Retake<'_, '_> {
    fn drop(&mut self) {
        self.0.lock.take(self.0.thread);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Instant;

    use super::*;

    /// Never two at once, whichever way they let go; and nobody hangs.
    #[test]
    fn one_thread_runs_at_a_time() {
        let (lock, running) = (InterpreterLock::default(), AtomicBool::new(false));
        thread::scope(|scope| {
            for n in 0..4 {
                let (lock, running) = (&lock, &running);
                scope.spawn(move || {
                    let mut state = lock.attach();
                    for turn in 0..20_000 {
                        assert!(!running.swap(true, Ordering::SeqCst));
                        running.store(false, Ordering::SeqCst);
                        if turn % (n + 2) == 0 {
                            state.allow_threads(thread::yield_now);
                        } else {
                            state.check();
                        }
                    }
                });
            }
        });
        assert!(!lock.state().locked);
    }

    /// A thread that computes without end lets go soon after an interval, and only when asked.
    #[test]
    fn a_busy_holder_is_made_to_switch() {
        let (lock, stop) = (InterpreterLock::default(), AtomicBool::new(false));
        thread::scope(|scope| {
            let mut mine = lock.attach();
            scope.spawn(|| {
                let mut state = lock.attach();
                while !stop.load(Ordering::Relaxed) {
                    state.check();
                }
            });
            let (began, mut waits) = (Instant::now(), 0);
            while began.elapsed() < Duration::from_millis(500) {
                let wait = Instant::now();
                mine.allow_threads(thread::yield_now);
                // The other one may not have got to it in between.
                waits += u32::from(wait.elapsed() >= SWITCH_INTERVAL);
            }
            stop.store(true, Ordering::Relaxed);
            drop(mine);
            assert!((2..=100).contains(&waits), "{waits} waits for a whole interval");
        });
    }
}
