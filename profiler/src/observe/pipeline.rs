//! Bytes to a window: everything behind the ring, live or from a file. Pure.

use whywait_ebpf::abi::{Header, Plain};

use crate::{
    clock::{Request, RequestClock, RequestId, Tally},
    cpu::CpuWaits,
    decode::{Event, Gaps, Reorder, Routes, Traces, Unwind, What, decode},
    explain::Ledger,
    fingerprint::Behaviour,
    live::History,
    locks::Locks,
    recording::{self, Present},
    stacks::Profile,
    units::{Ns, Pid, Tid},
    window::Window,
};

/// How far two CPUs' records may be out of order: an interrupt between taking the time and reserving room is far shorter.
const SLACK: u64 = 2_000_000;

/// Connections that are open at once, at most: more than any server that is watched has, but a file can say so.
const CONNECTIONS: usize = 1 << 18;

/// Nanoseconds of the records' own time after which finished requests are handed on. Whatever pieces the records come in, they are
/// handed on between the same two events.
const TOGETHER: u64 = 50_000_000;
/// Finished requests after which they are handed on earlier: what has just been written is still near the CPU.
const MANY: usize = 512;

/// Is told what goes through a pipeline, while it does.
pub trait Listener: Send {
    /// An event, in order; `serving` is the request that its thread works for by what is known before it.
    fn event(&mut self, _event: &Event, _serving: Option<RequestId>) {}

    /// A finished request.
    fn request(&mut self, request: &Request);
}

impl<F: FnMut(&Request) + Send> Listener for F {
    fn request(&mut self, request: &Request) {
        self(request);
    }
}

/// Who is told.
pub type Sink = Box<dyn Listener>;

/// Several who are told the same, in turn.
struct Several(Vec<Sink>);

impl Listener for Several {
    fn event(&mut self, event: &Event, serving: Option<RequestId>) {
        self.0.iter_mut().for_each(|sink| sink.event(event, serving));
    }

    fn request(&mut self, request: &Request) {
        self.0.iter_mut().for_each(|sink| sink.request(request));
    }
}

/// All of these as one, if there are any.
pub fn together(sinks: impl IntoIterator<Item = Sink>) -> Option<Sink> {
    let mut sinks: Vec<Sink> = sinks.into_iter().collect();
    if sinks.len() > 1 { Some(Box::new(Several(sinks))) } else { sinks.pop() }
}

/// Decoding, order, clock and window in a row.
pub struct Pipeline {
    routes: Routes,
    gaps: Gaps,
    order: Reorder,
    clock: RequestClock,
    window: Window,
    behaviour: Behaviour,
    ledger: Ledger,
    locks: Locks,
    cpu: CpuWaits,
    done: Vec<Request>,
    pass_at: Ns,
    /// Time of the newest record, where what is present is kept.
    newest: u64,
    sink: Option<Sink>,
    /// What a run that is shown keeps beside its window.
    history: Option<Box<History>>,
    /// What a window begins with that follows another one.
    present: Option<Box<Present>>,
    unreadable: u64,
    /// Tallies, and unreadable records, at the last turn.
    turned: (Tally, u64),
    slice: Option<(Ns, Ns)>,
    in_slice: u64,
    traces: Traces,
    profile: Profile,
}

impl Pipeline {
    /// A pipeline whose window begins at `begin`.
    pub fn new(begin: Ns, sink: Option<Sink>) -> Self {
        Self {
            routes: Routes::default(),
            gaps: Gaps::default(),
            order: Reorder::new(SLACK),
            clock: RequestClock::new(),
            window: Window::new(begin),
            behaviour: Behaviour::new(begin),
            ledger: Ledger::default(),
            locks: Locks::default(),
            cpu: CpuWaits::new(begin),
            done: Vec::new(),
            pass_at: Ns(0),
            newest: 0,
            sink,
            history: None,
            present: None,
            unreadable: 0,
            turned: (Tally::default(), 0),
            slice: None,
            in_slice: 0,
            traces: Traces::default(),
            profile: Profile::default(),
        }
    }

    /// Takes records one after the other, as the reader hands them on; `unwind` finds the callers in the stacks among them.
    pub fn records(&mut self, mut bytes: &[u8], unwind: &mut dyn Unwind) {
        // What is held back is shown to the rest where it lies.
        let mut order = std::mem::take(&mut self.order);
        while let Some(header) = Header::from_bytes(bytes) {
            let length = header.len as usize;
            if length < size_of::<Header>() || length > bytes.len() {
                break;
            }
            let (record, rest) = bytes.split_at(length);
            // The ring aligns its records to eight bytes, and so do the layouts.
            bytes = rest;
            let is_taken = match decode(record, &mut self.routes) {
                Ok(event) => order.push_if(event, |event| {
                    let is_believed = self.is_believed(&header, record, event);
                    if is_believed {
                        self.traces.number(event, unwind);
                    }
                    is_believed
                }),
                Err(_) => false,
            };
            self.unreadable += u64::from(!is_taken);
            order.pass(|event| self.take(event));
        }
        self.order = order;
        self.unreadable += u64::from(!bytes.is_empty());
    }

    /// Whether an event is taken; what is missing before it is noted in it.
    fn is_believed(&mut self, header: &Header, record: &[u8], event: &mut Event) -> bool {
        if let Some(present) = &mut self.present {
            present.record(header, record);
            self.newest = self.newest.max(header.ts);
        }
        let is_full = matches!(event.what, What::Conn(_)) && self.clock.connections() >= CONNECTIONS;
        !is_full && self.gaps.check(event)
    }

    /// Finished requests keep their states one after the other, not only the sums.
    pub fn keep_paths(&mut self) {
        self.clock.keep_paths();
    }

    /// From now on the last minutes are kept for the screen as well.
    pub fn keep_history(&mut self, history: History) {
        self.clock.keep_paths();
        self.history = Some(Box::new(history));
        self.keep_present();
    }

    /// From now on the window can be ended, and another one begun.
    pub fn keep_present(&mut self) {
        self.present = Some(Box::default());
    }

    /// Threads and connections that there are, as records of a moment that is no later than that of any record to come.
    pub fn present(&self) -> Vec<u8> {
        self.present.as_ref().map(|present| present.records(self.newest)).unwrap_or_default()
    }

    /// Whether a thread works for a request.
    pub fn is_busy(&self, tid: Tid) -> bool {
        self.clock.works_for(tid).is_some()
    }

    /// The last minutes, where they are kept.
    pub fn history(&mut self) -> Option<&mut History> {
        self.history.as_deref_mut()
    }

    /// Nothing has come for longer than the reader waits: what is held back for its order is passed on.
    pub fn idle(&mut self) {
        let mut order = std::mem::take(&mut self.order);
        order.pass_all(|event| self.take(event));
        self.order = order;
        self.pass_on();
    }

    /// Finishes requests that were answered before this moment.
    pub fn settle(&mut self, before: Ns) {
        self.clock.settle(before, &mut self.done);
        self.pass_on();
    }

    /// Requests that are not answered: how many, and when the oldest of them began.
    pub fn in_flight(&self) -> (usize, Option<Ns>) {
        self.clock.in_flight()
    }

    /// Ends the window, begins the one that follows at once, and returns the one that has ended, with all that is told from it. The new one
    /// begins with what is known of threads and connections, as a run does that is attached to a server.
    #[must_use]
    pub fn turn(&mut self, at: Ns) -> Self {
        self.pass_on();
        let (mut behaviour, mut ledger, mut locks, mut cpu) =
            (Behaviour::new(at), Ledger::default(), Locks::default(), CpuWaits::new(at));
        for (_, record) in recording::records(&self.present()) {
            let Ok(event) = decode(record, &mut self.routes) else { continue };
            let event = Event { at, ..event };
            behaviour.event(&event);
            ledger.event(&event);
            locks.event(&event);
            cpu.event(&event);
        }
        let (tally, unreadable) = std::mem::replace(&mut self.turned, (self.clock.tally(), self.unreadable));
        let mut past = Self {
            clock: RequestClock::with_tally(self.clock.tally().since(tally)),
            window: self.window.turn(at),
            behaviour: std::mem::replace(&mut self.behaviour, behaviour),
            ledger: std::mem::replace(&mut self.ledger, ledger),
            locks: std::mem::replace(&mut self.locks, locks),
            cpu: std::mem::replace(&mut self.cpu, cpu),
            profile: std::mem::take(&mut self.profile),
            traces: self.traces.clone(),
            unreadable: self.unreadable - unreadable,
            slice: self.slice,
            in_slice: self.in_slice,
            ..Self::new(at, None)
        };
        past.behaviour.close(at);
        self.in_slice = 0;
        past
    }

    /// Records were lost: what is open cannot be trusted.
    pub fn loss(&mut self) {
        self.clock.loss();
    }

    /// Ends the window: nothing that was over later belongs to it.
    pub fn finish(&mut self, end: Ns) {
        let mut order = std::mem::take(&mut self.order);
        order.pass_all(|event| {
            if event.at <= end {
                self.take(event);
            }
        });
        self.order = order;
        let owed = self.gaps.finish();
        if owed > 0 {
            self.clock.missing(owed);
        }
        let before = self.done.len();
        self.clock.finish(end, &mut self.done);
        self.tell_locks(before);
        self.pass_on();
        self.window.close(end);
        self.behaviour.close(end);
    }

    /// Takes events that are in order, for tests of what listens.
    #[cfg(test)]
    pub fn feed(&mut self, events: &[Event]) {
        for event in events {
            self.take(event);
        }
        self.pass_on();
    }

    fn take(&mut self, event: &Event) {
        if event.at >= self.pass_at || self.done.len() >= MANY {
            self.pass_on();
            self.pass_at = event.at.plus(TOGETHER);
        }
        let serving = (self.history.is_some() || self.sink.is_some())
            .then(|| self.clock.works_for(event.tid))
            .flatten();
        if let Some(history) = &mut self.history {
            history.event(event, serving);
        }
        if let Some(sink) = &mut self.sink {
            sink.event(event, serving);
        }
        let before = self.done.len();
        self.clock.apply(event, &mut self.done);
        self.tell_locks(before);
        self.window.event(event);
        self.behaviour.event(event);
        self.ledger.event(event);
        self.profile.event(event);
        self.locks.event(event);
        self.cpu.event(event);
    }

    /// Finished requests but the first so many go to the locks at once, which do not keep waits for long.
    fn tell_locks(&mut self, but: usize) {
        for request in &self.done[but..] {
            self.locks.request(request);
        }
    }

    fn pass_on(&mut self) {
        for hold in self.clock.holds() {
            self.ledger.hold(hold);
        }
        for request in &mut self.done {
            self.window.request(request);
            if let Some(history) = &mut self.history {
                history.request(request);
            }
            self.behaviour.request(request);
            self.ledger.request(request);
            self.profile.request(request);
            self.in_slice +=
                u64::from(self.slice.is_some_and(|(from, to)| request.end >= from && request.end <= to));
            if let Some(sink) = &mut self.sink {
                sink.request(request);
            }
            self.ledger.keep(request);
        }
        self.done.clear();
    }

    /// Requests are counted that end between these moments, of those that are still to come.
    pub fn count_between(&mut self, from: Ns, to: Ns) {
        self.slice = Some((from, to));
    }

    /// Requests that ended in the slice.
    pub fn in_slice(&self) -> u64 {
        self.in_slice
    }

    /// The window.
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// What the model is told from.
    pub fn behaviour(&self) -> &Behaviour {
        &self.behaviour
    }

    /// What findings are told from, beside the window.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Stacks, by number.
    pub fn traces(&self) -> &Traces {
        &self.traces
    }

    /// Which stacks requests spend their time in.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Locks that requests waited for.
    pub fn locks(&self) -> &Locks {
        &self.locks
    }

    /// The same, to name them.
    pub fn locks_mut(&mut self) -> &mut Locks {
        &mut self.locks
    }

    /// Waits for a CPU.
    pub fn cpu(&self) -> &CpuWaits {
        &self.cpu
    }

    /// Processes that had a CPU that the target waited for, and of which nothing was told yet.
    pub fn fresh_takers(&mut self) -> Vec<Pid> {
        self.cpu.fresh()
    }

    /// What the clock counted beside the requests.
    pub fn tally(&self) -> Tally {
        self.clock.tally()
    }

    /// Records that were later than the order allows for.
    pub fn late(&self) -> u64 {
        self.order.late()
    }

    /// Records that could not be read.
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }
}
