//! What other threads leave for an event loop, which is woken to fetch it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use mio::Waker;

/// A list that many threads fill and one loop empties.
#[derive(Debug)]
pub struct Mailbox<T> {
    list: Mutex<Vec<T>>,
    waker: Waker,
}

impl<T> Mailbox<T> {
    /// An empty one; `waker` wakes the loop that will empty it.
    pub fn new(waker: Waker) -> Self {
        Self { list: Mutex::default(), waker }
    }

    /// Leaves one and wakes the loop, unless somebody has done so since it last looked.
    pub fn put(&self, one: T) {
        let mut list = self.list();
        list.push(one);
        let first = list.len() == 1;
        drop(list);
        if first && let Err(error) = self.waker.wake() {
            eprintln!("cannot wake the event loop: {error}");
        }
    }

    /// All that has been left, in order.
    pub fn take(&self) -> Vec<T> {
        std::mem::take(&mut *self.list())
    }

    fn list(&self) -> MutexGuard<'_, Vec<T>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
