//! Profiles with names: what a run says about its stacks.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::{
    frame::{Frame, without_tracing},
    known::{KnownWait, known_wait},
    names::calls,
    profile::{Counts, Profile},
};
use crate::{
    clock::{State, WaitPlace},
    decode::{End, StackId, Trace, Traces},
    units::Pid,
};

/// Names code.
pub trait Code {
    /// The kernel's functions at these addresses, one for each.
    fn kernel(&mut self, addresses: &[u64]) -> Vec<Frame>;

    /// The functions at an address of a process, those that are inlined there first.
    fn user(&mut self, pid: Pid, address: u64) -> Vec<Frame>;

    /// The frames of a trace, innermost first, functions that are inlined among them.
    fn frames(&mut self, trace: &Trace) -> Vec<Frame> {
        let mut frames = self.kernel(&trace.kernel);
        frames.extend(calls(&trace.user).flat_map(|address| self.user(trace.pid, address)));
        frames
    }
}

/// A stack, and the time that requests spent in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Hot {
    /// Innermost first: the kernel's, then the program's.
    pub frames: Vec<Frame>,
    /// How it ends.
    pub end: End,
    /// Microseconds of all requests.
    pub time_us: f64,
}

/// The stacks of a state, of all requests or of a route's.
#[derive(Clone, Debug, PartialEq)]
pub struct StateStacks {
    /// The state.
    pub state: State,
    /// The route; `None`: all requests.
    pub route: Option<String>,
    /// Microseconds in the state, of all its requests together.
    pub time_us: f64,
    /// Of these, those of which no stack is known.
    pub without_us: f64,
    /// Most time first.
    pub stacks: Vec<Hot>,
}

/// A stack that ended waits for a futex.
#[derive(Clone, Debug, PartialEq)]
pub struct Waker {
    /// Process.
    pub pid: Pid,
    /// Address of the futex.
    pub futex: u64,
    /// Innermost first.
    pub frames: Vec<Frame>,
    /// Wake-ups of which the stack was taken.
    pub count: u64,
}

/// A stack in which requests waited for a lock.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiter {
    /// Where they waited.
    pub place: WaitPlace,
    /// Innermost first.
    pub frames: Vec<Frame>,
    /// Microseconds of all requests.
    pub time_us: f64,
}

/// Places of locks whose waiters are told.
const MOST_LOCKS: usize = 64;
/// Stacks of each.
const MOST_WAITERS: usize = 8;

/// What a run says about its stacks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stacks {
    /// Most time first; those of all requests before those of routes.
    pub states: Vec<StateStacks>,
    /// Most wake-ups first.
    pub wakers: Vec<Waker>,
    /// By place, those in which requests waited longest first; of each place most time first.
    pub waiters: Vec<Waiter>,
    /// How many stacks were taken.
    pub counts: Counts,
    /// Microseconds, in all profiles of all requests, of stacks whose callers could not be found.
    pub lost_us: f64,
    /// The same of those that are deeper than what was copied.
    pub too_deep_us: f64,
    /// What waits are for, by place, where functions tell.
    pub known: Vec<(WaitPlace, KnownWait)>,
}

/// A stack as it is told: frames and end.
type Named = (Vec<Frame>, End);

impl Stacks {
    /// Names the stacks of a profile.
    pub fn new(profile: &Profile, traces: &Traces, code: &mut dyn Code) -> Self {
        let mut names = Names { traces, code, known: FxHashMap::default() };
        let mut stacks = Self { counts: profile.counts(), ..Self::default() };
        for (state, route, slice) in profile.slices() {
            let mut by_name: BTreeMap<Named, f64> = BTreeMap::new();
            let mut known_us = 0.0;
            for (id, nanos) in profile.by_stack(slice) {
                known_us += nanos / 1e3;
                *by_name.entry(names.of(id)).or_default() += nanos / 1e3;
            }
            if by_name.is_empty() {
                continue;
            }
            let mut hot: Vec<Hot> =
                by_name.into_iter().map(|((frames, end), time_us)| Hot { frames, end, time_us }).collect();
            hot.sort_by(|a, b| b.time_us.total_cmp(&a.time_us));
            if route.is_none() {
                let ends = |end| hot.iter().filter(|hot| hot.end == end).map(|hot| hot.time_us).sum::<f64>();
                stacks.lost_us += ends(End::Lost);
                stacks.too_deep_us += ends(End::TooDeep);
            }
            let time_us = slice.time as f64 / 1e3;
            stacks.states.push(StateStacks {
                state,
                route: route.map(ToString::to_string),
                time_us,
                without_us: (time_us - known_us).max(0.0),
                stacks: hot,
            });
        }
        stacks.states.sort_by(|a, b| {
            a.route
                .is_some()
                .cmp(&b.route.is_some())
                .then_with(|| b.time_us.total_cmp(&a.time_us))
                .then_with(|| a.route.cmp(&b.route))
        });
        for (pid, futex, ids) in profile.wakers() {
            let mut by_name: BTreeMap<Vec<Frame>, u64> = BTreeMap::new();
            for (id, count) in ids {
                *by_name.entry(names.of(*id).0).or_default() += count;
            }
            stacks.wakers.extend(by_name.into_iter().map(|(frames, count)| Waker {
                pid,
                futex,
                frames,
                count,
            }));
        }
        stacks.wakers.sort_by(|a, b| {
            b.count.cmp(&a.count).then_with(|| (a.pid, a.futex, &a.frames).cmp(&(b.pid, b.futex, &b.frames)))
        });
        for (place, times) in profile.lock_waits().into_iter().take(MOST_LOCKS) {
            let mut by_name: BTreeMap<Vec<Frame>, f64> = BTreeMap::new();
            for (id, nanos) in times {
                *by_name.entry(names.of(id).0).or_default() += nanos / 1e3;
            }
            let mut its: Vec<Waiter> =
                by_name.into_iter().map(|(frames, time_us)| Waiter { place, frames, time_us }).collect();
            its.sort_by(|a, b| b.time_us.total_cmp(&a.time_us));
            its.truncate(MOST_WAITERS);
            stacks.waiters.extend(its);
        }
        for place in profile.places() {
            let most = profile.stacks_at(place).max_by_key(|(_, time)| *time);
            if let Some(known) = most.and_then(|(id, _)| known_wait(&names.of(id).0)) {
                stacks.known.push((*place, known));
            }
        }
        stacks.known.sort();
        stacks
    }

    /// What a futex is for, where the functions that wait for it tell.
    pub fn known_at(&self, pid: Pid, futex: u64) -> Option<KnownWait> {
        self.known.iter().find(|(place, _)| (place.pid, place.futex) == (pid, futex)).map(|(_, known)| *known)
    }

    /// The profile of a state over all requests.
    pub fn of(&self, state: State) -> Option<&StateStacks> {
        self.states.iter().find(|stacks| stacks.state == state && stacks.route.is_none())
    }
}

/// Names that were looked up.
struct Names<'a> {
    traces: &'a Traces,
    code: &'a mut dyn Code,
    known: FxHashMap<StackId, Named>,
}

impl Names<'_> {
    fn of(&mut self, id: StackId) -> Named {
        let Self { traces, code, known } = self;
        known
            .entry(id)
            .or_insert_with(|| {
                let trace = traces.get(id);
                (without_tracing(code.frames(trace)), trace.end)
            })
            .clone()
    }
}
