//! Sleeps that come one after the other.
//!
//! Where a runtime keeps its timers itself, the kernel shows when a request's timer was due, and not when it was set: a task that waits for a
//! lock whose holder sleeps, and then sleeps itself, looks asleep all the time. What tells the two apart is what the end of its sleep goes by. Sleeps that are
//! nobody else's business end so long after they began, each for itself, and it is chance how far their ends lie apart. Sleeps under a lock
//! end so long after the one before has ended, so that their ends are spaced evenly, and what varies from one to the next adds up in the
//! time that a request waited for several of them.

use super::ledger::Traced;
use crate::clock::State;

/// Nanoseconds of sleep from which on a request says something.
const LEAST: u64 = 1_000_000;
/// Its least share of such a request.
const ASLEEP: f64 = 0.5;
/// Pairs of neighbours below which nothing is said.
const FEWEST: usize = 20;
/// Share of the sleeping requests that must overlap with the one that ended before.
const MOST: f64 = 0.5;
/// Of its sleep the distance to the end before it is at most this much, where it waited for that one.
const OVERLAPS: f64 = 0.75;
/// Ends are spaced evenly when the middle half of their distances spreads over this much of the median…
const EVEN: f64 = 0.35;
/// …and the fifth hundredth is no shorter than this much of it: a lock is never let go early.
const SHORTEST: f64 = 0.5;

/// Share of the time asleep in which requests waited for the sleep of another one to end.
pub fn in_turn(trace: &[Traced]) -> f64 {
    let mut sleepers: Vec<(u64, u64)> = trace
        .iter()
        .map(|traced| (traced.end.0, traced.times[State::Sleep], traced.end.since(traced.start)))
        .filter(|(_, asleep, latency)| *asleep >= LEAST && *asleep as f64 >= ASLEEP * *latency as f64)
        .map(|(end, asleep, _)| (end, asleep))
        .collect();
    sleepers.sort_unstable();
    let (mut apart, mut asleep) = (Vec::new(), Vec::new());
    for pair in sleepers.windows(2) {
        let distance = pair[1].0 - pair[0].0;
        if distance as f64 <= OVERLAPS * pair[1].1 as f64 {
            apart.push(distance);
            asleep.push(pair[1].1);
        }
    }
    if apart.len() < FEWEST || (apart.len() as f64) < MOST * sleepers.len() as f64 {
        return 0.0;
    }
    let (turn, whole): (u64, u64) = (apart.iter().sum(), asleep.iter().sum());
    let everything: u64 = sleepers.iter().map(|(_, asleep)| asleep).sum();
    apart.sort_unstable();
    asleep.sort_unstable();
    let median = quantile(&apart, 50);
    let even = spread(&apart) <= EVEN * median && quantile(&apart, 5) >= SHORTEST * median;
    if even && spread(&apart) < spread(&asleep) {
        (whole - turn.min(whole)) as f64 / everything as f64
    } else {
        0.0
    }
}

fn quantile(sorted: &[u64], percent: usize) -> f64 {
    sorted
        .get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1)))
        .map_or(0.0, |nanos| *nanos as f64)
}

/// Width of the middle half.
fn spread(sorted: &[u64]) -> f64 {
    quantile(sorted, 75) - quantile(sorted, 25)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::{RequestId, StateTimes},
        decode::ConnId,
        units::Ns,
    };

    const MS: u64 = 1_000_000;

    /// A number that looks like chance, below `limit`.
    fn chance(seed: u64, limit: u64) -> u64 {
        let mixed = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33) % limit
    }

    fn sleeper(id: u64, from: u64, to: u64) -> Traced {
        let mut times = StateTimes::default();
        times[State::Sleep] = to - from;
        Traced { id: RequestId(id), conn: ConnId(id), start: Ns(from), end: Ns(to), times }
    }

    /// Eight clients, and one lock that is held over a sleep of 8 ms, or a little more.
    fn locked() -> Vec<Traced> {
        let (mut free, mut began) = (0, [0; 8]);
        (0..400_u64)
            .zip((0..8).cycle())
            .map(|(turn, client): (u64, usize)| {
                let end = free + 8 * MS + chance(turn, MS);
                let traced = sleeper(turn, began[client], end);
                (free, began[client]) = (end, end + MS / 10);
                traced
            })
            .collect()
    }

    /// Clients that sleep for about 20 ms, each for itself, and begin at these times.
    fn free(begins: impl Iterator<Item = u64>) -> Vec<Traced> {
        begins
            .enumerate()
            .map(|(id, from)| sleeper(id as u64, from, from + 20 * MS + chance(id as u64, MS)))
            .collect()
    }

    #[test]
    fn sleeps_under_a_lock_end_one_after_the_other() {
        let share = in_turn(&locked());
        assert!((0.8..0.9).contains(&share), "{share}");
    }

    #[test]
    fn sleeps_that_are_nobodys_business_do_not() {
        let by_chance = |turn: u64| turn * 3 * MS + chance(turn, 3 * MS);
        assert!(in_turn(&free((0..400).map(by_chance))).abs() < f64::EPSILON);
        let together = |turn: u64| turn / 8 * 21 * MS;
        assert!(in_turn(&free((0..400).map(together))).abs() < f64::EPSILON);
    }

    /// A load with a fixed rate spaces the ends as well, but each by its own beginning.
    #[test]
    fn a_steady_load_is_no_lock() {
        assert!(in_turn(&free((0..400).map(|turn| turn * 5 * MS))).abs() < f64::EPSILON);
    }
}
