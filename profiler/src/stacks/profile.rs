//! Time by state, route and stack.
//!
//! Every wait is known, but only some have a stack. A wait without one counts for the stacks that were taken in the same place, in the
//! same state and route if there are any, by their shares; where none was taken its time stays without a stack. So each profile
//! sums to the time that requests spent in the state in threads that waited there. Samples on the CPU stand for the time of the state by their number.

use rustc_hash::FxHashMap;
use whywait_ebpf::abi::off_cpu;

use crate::{
    clock::{Request, State, WaitPlace},
    decode::{Event, Route, StackId, Taken, What},
    units::{Ns, Pid, Tid},
};

/// Routes that have a profile of their own.
const MOST_ROUTES: usize = 64;
/// Places that are told apart in a profile, and in all.
const MOST_PLACES: usize = 8192;

/// A state, of all requests or of those of a route.
pub(super) type Key = (State, Option<Route>);

/// Waits, and those of them that have a stack.
#[derive(Clone, Debug, Default)]
pub(super) struct Waits {
    /// Nanoseconds of all.
    pub time: u64,
    /// Nanoseconds of those with a stack, by it.
    pub stacks: FxHashMap<StackId, u64>,
}

/// What a state's time is made of.
#[derive(Clone, Debug, Default)]
pub(super) struct Slice {
    /// Nanoseconds in the state.
    pub time: u64,
    /// Waits by place.
    pub waits: FxHashMap<WaitPlace, Waits>,
    /// Samples by stack.
    pub samples: FxHashMap<StackId, u64>,
}

/// How many stacks were taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// When a thread left the CPU.
    pub off_cpu: u64,
    /// When a thread woke another one.
    pub wakers: u64,
    /// When a sample was due.
    pub on_cpu: u64,
}

/// Profiles by state and route.
#[derive(Debug, Default)]
pub struct Profile {
    slices: FxHashMap<Key, Slice>,
    routes: FxHashMap<Route, ()>,
    /// Nanoseconds of waits with a stack in each place, in a request or not.
    places: FxHashMap<WaitPlace, FxHashMap<StackId, u64>>,
    wakers: FxHashMap<(Pid, u64), FxHashMap<StackId, u64>>,
    /// Stack of the wait that a thread is in.
    waiting: FxHashMap<Tid, (Ns, StackId)>,
    counts: Counts,
}

impl Profile {
    /// Takes an event: a stack, or the end of the wait that it is of.
    pub fn event(&mut self, event: &Event) {
        match &event.what {
            What::Stack(stack) => {
                let Some(id) = stack.id else { return };
                match stack.taken {
                    Taken::OffCpu => {
                        self.counts.off_cpu += 1;
                        self.waiting.insert(event.tid, (stack.at, id));
                    }
                    Taken::Waker => {
                        self.counts.wakers += 1;
                        // A private futex is in the memory of both.
                        if self.wakers.len() < MOST_PLACES {
                            *self
                                .wakers
                                .entry((event.pid, stack.futex))
                                .or_default()
                                .entry(id)
                                .or_default() += 1;
                        }
                    }
                    Taken::OnCpu => self.counts.on_cpu += 1,
                }
            }
            What::OffCpu(interval) => {
                let Some((left, id)) = self.waiting.remove(&event.tid) else { return };
                if left != Ns(interval.left)
                    || interval.flags & off_cpu::VOLUNTARY == 0
                    || self.places.len() >= MOST_PLACES
                {
                    return;
                }
                let ready = if interval.woken == 0 { event.at } else { Ns(interval.woken) };
                let waits = self.places.entry(WaitPlace::of(event.pid, interval)).or_default();
                *waits.entry(id).or_default() += ready.since(left).max(1);
            }
            What::ThreadEnd => {
                self.waiting.remove(&event.tid);
            }
            _ => {}
        }
    }

    /// Takes a finished request.
    pub fn request(&mut self, request: &Request) {
        self.add(None, request);
        let Some(route) = &request.route else { return };
        if self.routes.len() < MOST_ROUTES || self.routes.contains_key(route) {
            self.routes.entry(route.clone()).or_default();
            self.add(Some(route), request);
        }
    }

    fn add(&mut self, route: Option<&Route>, request: &Request) {
        for (state, time) in request.times.iter().filter(|(_, time)| *time > 0) {
            self.slices.entry((state, route.cloned())).or_default().time += time;
        }
        for part in request.parts.iter() {
            let slice = self.slices.entry((part.state, route.cloned())).or_default();
            if part.state == State::OnCpu {
                if let Some(stack) = part.origin.stack {
                    *slice.samples.entry(stack).or_default() += u64::from(part.count);
                }
            } else if slice.waits.len() < MOST_PLACES || slice.waits.contains_key(&part.origin.place) {
                let waits = slice.waits.entry(part.origin.place).or_default();
                waits.time += part.time;
                if let Some(stack) = part.origin.stack {
                    *waits.stacks.entry(stack).or_default() += part.time;
                }
            }
        }
    }

    /// How many stacks were taken.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    pub(super) fn slices(&self) -> impl Iterator<Item = (&Key, &Slice)> {
        self.slices.iter()
    }

    /// Stacks of those who ended waits for a futex, by how often they did.
    pub(super) fn wakers(&self) -> impl Iterator<Item = (Pid, u64, &FxHashMap<StackId, u64>)> {
        self.wakers.iter().map(|((pid, futex), stacks)| (*pid, *futex, stacks))
    }

    /// Nanoseconds of a slice by stack.
    pub(super) fn by_stack(&self, slice: &Slice) -> FxHashMap<StackId, f64> {
        let mut times: FxHashMap<StackId, f64> = FxHashMap::default();
        let samples: u64 = slice.samples.values().sum();
        for (id, count) in &slice.samples {
            *times.entry(*id).or_default() += slice.time as f64 * *count as f64 / samples as f64;
        }
        for (place, waits) in &slice.waits {
            let known = if waits.stacks.is_empty() { self.places.get(place) } else { Some(&waits.stacks) };
            let Some(known) = known else { continue };
            let sum: u64 = known.values().sum();
            for (id, time) in known.iter().filter(|_| sum > 0) {
                *times.entry(*id).or_default() += waits.time as f64 * *time as f64 / sum as f64;
            }
        }
        times
    }

    /// Stacks of the waits in a place, in requests or not, with their time in nanoseconds.
    pub fn stacks_at(&self, place: &WaitPlace) -> impl Iterator<Item = (StackId, u64)> + '_ {
        self.places.get(place).into_iter().flatten().map(|(id, time)| (*id, *time))
    }

    /// Places in which waits have a stack.
    pub fn places(&self) -> impl Iterator<Item = &WaitPlace> {
        self.places.keys()
    }
}
