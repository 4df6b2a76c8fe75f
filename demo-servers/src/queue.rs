//! A queue between threads: first in, first out, waiting at both ends.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const STOP_CHECK: Duration = Duration::from_millis(100);

/// Things on their way from those who have them to those who work on them.
#[derive(Debug)]
pub struct Queue<T> {
    state: Mutex<State<T>>,
    capacity: usize,
    filled: Condvar,
    drained: Condvar,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<T>,
    closed: bool,
}

impl<T> Queue<T> {
    /// A queue that holds so many.
    pub fn new(capacity: u32) -> Self {
        Self::with_capacity(usize::try_from(capacity).unwrap_or(usize::MAX))
    }

    /// A queue that is never full, for who must not wait.
    pub fn unbounded() -> Self {
        Self::with_capacity(usize::MAX)
    }

    fn with_capacity(capacity: usize) -> Self {
        Self {
            state: Mutex::new(State { waiting: VecDeque::new(), closed: false }),
            capacity,
            filled: Condvar::new(),
            drained: Condvar::new(),
        }
    }

    /// Adds one, waiting while the queue is full; false if `give_up` says so meanwhile.
    pub fn put(&self, one: T, give_up: impl Fn() -> bool) -> bool {
        let mut state = self.lock();
        while state.waiting.len() >= self.capacity {
            if give_up() {
                return false;
            }
            // Workers that are all busy for long would keep a stopping server from noticing, so look now and then.
            state = self.drained.wait_timeout(state, STOP_CHECK).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.waiting.push_back(one);
        drop(state);
        self.filled.notify_one();
        true
    }

    /// Takes the one that has waited longest, waiting for one if there is none; `None` once closed.
    pub fn take(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(one) = state.waiting.pop_front() {
                drop(state);
                self.drained.notify_one();
                return Some(one);
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Sends who takes home, and drops what nobody has begun to work on.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.waiting.clear();
        drop(state);
        self.filled.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// First in, first out; a full queue holds up who fills it until something is taken.
    #[test]
    fn a_full_queue_pushes_back() {
        let queue = Queue::new(1);
        assert!(queue.put(1, || false));
        thread::scope(|scope| {
            let put = scope.spawn(|| queue.put(2, || false));
            thread::sleep(Duration::from_millis(50));
            assert!(!put.is_finished());
            assert_eq!(queue.take(), Some(1));
            assert!(put.join().unwrap());
        });
        assert!(!queue.put(3, || true));
        queue.close();
        assert_eq!(queue.take(), None);
    }
}
