//! `/lock`: a wait for a mutex that another thread holds.
//!
//! A lock is contended for sure only if somebody is known to hold it, so the process has one thread that takes it on
//! request, says so, holds it for the time asked for and lets go. The asking thread waits in `futex` all the time:
//! first for the word that the lock is held, then for the lock. Askers are served one after the other, so under load
//! the wait is longer than asked for, as it is with any lock that everybody needs.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::MonotonicNs;

/// The thread that holds the lock, started when it is first needed.
#[derive(Debug, Default)]
pub struct LockHolder(Mutex<Option<Arc<Shared>>>);

#[derive(Debug, Default)]
struct Shared {
    /// The lock that requests wait for.
    contended: Mutex<()>,
    asks: Mutex<VecDeque<Arc<Ask>>>,
    asked: Condvar,
}

#[derive(Debug)]
struct Ask {
    time: Duration,
    held: Mutex<bool>,
    told: Condvar,
}

impl LockHolder {
    /// Waits for the lock while the holder has it for `time`; returns how long the caller was blocked.
    pub fn wait(&self, time: Duration) -> io::Result<Duration> {
        let shared = self.shared()?;
        let ask = Arc::new(Ask { time, held: Mutex::new(false), told: Condvar::new() });
        let began = MonotonicNs::now();
        locked(&shared.asks).push_back(Arc::clone(&ask));
        shared.asked.notify_one();
        let mut held = locked(&ask.held);
        while !*held {
            held = ask.told.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
        drop(held);
        drop(locked(&shared.contended));
        Ok(MonotonicNs::now().since(began))
    }

    fn shared(&self) -> io::Result<Arc<Shared>> {
        let mut started = locked(&self.0);
        if let Some(shared) = &*started {
            return Ok(Arc::clone(shared));
        }
        let shared = Arc::new(Shared::default());
        let holder = Arc::clone(&shared);
        std::thread::Builder::new().name("lock-holder".to_owned()).spawn(move || holder.hold())?;
        Ok(Arc::clone(started.insert(shared)))
    }
}

impl Shared {
    fn hold(&self) {
        loop {
            let mut asks = locked(&self.asks);
            let ask = loop {
                match asks.pop_front() {
                    Some(ask) => break ask,
                    None => asks = self.asked.wait(asks).unwrap_or_else(PoisonError::into_inner),
                }
            };
            drop(asks);
            let contended = locked(&self.contended);
            *locked(&ask.held) = true;
            ask.told.notify_one();
            std::thread::sleep(ask.time);
            drop(contended);
        }
    }
}

/// No critical section here can panic, so a poisoned mutex is as good as any.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The caller waits for the time asked for, without using the CPU; four at once wait for each other.
    #[test]
    fn waits_off_the_cpu_and_in_turn() {
        let (holder, time) = (LockHolder::default(), Duration::from_millis(20));
        let cpu = crate::clock::thread_cpu();
        let waited = holder.wait(time).unwrap();
        assert!(waited >= time && waited < time * 5, "{waited:?}");
        assert!(crate::clock::thread_cpu().saturating_sub(cpu) < time / 4);
        let longest = std::thread::scope(|scope| {
            let waits: Vec<_> = (0..4).map(|_| scope.spawn(|| holder.wait(time).unwrap())).collect();
            waits.into_iter().map(|wait| wait.join().unwrap()).max()
        });
        // The last to ask may have asked late, but not later than the second was served.
        assert!(longest >= Some(time * 2), "{longest:?}");
    }
}
