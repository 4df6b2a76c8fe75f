//! How long at least one of many intervals lasted.

use std::collections::VecDeque;

use crate::units::Ns;

/// Pieces that are kept. An interval that reaches back beyond them counts from their beginning.
const MOST: usize = 1024;

/// Intervals that come in the order in which they end.
#[derive(Clone, Debug, Default)]
pub(super) struct Union {
    /// Pieces that do not touch, in order.
    pieces: VecDeque<(Ns, Ns)>,
    /// Nanoseconds in pieces that are not kept any more.
    settled: u64,
}

impl Union {
    /// Adds an interval that ends no earlier than those before.
    pub fn add(&mut self, mut from: Ns, to: Ns) {
        if let Some((begin, end)) = self.pieces.back_mut()
            && *begin <= from
            && from <= *end
        {
            *end = to;
            return;
        }
        while let Some((begin, end)) = self.pieces.back().copied()
            && end >= from
        {
            from = from.min(begin);
            self.pieces.pop_back();
        }
        if self.pieces.len() == MOST
            && let Some((begin, end)) = self.pieces.pop_front()
        {
            self.settled += end.since(begin);
        }
        self.pieces.push_back((from, to));
    }

    /// Nanoseconds covered.
    pub fn length(&self) -> u64 {
        self.settled + self.pieces.iter().map(|(from, to)| to.since(*from)).sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_overlaps_counts_once() {
        let mut union = Union::default();
        for (from, to) in [(0, 10), (5, 12), (20, 30), (22, 31), (40, 50)] {
            union.add(Ns(from), Ns(to));
        }
        assert_eq!(union.length(), 12 + 11 + 10);
        union.add(Ns(8), Ns(51));
        assert_eq!(union.length(), 51);
    }

    #[test]
    fn pieces_that_are_not_kept_still_count() {
        let mut union = Union::default();
        for piece in 0..3 * MOST as u64 {
            union.add(Ns(piece * 10), Ns(piece * 10 + 4));
        }
        assert_eq!(union.length(), 3 * MOST as u64 * 4);
    }
}
