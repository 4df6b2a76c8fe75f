//! The most threads that waited for a lock at the same moment.

use std::collections::VecDeque;

use crate::units::Ns;

/// Waits that are held against each new one: more threads than this in one queue are told as so many.
const MOST: usize = 128;

/// Overlaps of waits. As many wait at once as at the beginning of some wait, so it is enough to count how many waits each beginning
/// lies in.
#[derive(Clone, Debug, Default)]
pub(super) struct Convoy {
    waits: VecDeque<(Ns, Ns, usize)>,
    most: usize,
}

impl Convoy {
    /// Adds a wait, in about the order of time.
    pub fn add(&mut self, from: Ns, to: Ns) {
        let mut own = 1;
        for (other_from, other_to, count) in &mut self.waits {
            if from <= *other_from && *other_from < to {
                *count += 1;
                self.most = self.most.max(*count);
            }
            own += usize::from(*other_from <= from && from < *other_to);
        }
        self.most = self.most.max(own);
        if self.waits.len() == MOST {
            self.waits.pop_front();
        }
        self.waits.push_back((from, to, own));
    }

    /// The most waits at once.
    pub fn most(&self) -> usize {
        self.most
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The same as looking at every moment.
        #[test]
        fn the_most_at_once_is_that_of_every_moment(
            waits in proptest::collection::vec((0_u64..100, 1_u64..40), 1..60),
        ) {
            let mut waits: Vec<(u64, u64)> = waits.into_iter().map(|(from, length)| (from, from + length)).collect();
            waits.sort_by_key(|(_, to)| *to);
            let mut convoy = Convoy::default();
            for (from, to) in &waits {
                convoy.add(Ns(*from), Ns(*to));
            }
            let at = |moment| waits.iter().filter(|(from, to)| *from <= moment && moment < *to).count();
            prop_assert_eq!(convoy.most(), (0..140).map(at).max().unwrap_or(0));
        }
    }
}
