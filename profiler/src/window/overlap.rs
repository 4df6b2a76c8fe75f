//! How many intervals overlap: requests in flight, threads on a CPU.

use crate::units::Ns;

/// Intervals that are kept to find the most that overlap; the mean needs none.
const MOST: usize = 4 << 20;

/// Intervals of time.
#[derive(Clone, Debug, Default)]
pub struct Overlap {
    total: u64,
    intervals: Vec<(Ns, Ns)>,
}

impl Overlap {
    /// Adds an interval.
    pub fn add(&mut self, from: Ns, to: Ns) {
        self.total = self.total.saturating_add(to.since(from));
        if to > from && self.intervals.len() < MOST {
            self.intervals.push((from, to));
        }
    }

    /// How many overlap between `begin` and `end`: in the mean, and at most.
    pub fn mean_and_max(&self, begin: Ns, end: Ns) -> (f64, usize) {
        let length = end.since(begin);
        let mean = if length == 0 { 0.0 } else { self.total as f64 / length as f64 };
        let mut begins: Vec<Ns> = self.intervals.iter().map(|(from, _)| *from).collect();
        let mut ends: Vec<Ns> = self.intervals.iter().map(|(_, to)| *to).collect();
        begins.sort_unstable();
        ends.sort_unstable();
        let (mut over, mut most) = (0, 0);
        for (begun, from) in begins.iter().enumerate() {
            // An interval that ends when another begins does not overlap with it.
            while ends[over] <= *from {
                over += 1;
            }
            most = most.max(begun + 1 - over);
        }
        (mean, most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_that_touch_do_not_overlap() {
        let mut overlap = Overlap::default();
        overlap.add(Ns(0), Ns(10));
        overlap.add(Ns(10), Ns(20));
        assert_eq!(overlap.mean_and_max(Ns(0), Ns(20)), (1.0, 1));
        overlap.add(Ns(5), Ns(15));
        assert_eq!(overlap.mean_and_max(Ns(0), Ns(20)), (1.5, 2));
    }
}
