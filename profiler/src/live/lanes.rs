//! What a thread did, bucket by bucket.

use std::collections::VecDeque;

use super::bucket::{KEPT, LENGTH};
use crate::clock::State;

/// Parts of a bucket that a cell counts in.
const PARTS: u64 = 200;

/// Length of a part in nanoseconds.
const PART: u64 = LENGTH / PARTS;

/// What a thread does: a request's states, or waiting for something to do.
pub type Share = Option<State>;

/// What a thread did in a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// Parts of [`PARTS`] by state; the last one is for waiting for something to do.
    shares: [u8; State::COUNT + 1],
    /// Switches by which it gave the CPU up.
    pub voluntary: u16,
    /// Switches by which it lost the CPU.
    pub involuntary: u16,
    /// Waits of its own that somebody ended.
    pub woken: u16,
    /// Waits of the target's threads that it ended.
    pub woke: u16,
}

/// What is counted of a thread in a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    /// [`Cell::voluntary`]
    Voluntary,
    /// [`Cell::involuntary`]
    Involuntary,
    /// [`Cell::woken`]
    Woken,
    /// [`Cell::woke`]
    Woke,
}

fn place(share: Share) -> usize {
    share.map_or(State::COUNT, |state| state as usize)
}

impl Cell {
    /// Share of the bucket's time, from 0 to 1.
    pub fn share(&self, share: Share) -> f64 {
        f64::from(self.shares[place(share)]) / PARTS as f64
    }

    /// What it did most of the time in which it had something to do, if that was a tenth of the time at least; `None` where nothing is
    /// told.
    pub fn mostly(&self) -> Option<Share> {
        let (idle, states) = self.shares.split_last()?;
        let busy: u64 = states.iter().map(|parts| u64::from(*parts)).sum();
        if busy + u64::from(*idle) == 0 {
            return None;
        }
        if busy * 10 < PARTS {
            return Some(None);
        }
        let most = (0..states.len()).rev().max_by_key(|place| states[*place])?;
        Some(State::ALL.get(most).copied())
    }

    /// Adds parts of its time.
    fn add(&mut self, share: Share, parts: u64) {
        let cell = &mut self.shares[place(share)];
        *cell = cell.saturating_add(u8::try_from(parts).unwrap_or(u8::MAX));
    }

    /// Adds another cell's, for a longer time.
    pub(super) fn merge(&mut self, other: &Self, of: u8) {
        for (sum, value) in self.shares.iter_mut().zip(other.shares) {
            *sum = sum.saturating_add(value / of.max(1));
        }
        self.voluntary = self.voluntary.saturating_add(other.voluntary);
        self.involuntary = self.involuntary.saturating_add(other.involuntary);
        self.woken = self.woken.saturating_add(other.woken);
        self.woke = self.woke.saturating_add(other.woke);
    }
}

/// A thread's cells, from its first bucket on.
#[derive(Clone, Debug, Default)]
pub struct Lane {
    first: u32,
    cells: VecDeque<Cell>,
    /// Nanoseconds that have not become a part yet.
    rest: [u64; State::COUNT + 1],
}

impl Lane {
    /// The cell of a bucket; an empty one where there is none.
    pub fn cell(&self, number: u32) -> Cell {
        let place = number.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        place.and_then(|place| self.cells.get(place)).copied().unwrap_or_default()
    }

    /// Several buckets as one.
    pub fn cells(&self, numbers: std::ops::Range<u32>) -> Cell {
        let of = u8::try_from(numbers.len()).unwrap_or(u8::MAX);
        let mut sum = Cell::default();
        numbers.for_each(|number| sum.merge(&self.cell(number), of));
        sum
    }

    fn cell_mut(&mut self, number: u32) -> Option<&mut Cell> {
        if self.cells.is_empty() {
            self.first = number;
        }
        // What is too old goes before room is made: no leap in time takes more than what is kept.
        let oldest = number.saturating_add(1).saturating_sub(u32::try_from(KEPT).unwrap_or(u32::MAX));
        if let Some(over) = oldest.checked_sub(self.first).and_then(|over| usize::try_from(over).ok()) {
            self.cells.drain(..over.min(self.cells.len()));
            self.first = oldest;
        }
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        if self.cells.len() <= place {
            self.cells.resize(place + 1, Cell::default());
        }
        self.cells.get_mut(place)
    }

    /// From `from` to `to`, nanoseconds since the first bucket's beginning, it did this.
    pub(super) fn fill(&mut self, from: u64, to: u64, share: Share) {
        let kept = KEPT as u64 * LENGTH;
        let mut from = from.max(to.saturating_sub(kept));
        while from < to {
            let number = from / LENGTH;
            let end = ((number + 1) * LENGTH).min(to);
            let nanos = self.rest[place(share)] + end - from;
            self.rest[place(share)] = nanos % PART;
            if let Some(cell) = u32::try_from(number).ok().and_then(|number| self.cell_mut(number)) {
                cell.add(share, nanos / PART);
            }
            from = end;
        }
    }

    /// Counts something that happened.
    pub(super) fn count(&mut self, at: u64, what: Count) {
        if let Some(cell) = u32::try_from(at / LENGTH).ok().and_then(|number| self.cell_mut(number)) {
            let count = match what {
                Count::Voluntary => &mut cell.voluntary,
                Count::Involuntary => &mut cell.involuntary,
                Count::Woken => &mut cell.woken,
                Count::Woke => &mut cell.woke,
            };
            *count = count.saturating_add(1);
        }
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.cells.capacity() * size_of::<Cell>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thread that was not heard of for a year has its last minutes, and no more.
    #[test]
    fn a_leap_in_time_takes_no_memory() {
        let mut lane = Lane::default();
        lane.count(0, Count::Woken);
        let far = u64::from(u32::MAX - 5) * LENGTH;
        lane.count(far, Count::Woke);
        lane.count(far - LENGTH, Count::Woken);
        assert!(lane.bytes() <= 2 * KEPT * size_of::<Cell>(), "{} bytes", lane.bytes());
        let cells = [u32::MAX - 6, u32::MAX - 5].map(|number| lane.cell(number));
        assert_eq!((cells[0].woken, cells[1].woke, lane.cell(0).woken), (1, 1, 0));
    }
}
