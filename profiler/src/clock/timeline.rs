//! From overlapping claims on a request's time to exactly one state at each moment.
//!
//! Claims have a rank. What an owner did outranks what is known of a service that was called, which outranks what a
//! thread did that had been given the request and never touched it; what nobody claims is the application's queue. Among owners
//! the later one wins. So the times of a request sum to its latency whatever the claims are.

use std::cmp::Reverse;

use smallvec::SmallVec;

use super::{
    origin::{Origin, Parts},
    state::{State, StateTimes},
};
use crate::units::Ns;

/// How much a claim is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// What holds when nothing else is known: the queues before the first read.
    Queue,
    /// A thread that had been handed the request, and did not touch its connection; after fewer hand-overs is better.
    Handed(Reverse<u32>),
    /// A call to another service, a timer, a full send buffer.
    Pending,
    /// A thread that owned the request; the later owner has the larger number.
    Owner(u32),
}

/// A claim: from `from` to `to` the request was in this state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its beginning.
    pub from: Ns,
    /// Its end.
    pub to: Ns,
    /// The state.
    pub state: State,
    /// How much it is believed.
    pub rank: Rank,
    /// Where it comes from.
    pub origin: Option<Origin>,
}

/// Beyond this many claims the earlier part is settled, so that a long request stays small.
const MOST: usize = 256;

/// Claims of most requests; they need no memory of their own. With more an open request would be too large for what an allocator keeps at hand.
const USUAL: usize = 7;

/// Pieces of a request's path that are kept; what comes later is one piece.
const MOST_PIECES: usize = 64;

/// A piece of a request's path: from `from` to `to` it was in this state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its beginning.
    pub from: Ns,
    /// Its end.
    pub to: Ns,
    /// The state.
    pub state: State,
    /// Number of the ownership in which it was, from 1; 0 where no owner's claim decided.
    pub ownership: u32,
}

/// Where what is settled is written: a request's time, up to some moment.
pub struct Settled<'a> {
    /// By state.
    pub times: &'a mut StateTimes,
    /// Where it comes from, as far as it is known.
    pub parts: &'a mut Parts,
    /// Piece by piece, where that is wanted.
    pub path: Option<&'a mut Vec<Piece>>,
}

/// Claims on a request's time that is not settled yet.
#[derive(Clone, Debug)]
pub struct Timeline {
    settled_to: Ns,
    claims: SmallVec<[Segment; USUAL]>,
}

impl Timeline {
    /// A timeline that begins at `start`.
    pub fn new(start: Ns) -> Self {
        Self { settled_to: start, claims: SmallVec::new() }
    }

    /// Adds a claim; the part of it that is settled already is ignored.
    pub fn claim(&mut self, from: Ns, to: Ns, state: State, rank: Rank) {
        self.claim_from(from, to, state, rank, None);
    }

    /// Adds a claim of which it is known where it comes from.
    pub fn claim_from(&mut self, from: Ns, to: Ns, state: State, rank: Rank, origin: Option<Origin>) {
        let from = from.max(self.settled_to);
        if to <= from {
            return;
        }
        if let Some(last) = self.claims.last_mut()
            && (last.to, last.state, last.rank) == (from, state, rank)
            && origin.is_none()
            && last.origin.is_none()
        {
            last.to = to;
            return;
        }
        self.claims.push(Segment { from, to, state, rank, origin });
    }

    /// Settles what lies before `until` when there are many claims.
    pub fn compact(&mut self, until: Ns, settled: Settled<'_>) {
        if self.claims.len() > MOST && self.settled_to < until {
            self.settle(until, settled);
            self.claims.retain(|claim| claim.to > until);
            for claim in &mut self.claims {
                claim.from = claim.from.max(until);
            }
        }
    }

    /// Settles up to `until`: the times sum to the time from the start to there, exactly, and the pieces of the path follow each other without a gap. Claims
    /// beyond do not count.
    ///
    /// Nothing happens when more than that has been settled.
    pub fn settle(&mut self, until: Ns, mut settled: Settled<'_>) {
        // Those that begin at the same time stay in the order in which they were made.
        self.claims.sort_by_key(|claim| claim.from);
        let mut claims = &self.claims[..];
        while self.settled_to < until {
            let from = self.settled_to;
            while let Some((_, later)) = claims.split_first().filter(|(first, _)| first.to <= from) {
                claims = later;
            }
            let (decides, to) = deciding(claims, from, until);
            let state = decides.map_or(State::AppQueue, |claim| claim.state);
            settled.times[state] += to.since(from);
            if let Some((claim, origin)) = decides.and_then(|claim| Some((claim, claim.origin?))) {
                settled.parts.add(state, origin, to.since(from), claim.to == to);
            }
            if let Some(path) = &mut settled.path {
                let ownership = match decides.map(|claim| claim.rank) {
                    Some(Rank::Owner(number)) => number,
                    _ => 0,
                };
                lengthen(path, Piece { from, to, state, ownership });
            }
            self.settled_to = to;
        }
    }
}

/// Which of these claims, sorted by their beginning, decides at a moment, if one does, and up to when: its end, or the beginning of one that is believed as
/// much or more. So of two that are believed as much the later one decides.
fn deciding(claims: &[Segment], at: Ns, until: Ns) -> (Option<&Segment>, Ns) {
    let (mut decides, mut to): (Option<&Segment>, Ns) = (None, until);
    for claim in claims {
        if claim.from >= to {
            break;
        }
        if claim.to > at && decides.is_none_or(|best| claim.rank >= best.rank) {
            if claim.from > at {
                to = claim.from;
                break;
            }
            decides = Some(claim);
            to = claim.to.min(until);
        }
    }
    (decides, to)
}

/// Adds a piece to a path.
fn lengthen(path: &mut Vec<Piece>, piece: Piece) {
    let full = path.len() == MOST_PIECES;
    match path.last_mut() {
        Some(last) if full || (last.state, last.ownership) == (piece.state, piece.ownership) => {
            last.to = piece.to;
        }
        _ => path.push(piece),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a timeline is settled to.
    #[derive(Default)]
    struct Known {
        times: StateTimes,
        parts: Parts,
        path: Vec<Piece>,
    }

    impl Known {
        fn to(&mut self) -> Settled<'_> {
            Settled { times: &mut self.times, parts: &mut self.parts, path: Some(&mut self.path) }
        }
    }

    fn times(start: u64, end: u64, claims: &[(u64, u64, State, Rank)]) -> StateTimes {
        let (mut line, mut known) = (Timeline::new(Ns(start)), Known::default());
        for (from, to, state, rank) in claims {
            line.claim(Ns(*from), Ns(*to), *state, *rank);
        }
        line.settle(Ns(end), known.to());
        known.times
    }

    #[test]
    fn what_nobody_claims_is_the_applications_queue() {
        let times =
            times(0, 100, &[(0, 30, State::RecvQueue, Rank::Queue), (30, 40, State::OnCpu, Rank::Owner(1))]);
        assert_eq!((times[State::RecvQueue], times[State::OnCpu], times[State::AppQueue]), (30, 10, 60));
    }

    #[test]
    fn the_later_owner_outranks_the_earlier_one_and_both_a_call() {
        let times = times(
            0,
            100,
            &[
                (0, 100, State::Downstream, Rank::Pending),
                (10, 60, State::Lock, Rank::Owner(1)),
                (40, 80, State::OnCpu, Rank::Owner(2)),
            ],
        );
        assert_eq!((times[State::Downstream], times[State::Lock], times[State::OnCpu]), (30, 30, 40));
    }

    #[test]
    fn claims_outside_the_request_do_not_count() {
        let times =
            times(50, 60, &[(0, 55, State::Disk, Rank::Owner(1)), (58, 900, State::Send, Rank::Owner(1))]);
        assert_eq!((times[State::Disk], times[State::AppQueue], times[State::Send]), (5, 3, 2));
    }

    fn rank() -> impl Strategy<Value = Rank> {
        prop_oneof![
            Just(Rank::Queue),
            (0_u32..3).prop_map(|depth| Rank::Handed(Reverse(depth))),
            Just(Rank::Pending),
            (0_u32..5).prop_map(Rank::Owner)
        ]
    }

    proptest! {
        #[test]
        fn the_times_sum_to_the_latency(
            start in 0_u64..1_000,
            length in 0_u64..1_000,
            claims in proptest::collection::vec((0_u64..2_500, 0_u64..2_500, 0..State::COUNT, rank()), 0..400),
        ) {
            let (mut line, mut known) = (Timeline::new(Ns(start)), Known::default());
            for (from, to, state, rank) in claims {
                line.claim(Ns(from), Ns(to), State::ALL[state], rank);
                line.compact(Ns(to.min(start + length)), known.to());
            }
            line.settle(Ns(start + length), known.to());
            prop_assert_eq!(known.times.total(), length);
            let mut at = Ns(start);
            for piece in known.path {
                prop_assert_eq!(piece.from, at);
                at = piece.to;
            }
            prop_assert_eq!(at, Ns(start + length));
        }
    }
}
