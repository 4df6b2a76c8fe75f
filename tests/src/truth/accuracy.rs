//! How well whywait's requests agree with the server's records.

use std::collections::BTreeMap;
use std::fmt;

use demo_servers::truth::{Kind, Record};
use serde::Serialize;
use whywait::clock::{Request, State};

use super::join::{Joined, Pair, join};

/// Times agree within this share of the truth…
const SHARE: f64 = 0.02;
/// …or within this: two time stamps of the server and what it does between them and its system calls.
const LEAST_NS: u64 = 30_000;
/// Planted time of a route, in nanoseconds, that says nothing: a few microseconds for each request, in which the server has
/// waited for a CPU and for nothing else.
pub const LEAST_PLANTED: u64 = 5_000_000;

/// Agreement over the requests of one route. Times are in nanoseconds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Accuracy {
    /// Requests that the client got answered.
    pub answered: u64,
    /// Requests that whywait found.
    pub found: u64,
    /// Requests that both sides have.
    pub joined: u64,
    /// Of these: latency and end within 2 % or 30 µs of the truth.
    pub latency_right: u64,
    /// Of these: the route has its name.
    pub named: u64,
    /// Of these: the thread that wrote the answer is among the owners.
    pub owner_right: u64,
    /// Time that the server says it planted.
    pub planted: u64,
    /// As much of it as was found in its state.
    pub placed: u64,
    /// As much of it as was found in the state of another wait.
    pub misplaced: u64,
    /// Everything that was found, by state.
    pub states: BTreeMap<&'static str, u64>,
    /// The requests whose latency is off.
    pub off: Vec<Off>,
}

/// A request whose latency is off. Times are in nanoseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Off {
    /// From the end of whywait's first read to the server's beginning.
    pub before: i64,
    /// From whywait's end to the server's.
    pub after: i64,
    /// The latency, as the server says.
    pub latency: u64,
    /// How long it waited for a CPU, as whywait found.
    pub run_queue: u64,
}

impl Accuracy {
    /// Compares the records of a route with what was found for it.
    pub fn of(answered: u64, records: &[Record], found: &[Request]) -> Self {
        let joined = join(records, found);
        let mut accuracy = Self {
            answered,
            found: found.len() as u64,
            joined: joined.pairs.len() as u64,
            ..Self::default()
        };
        let Joined { pairs, .. } = joined;
        for pair in &pairs {
            if latency_is_right(pair) {
                accuracy.latency_right += 1;
            } else {
                accuracy.off.push(off(pair));
            }
            accuracy.named += u64::from(is_named(pair));
            accuracy.owner_right += u64::from(owner_is_right(pair));
            let planted = pair.truth.planted_ns;
            let placed = placed(pair);
            accuracy.planted += planted;
            accuracy.placed += placed;
            accuracy.misplaced += (planted - placed).min(other_waits(pair));
            for (state, time) in pair.found.times.iter() {
                *accuracy.states.entry(state.id()).or_default() += time;
            }
        }
        accuracy
    }

    /// Whether all requests that were answered were found, and no others.
    pub fn is_exact(&self) -> bool {
        self.found == self.answered && self.joined == self.answered
    }

    /// Requests, in percent, whose latency is right.
    pub fn latency_percent(&self) -> f64 {
        percent(self.latency_right, self.joined)
    }

    /// Requests, in percent, whose owner is right.
    pub fn owner_percent(&self) -> f64 {
        percent(self.owner_right, self.joined)
    }

    /// Planted time, in percent, that is in its state.
    pub fn placed_percent(&self) -> f64 {
        percent(self.placed, self.planted)
    }

    /// Planted time, in percent, that is in the state of another wait.
    pub fn misplaced_percent(&self) -> f64 {
        percent(self.misplaced, self.planted)
    }
}

/// What matters of it, in a line.
impl fmt::Display for Accuracy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} answered, {} found, {} joined, {} of them with their route, {} with the right latency, {} with the right owner; {} µs planted, {} found in their \
             state, {} in that of another wait; in µs",
            self.answered,
            self.found,
            self.joined,
            self.named,
            self.latency_right,
            self.owner_right,
            self.planted / 1000,
            self.placed / 1000,
            self.misplaced / 1000
        )?;
        for (state, time) in self.states.iter().filter(|(_, time)| **time > 0) {
            write!(f, " {state} {}", time / 1000)?;
        }
        for off in self.off.iter().take(3) {
            write!(
                f,
                "; off: {} ns from the read to the beginning, {} from one end to the other, of {}, {} of them without a CPU",
                off.before, off.after, off.latency, off.run_queue
            )?;
        }
        Ok(())
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64 * 100.0
}

/// The truth begins when the read has returned that completed the request, so from whywait's side the time since that is
/// what compares.
fn latency_is_right(pair: &Pair) -> bool {
    let truth = pair.truth.end_ns.0 - pair.truth.start_ns.0;
    let found = pair.found.end.since(pair.found.first_read);
    let bound = ((truth as f64 * SHARE) as u64).max(LEAST_NS);
    found.abs_diff(truth) <= bound && pair.found.end.0.abs_diff(pair.truth.end_ns.0) <= bound
}

fn off(pair: &Pair) -> Off {
    let Pair { truth, found } = pair;
    Off {
        before: truth.start_ns.0 as i64 - found.first_read.0 as i64,
        after: truth.end_ns.0 as i64 - found.end.0 as i64,
        latency: truth.end_ns.0 - truth.start_ns.0,
        run_queue: found.times[State::RunQueue],
    }
}

fn owner_is_right(pair: &Pair) -> bool {
    pair.found.threads.iter().any(|tid| u32::try_from(pair.truth.tid) == Ok(tid.0))
}

fn is_named(pair: &Pair) -> bool {
    pair.found.route.as_deref().and_then(|route| route.strip_prefix("GET "))
        == Some(pair.truth.route.as_str())
}

/// States in which planted time belongs. Files and memory have kernel locks (a journal's, `mmap_lock`): who waits for one while another
/// thread has the disk is off the CPU in the same call, which is all that the server can tell of itself.
fn states_of(kind: Kind) -> &'static [State] {
    match kind {
        Kind::OnCpu => &[State::OnCpu],
        Kind::Sleep => &[State::Sleep],
        Kind::Lock => &[State::Lock],
        Kind::Disk => &[State::Disk, State::KernelLock],
        Kind::Downstream => &[State::Downstream],
        Kind::PageFault => &[State::PageFault, State::KernelLock],
    }
}

/// How much of the planted time is in its state. All but CPU time is wall time, and includes the waits for a CPU on the way.
fn placed(pair: &Pair) -> u64 {
    let times = &pair.found.times;
    let waits = if pair.truth.kind == Kind::OnCpu { 0 } else { times[State::RunQueue] };
    let own: u64 = states_of(pair.truth.kind).iter().map(|state| times[*state]).sum();
    (own + waits).min(pair.truth.planted_ns)
}

/// Time in states that say that the request waited for something else than what was planted.
fn other_waits(pair: &Pair) -> u64 {
    use State::{Child, Disk, Downstream, KernelLock, Lock, PageFault, Send, Sleep};
    let own = states_of(pair.truth.kind);
    let waits = [Lock, KernelLock, Disk, PageFault, Downstream, Child, Sleep, Send];
    waits.into_iter().filter(|state| !own.contains(state)).map(|state| pair.found.times[state]).sum()
}

#[cfg(test)]
pub(super) mod tests {
    use demo_servers::clock::MonotonicNs;
    use whywait::clock::{Called, Parts, RequestId, StartedAt, StateTimes};
    use whywait::decode::ConnId;
    use whywait::units::{Bytes, Ns, Pid, Tid};

    use super::*;

    pub fn record(port: u16, start: u64, end: u64) -> Record {
        Record {
            tid: 7,
            port,
            route: "/sleep".to_owned(),
            start_ns: MonotonicNs(start),
            end_ns: MonotonicNs(end),
            planted_ns: 0,
            kind: Kind::Sleep,
        }
    }

    pub fn found(port: u16, first_read: u64, end: u64) -> Request {
        Request {
            id: RequestId(0),
            conn: ConnId(0),
            pid: Pid(7),
            threads: [Tid(7)].into_iter().collect(),
            route: None,
            port: 80,
            peer_port: port,
            start: Ns(first_read),
            started_at: StartedAt::Read,
            first_read: Ns(first_read),
            end: Ns(end),
            times: StateTimes::default(),
            called: Called::default(),
            parts: Parts::default(),
            lock_waits: Vec::new(),
            received: Bytes(0),
            sent: Bytes(0),
            touched_by_loss: false,
            path: Vec::new(),
            owners: Vec::new(),
        }
    }

    /// 2 % of a long request, 30 µs of a short one; the end alone may not be off either.
    #[test]
    fn latency_is_compared_from_the_read_on() {
        let ms = 1_000_000;
        let right = |first_read, end, truth_end| {
            let accuracy = Accuracy::of(1, &[record(1, 10 * ms, truth_end)], &[found(1, first_read, end)]);
            (accuracy.latency_right, accuracy.is_exact())
        };
        assert_eq!(right(10 * ms - 29_000, 10 * ms + 100_000, 10 * ms + 100_000), (1, true));
        assert_eq!(right(10 * ms - 31_000, 10 * ms + 100_000, 10 * ms + 100_000), (0, true));
        assert_eq!(right(9 * ms, 110 * ms, 110 * ms), (1, true));
        assert_eq!(right(9 * ms, 109 * ms - 1_500_000, 110 * ms), (0, true));
    }

    /// A wait for a CPU after the timer belongs to the planted wall time; what is a lock instead is in the wrong place.
    #[test]
    fn planted_time_is_looked_for_in_its_state() {
        let mut request = found(1, 0, 100);
        request.times[State::Sleep] = 50;
        request.times[State::RunQueue] = 10;
        request.times[State::Lock] = 15;
        request.times[State::AppQueue] = 25;
        let truth = Record { planted_ns: 90, ..record(1, 0, 100) };
        let accuracy = Accuracy::of(1, &[truth], &[request]);
        assert_eq!((accuracy.placed, accuracy.misplaced, accuracy.planted), (60, 15, 90));
        assert_eq!(accuracy.owner_right, 1);
    }
}
