//! Who is charged with the waits for a CPU, where whoever left it last cannot have had it all the time.
//!
//! A thread that runs for a moment takes the CPU from one that runs for long, and when it leaves the scheduler picks anew: so it is seen to leave more
//! often than it ran. No process can have kept threads waiting for longer than it ran itself, times the threads that waited at once. What is charged
//! beyond that goes to the others, by what is left of theirs.

/// A process with what it is charged, and the most that it can be charged, in nanoseconds; `None`: it is not known how long it ran, or it is the target.
pub(super) type Charge<T> = (T, u64, Option<u64>);

/// Moves what is charged beyond the most that can be. What nobody has room for stays where it was; the sum stays the same but for rounding.
pub(super) fn settle<T>(charges: &mut [Charge<T>]) {
    let beyond = |(_, charged, most): &Charge<T>| most.map_or(0, |most| charged.saturating_sub(most));
    let room = |(_, charged, most): &Charge<T>| most.map_or(0, |most| most.saturating_sub(*charged));
    let excess: u64 = charges.iter().map(beyond).sum();
    let free: u64 = charges.iter().map(room).sum();
    let moved = excess.min(free) as f64;
    if moved <= 0.0 {
        return;
    }
    for charge in charges {
        let (more, less) = (room(charge), beyond(charge));
        charge.1 += share_of(moved, more, free);
        charge.1 -= share_of(moved, less, excess).min(less);
    }
}

fn share_of(moved: f64, part: u64, whole: u64) -> u64 {
    crate::units::rounded(moved * part as f64 / whole.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A burner that ran all the time, a reader that woke up now and then and left the CPU just before the waiting thread got it.
    #[test]
    fn whoever_ran_for_a_moment_is_not_charged_for_long_waits() {
        let mut charges = [("burner", 400, Some(2_000)), ("reader", 600, Some(40)), ("target", 100, None)];
        settle(&mut charges);
        assert_eq!(charges.map(|charge| charge.1), [960, 40, 100]);
    }

    #[test]
    fn what_nobody_can_have_taken_stays() {
        let mut charges = [("one", 600, Some(100)), ("other", 50, Some(150))];
        settle(&mut charges);
        assert_eq!(charges.map(|charge| charge.1), [500, 150]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost(list in prop::collection::vec((0..1_000_000_u64, prop::option::of(0..1_000_000_u64)), 0..20)) {
            let mut charges: Vec<Charge<()>> = list.into_iter().map(|(charged, most)| ((), charged, most)).collect();
            let sum = |charges: &[Charge<()>]| charges.iter().map(|charge| charge.1).sum::<u64>();
            let before = sum(&charges);
            settle(&mut charges);
            prop_assert!(sum(&charges).abs_diff(before) <= 2 * charges.len() as u64);
        }
    }
}
