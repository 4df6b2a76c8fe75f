//! What kept threads for long, the longest of all, and what the requests did meanwhile that kept them.

use rustc_hash::FxHashMap;

use crate::{
    clock::{Hold, Request, RequestId, StateTimes},
    decode::Route,
    units::{Ns, Tid},
};

/// Holds that are kept; beyond them the shorter half is dropped, and shorter ones are kept no longer.
const MOST: usize = 1 << 16;

/// A request that kept a thread for long.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// Its route.
    pub route: Option<Route>,
    /// Bytes of it, which may tell one without a route.
    pub received: u64,
    /// Its times; all zero for one that was not finished.
    pub times: StateTimes,
}

/// Long holds.
#[derive(Debug, Default)]
pub struct Holds {
    kept: Vec<Hold>,
    shortest: u64,
    requests: FxHashMap<RequestId, Held>,
}

impl Holds {
    /// Takes a hold.
    pub fn add(&mut self, hold: Hold) {
        if hold.length() < self.shortest {
            return;
        }
        if let Some(request) = hold.request {
            self.requests.entry(request).or_default();
        }
        self.kept.push(hold);
        if self.kept.len() >= MOST {
            self.shorten();
        }
    }

    /// Drops the shorter half.
    fn shorten(&mut self) {
        let middle = self.kept.len() / 2;
        let (_, median, _) = self.kept.select_nth_unstable_by_key(middle, Hold::length);
        self.shortest = median.length() + 1;
        let shortest = self.shortest;
        self.kept.retain(|hold| hold.length() >= shortest);
        let kept: rustc_hash::FxHashSet<RequestId> =
            self.kept.iter().filter_map(|hold| hold.request).collect();
        self.requests.retain(|request, _| kept.contains(request));
    }

    /// Takes a finished request, which may have kept a thread.
    pub fn request(&mut self, request: &Request) {
        if self.requests.is_empty() {
            return;
        }
        if let Some(held) = self.requests.get_mut(&request.id) {
            *held = Held { route: request.route.clone(), received: request.received.0, times: request.times };
        }
    }

    /// Holds by thread, in order.
    pub fn by_thread(&self) -> FxHashMap<Tid, Vec<Hold>> {
        let mut by_thread: FxHashMap<Tid, Vec<Hold>> = FxHashMap::default();
        for hold in &self.kept {
            by_thread.entry(hold.tid).or_default().push(*hold);
        }
        for holds in by_thread.values_mut() {
            holds.sort_by_key(|hold| hold.from);
        }
        by_thread
    }

    /// What is known of a request that kept a thread.
    pub fn held(&self, request: RequestId) -> Option<&Held> {
        self.requests.get(&request)
    }
}

/// Holds, of those of one thread in order, that overlap with a span.
pub fn overlapping(holds: &[Hold], from: Ns, to: Ns) -> impl Iterator<Item = &Hold> {
    // A thread's holds do not overlap, so that their ends are in order as well.
    let first = holds.partition_point(|hold| hold.to <= from);
    holds[first..].iter().take_while(move |hold| hold.from < to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{explain::testing::request, units::Pid};

    fn hold(from: u64, to: u64) -> Hold {
        Hold { tid: Tid(1), pid: Pid(1), from: Ns(from), to: Ns(to), request: Some(RequestId(from)) }
    }

    #[test]
    fn of_too_many_the_longest_are_kept() {
        let mut holds = Holds::default();
        for at in 0..2 * MOST as u64 {
            holds.add(hold(at * 1_000, at * 1_000 + 1 + at % 100));
        }
        assert!(holds.kept.len() < MOST && holds.kept.iter().all(|hold| hold.length() > 50));
        assert!(holds.requests.len() <= holds.kept.len());
    }

    #[test]
    fn a_request_that_held_a_thread_is_known_once_it_is_finished() {
        let mut holds = Holds::default();
        holds.add(hold(7, 9));
        holds.request(&request(7, Ns(5), 10));
        assert_eq!(holds.held(RequestId(7)).map(|held| held.times.total()), Some(10));
    }

    #[test]
    fn only_what_overlaps_is_found() {
        let holds = [hold(0, 10), hold(10, 20), hold(30, 40)];
        let found =
            |from, to| overlapping(&holds, Ns(from), Ns(to)).map(|hold| hold.from.0).collect::<Vec<_>>();
        assert_eq!(found(10, 30), [10]);
        assert_eq!(found(5, 31), [0, 10, 30]);
        assert!(found(20, 30).is_empty());
    }
}
