//! Time by state, route and stack.
//!
//! Every wait is known, but only some have a stack. A wait without one counts for the stacks that were taken in the same place, in the
//! same state and route if there are any, else anywhere, by their shares; where none was taken its time stays without a stack. So each profile
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

/// What requests spend their time in, by state.
type Slices = Box<[Slice; State::COUNT]>;

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
    all: Slices,
    routes: FxHashMap<Route, Slices>,
    /// Nanoseconds of waits with a stack in each place, in a request or not.
    places: FxHashMap<WaitPlace, FxHashMap<StackId, u64>>,
    /// The same by system call and futex alone: processes that were forked wait in the same functions.
    calls: FxHashMap<(i32, u64), FxHashMap<StackId, u64>>,
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
                let place = WaitPlace::of(event.pid, interval);
                let time = ready.since(left).max(1);
                *self.places.entry(place).or_default().entry(id).or_default() += time;
                *self.calls.entry((place.syscall, place.futex)).or_default().entry(id).or_default() += time;
            }
            What::ThreadEnd => {
                self.waiting.remove(&event.tid);
            }
            _ => {}
        }
    }

    /// Takes a finished request.
    pub fn request(&mut self, request: &Request) {
        add(&mut self.all, request);
        let Some(route) = &request.route else { return };
        let room = self.routes.len() < MOST_ROUTES;
        match self.routes.get_mut(route) {
            Some(slices) => add(slices, request),
            None if room => add(self.routes.entry(route.clone()).or_default(), request),
            None => {}
        }
    }

    /// How many stacks were taken.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What all requests, and those of each route, spent in each state.
    pub(super) fn slices(&self) -> impl Iterator<Item = (State, Option<&Route>, &Slice)> {
        let of_routes = self.routes.iter().map(|(route, slices)| (Some(route), slices));
        std::iter::once((None, &self.all)).chain(of_routes).flat_map(|(route, slices)| {
            State::ALL.into_iter().zip(slices.iter()).map(move |(state, slice)| (state, route, slice))
        })
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
            self.share_out(place, waits, &mut times);
        }
        times
    }

    /// Nanoseconds that requests waited for locks in each place, by stack; longest waits first.
    pub(super) fn lock_waits(&self) -> Vec<(WaitPlace, FxHashMap<StackId, f64>)> {
        let mut places: Vec<_> = self.all[State::Lock as usize].waits.iter().collect();
        places.sort_by_key(|(place, waits)| (std::cmp::Reverse(waits.time), **place));
        let of = |(place, waits): (&WaitPlace, &Waits)| {
            let mut times = FxHashMap::default();
            self.share_out(place, waits, &mut times);
            (*place, times)
        };
        places.into_iter().map(of).collect()
    }

    /// Gives the time of the waits in a place to the stacks that they were, or could have been, in.
    fn share_out(&self, place: &WaitPlace, waits: &Waits, times: &mut FxHashMap<StackId, f64>) {
        let own = Some(&waits.stacks).filter(|stacks| !stacks.is_empty());
        let elsewhere = || self.places.get(place).or_else(|| self.calls.get(&(place.syscall, place.futex)));
        let Some(known) = own.or_else(elsewhere) else { return };
        let sum: u64 = known.values().sum();
        for (id, time) in known.iter().filter(|_| sum > 0) {
            *times.entry(*id).or_default() += waits.time as f64 * *time as f64 / sum as f64;
        }
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

/// Adds a request to what its time was spent in.
fn add(slices: &mut Slices, request: &Request) {
    for (state, time) in request.times.iter() {
        slices[state as usize].time += time;
    }
    for part in request.parts.iter() {
        let slice = &mut slices[part.state as usize];
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::RequestClock,
        decode::{StackEvent, Trace, Traces},
    };
    use whywait_ebpf::{
        abi::{Conn, OffCpu, SockOp, Thread, born, op, role},
        syscalls,
    };

    const PID: Pid = Pid(9);
    const TID: Tid = Tid(10);

    fn event(at: u64, what: What) -> Event {
        Event { at: Ns(at), tid: TID, pid: PID, seq: 0, missing: 0, cpu: 0, spun: 0, what }
    }

    fn wait(left: u64, back: u64) -> Event {
        let interval = OffCpu {
            left,
            woken: back,
            queued: back,
            args: [0x77, 0, 0],
            syscall: syscalls::FUTEX,
            flags: off_cpu::VOLUNTARY,
            ..OffCpu::default()
        };
        event(back, What::OffCpu(interval))
    }

    fn stack(at: u64, taken: Taken, id: StackId) -> Event {
        let stack = StackEvent { taken, at: Ns(at), futex: 0x77, other: Tid(0), id: Some(id), made_of: None };
        event(at, What::Stack(stack))
    }

    fn socket(at: u64, op: u8, route: Option<&str>) -> Event {
        let route = route.map(Route::from);
        event(at, What::Socket { op: SockOp { conn: 1, op, ret: 5, ..SockOp::default() }, route })
    }

    fn profile(events: &[Event]) -> Profile {
        let (mut clock, mut profile, mut done) = (RequestClock::new(), Profile::default(), Vec::new());
        for event in events {
            clock.apply(event, &mut done);
            profile.event(event);
        }
        clock.finish(Ns(1_000_000), &mut done);
        for request in &done {
            profile.request(request);
        }
        profile
    }

    fn ids() -> [StackId; 2] {
        let mut traces = Traces::default();
        [1, 2].map(|address| traces.intern(Trace { user: vec![address], ..Trace::default() }).unwrap())
    }

    fn begin() -> Vec<Event> {
        vec![
            event(1, What::Thread(Thread { how: born::FOUND, running: 1, ..Thread::default() })),
            event(
                2,
                What::Conn(Conn { id: 1, sock: 5, established: 1, role: role::SERVER, ..Conn::default() }),
            ),
        ]
    }

    fn times(profile: &Profile, state: State, route: Option<&str>) -> FxHashMap<StackId, f64> {
        let slices = route.map_or(&profile.all, |route| &profile.routes[route]);
        profile.by_stack(&slices[state as usize])
    }

    /// One wait of three has a stack: it stands for all three, and the profile sums to the state.
    #[test]
    fn a_wait_without_a_stack_counts_for_those_of_its_place() {
        let [first, _] = ids();
        let mut events = begin();
        events.extend([
            socket(100, op::RECV, Some("GET /a")),
            wait(200, 300),
            stack(400, Taken::OffCpu, first),
            wait(400, 600),
            wait(700, 800),
            socket(900, op::SEND, None),
        ]);
        let profile = profile(&events);
        for route in [None, Some("GET /a")] {
            let times = times(&profile, State::Lock, route);
            assert_eq!(times.len(), 1);
            assert!((times[&first] - 400.0).abs() < 1e-9, "{times:?}");
        }
    }

    /// What another route does in the same place does not colour a route that has stacks of its own.
    #[test]
    fn routes_keep_their_own_stacks() {
        let [first, second] = ids();
        let mut events = begin();
        for (base, route, id) in [(1_000, "GET /a", first), (2_000, "GET /b", second)] {
            events.extend([
                socket(base + 100, op::RECV, Some(route)),
                stack(base + 200, Taken::OffCpu, id),
                wait(base + 200, base + 500),
                socket(base + 600, op::SEND, None),
            ]);
        }
        let profile = profile(&events);
        assert_eq!(times(&profile, State::Lock, Some("GET /b")).keys().collect::<Vec<_>>(), [&second]);
        assert_eq!(times(&profile, State::Lock, None).len(), 2);
    }

    /// Waits for one lock do not colour another one's stacks.
    #[test]
    fn locks_keep_their_own_stacks() {
        let [first, second] = ids();
        let mut events = begin();
        for (base, futex, id) in [(1_000, 0x77, first), (2_000, 0x99, second)] {
            let What::OffCpu(wait) = wait(base + 200, base + 500).what else { unreachable!() };
            let wait = OffCpu { args: [futex, 0, 0], ..wait };
            events.extend([
                socket(base + 100, op::RECV, Some("GET /a")),
                stack(base + 200, Taken::OffCpu, id),
                event(base + 500, What::OffCpu(wait)),
                socket(base + 600, op::SEND, None),
            ]);
        }
        let waits = profile(&events).lock_waits();
        let stacks: Vec<(u64, Vec<StackId>)> =
            waits.iter().map(|(place, times)| (place.futex, times.keys().copied().collect())).collect();
        assert_eq!(stacks, [(0x77, vec![first]), (0x99, vec![second])]);
    }

    /// Three samples stand for the time on the CPU, whatever lay between them.
    #[test]
    fn samples_share_the_time_on_the_cpu_by_their_number() {
        let [first, second] = ids();
        let mut events = begin();
        events.extend([
            socket(100, op::RECV, Some("GET /a")),
            stack(110, Taken::OnCpu, first),
            stack(400, Taken::OnCpu, second),
            stack(410, Taken::OnCpu, first),
            socket(700, op::SEND, None),
        ]);
        let times = times(&profile(&events), State::OnCpu, None);
        assert!((times[&first] - 400.0).abs() < 1e-9 && (times[&second] - 200.0).abs() < 1e-9, "{times:?}");
    }
}
