//! Times by powers of two, small enough to have several for each system call and half second.

use whywait_ebpf::hist::{POWERS, power, power_lower};

/// A histogram of times in nanoseconds, in the buckets of [`power`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lengths([u32; POWERS]);

impl Lengths {
    /// Adds a time.
    pub fn add(&mut self, nanos: u64) {
        let cell = &mut self.0[power(nanos)];
        *cell = cell.saturating_add(1);
    }

    /// Adds all times of another one.
    pub fn merge(&mut self, other: &Self) {
        for (sum, value) in self.0.iter_mut().zip(other.0) {
            *sum = sum.saturating_add(value);
        }
    }

    /// Buckets from the first to the last that is not empty: the smallest time, and how many.
    pub fn rows(&self) -> Vec<(u64, u64)> {
        rows(&self.0.map(u64::from))
    }
}

/// The same of counts in these buckets.
pub fn rows(counts: &[u64; POWERS]) -> Vec<(u64, u64)> {
    let all = (0..).map(power_lower).zip(counts.iter().copied());
    let mut rows: Vec<(u64, u64)> = all.skip_while(|(_, count)| *count == 0).collect();
    while rows.last().is_some_and(|(_, count)| *count == 0) {
        rows.pop();
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_begin_and_end_with_what_there_is() {
        let mut lengths = Lengths::default();
        assert_eq!(lengths.rows(), []);
        for nanos in [1_000, 1_000, 5_000] {
            lengths.add(nanos);
        }
        assert_eq!(lengths.rows(), [(512, 2), (1_024, 0), (2_048, 0), (4_096, 1)]);
    }
}
