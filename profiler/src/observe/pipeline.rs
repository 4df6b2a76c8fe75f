//! Bytes to a window: everything behind the ring, live or from a file. Pure.

use whywait_ebpf::abi::{Header, Plain};

use crate::{
    clock::{Request, RequestClock, Tally},
    decode::{Event, Gaps, Reorder, Routes, Traces, Unwind, decode},
    explain::Ledger,
    fingerprint::Behaviour,
    locks::Locks,
    stacks::Profile,
    units::Ns,
    window::Window,
};

/// How far two CPUs' records may be out of order: an interrupt between taking the time and reserving room is far shorter.
const SLACK: u64 = 2_000_000;

/// Takes each finished request.
pub type Sink = Box<dyn FnMut(&Request)>;

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
    done: Vec<Request>,
    sink: Option<Sink>,
    unreadable: u64,
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
            done: Vec::new(),
            sink,
            unreadable: 0,
            slice: None,
            in_slice: 0,
            traces: Traces::default(),
            profile: Profile::default(),
        }
    }

    /// Takes records one after the other, as the reader hands them on; `unwind` finds the callers in the stacks among them.
    pub fn records(&mut self, mut bytes: &[u8], unwind: &mut dyn Unwind) {
        while let Some(header) = Header::from_bytes(bytes) {
            let length = header.len as usize;
            if length < size_of::<Header>() || length > bytes.len() {
                break;
            }
            let (record, rest) = bytes.split_at(length);
            // The ring aligns its records to eight bytes, and so do the layouts.
            bytes = rest;
            match decode(record, &mut self.routes) {
                Ok(mut event) => {
                    self.gaps.check(&mut event);
                    self.traces.number(&mut event, unwind);
                    self.order.push(event);
                    while let Some(event) = self.order.pop() {
                        self.take(&event);
                    }
                }
                Err(_) => self.unreadable += 1,
            }
        }
        self.unreadable += u64::from(!bytes.is_empty());
        self.pass_on();
    }

    /// Records were lost: what is open cannot be trusted.
    pub fn loss(&mut self) {
        self.clock.loss();
    }

    /// Ends the window: nothing that was over later belongs to it.
    pub fn finish(&mut self, end: Ns) {
        while let Some(event) = self.order.take() {
            if event.at <= end {
                self.take(&event);
            }
        }
        let owed = self.gaps.finish();
        if owed > 0 {
            self.clock.missing(owed);
        }
        self.clock.finish(end, &mut self.done);
        self.pass_on();
        self.window.close(end);
        self.behaviour.close(end);
    }

    fn take(&mut self, event: &Event) {
        self.clock.apply(event, &mut self.done);
        self.window.event(event);
        self.behaviour.event(event);
        self.ledger.event(event);
        self.profile.event(event);
        self.locks.event(event);
    }

    fn pass_on(&mut self) {
        for hold in self.clock.holds() {
            self.ledger.hold(hold);
        }
        for request in self.done.drain(..) {
            self.window.request(&request);
            self.behaviour.request(&request);
            self.ledger.request(&request);
            self.profile.request(&request);
            self.locks.request(&request);
            self.in_slice +=
                u64::from(self.slice.is_some_and(|(from, to)| request.end >= from && request.end <= to));
            if let Some(sink) = &mut self.sink {
                sink(&request);
            }
        }
    }

    /// From now on requests are counted that end in a slice of the run.
    pub fn begin_slice(&mut self, at: Ns) {
        self.slice = Some((at, Ns(u64::MAX)));
    }

    /// The slice is over; requests that ended in it may still come.
    pub fn end_slice(&mut self, at: Ns) {
        if let Some((_, end)) = &mut self.slice {
            *end = at;
        }
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
