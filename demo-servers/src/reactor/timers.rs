//! Timers of an event loop: a heap of deadlines, the nearest of which bounds how long the loop may wait for events.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::clock::MonotonicNs;

/// Things to do at given moments. Timers are never cancelled; whoever takes one checks whether it still matters.
#[derive(Debug)]
pub struct Timers<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    pushed: u64,
}

#[derive(Debug)]
struct Entry<T> {
    deadline: MonotonicNs,
    /// Equal deadlines fire in the order in which they were set.
    serial: u64,
    what: T,
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), pushed: 0 }
    }
}

impl<T> Timers<T> {
    /// Sets a timer.
    pub fn push(&mut self, deadline: MonotonicNs, what: T) {
        self.heap.push(Reverse(Entry { deadline, serial: self.pushed, what }));
        self.pushed += 1;
    }

    /// How long the loop may wait; `None` for as long as it likes.
    pub fn timeout(&self) -> Option<Duration> {
        self.heap.peek().map(|Reverse(next)| next.deadline.remaining())
    }

    /// Takes the nearest timer whose deadline has come.
    pub fn pop_due(&mut self, now: MonotonicNs) -> Option<T> {
        match self.heap.peek() {
            Some(Reverse(next)) if next.deadline <= now => self.heap.pop().map(|Reverse(entry)| entry.what),
            _ => None,
        }
    }
}

impl<T> Entry<T> {
    fn key(&self) -> (MonotonicNs, u64) {
        (self.deadline, self.serial)
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fires_in_order_and_not_early() {
        let mut timers = Timers::default();
        for (deadline, what) in [(30, 'd'), (10, 'a'), (20, 'b'), (20, 'c')] {
            timers.push(MonotonicNs(deadline), what);
        }
        assert_eq!(timers.pop_due(MonotonicNs(9)), None);
        let due: String = std::iter::from_fn(|| timers.pop_due(MonotonicNs(20))).collect();
        assert_eq!(due, "abc");
        assert_eq!(timers.timeout(), Some(Duration::ZERO));
    }
}
