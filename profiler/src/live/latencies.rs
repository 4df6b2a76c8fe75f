//! Times by the buckets of a log-linear histogram, small enough to have one for each half second.

use crate::window::{index, lower};

/// Buckets in each power of two, as a power of two: a quantile is within 2 %.
const GROUPING: u32 = 5;
/// Times of 2³⁶ ns (more than a minute) and more share the last bucket.
const LAST: usize = (36 - GROUPING as usize + 1) << GROUPING;

/// A histogram of times in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    cells: Vec<u32>,
    count: u64,
}

impl Latencies {
    /// Adds a time.
    pub fn add(&mut self, nanos: u64) {
        let cell = (index(nanos, GROUPING) as usize).min(LAST);
        if self.cells.len() <= cell {
            self.cells.resize(cell + 1, 0);
        }
        self.cells[cell] = self.cells[cell].saturating_add(1);
        self.count += 1;
    }

    /// Adds all times of another one.
    pub fn merge(&mut self, other: &Self) {
        if self.cells.len() < other.cells.len() {
            self.cells.resize(other.cells.len(), 0);
        }
        for (sum, value) in self.cells.iter_mut().zip(&other.cells) {
            *sum = sum.saturating_add(*value);
        }
        self.count += other.count;
    }

    /// How many times.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The time in nanoseconds that this share does not exceed: the middle of its bucket; 0 for none at all.
    pub fn quantile(&self, share: f64) -> f64 {
        let rank = (share * self.count as f64).ceil().max(1.0);
        let mut seen = 0.0;
        for (cell, count) in self.buckets() {
            seen += f64::from(count);
            if seen >= rank {
                return f64::midpoint(cell.0 as f64, cell.1 as f64);
            }
        }
        0.0
    }

    /// Buckets that are not empty: smallest and largest time, and how many.
    pub fn buckets(&self) -> impl Iterator<Item = ((u64, u64), u32)> + '_ {
        (0_u32..).zip(&self.cells).filter(|(_, count)| **count > 0).map(|(cell, count)| {
            ((lower(cell, GROUPING), lower(cell + 1, GROUPING).saturating_sub(1)), *count)
        })
    }

    /// Gives back the memory that it has too much of.
    pub(super) fn shrink(&mut self) {
        self.cells.shrink_to_fit();
    }

    /// Bytes on the heap.
    pub(super) fn bytes(&self) -> usize {
        self.cells.capacity() * size_of::<u32>()
    }
}
