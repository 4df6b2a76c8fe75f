//! Sums over requests and waits for work: queues, lags, busy workers, requests in flight.

use rustc_hash::{FxHashMap, FxHashSet};
use whywait_ebpf::hist;

use super::{
    facts::ConnFacts,
    verdict::{Lag, Little},
};
use crate::{
    clock::{Request, State},
    units::{Ns, Pid, Tid, fmt_count},
    window::Overlap,
};

/// Waits for work that are kept to tell when all workers were busy.
const MOST_IDLE: usize = 1 << 20;
/// Threads whose lag is kept.
const MOST_LOOPS: usize = 256;
/// How far the two sides of Little's law may be apart, as a share of the larger one…
const APART: f64 = 0.05;
/// …or in requests.
const APART_REQUESTS: f64 = 0.05;

/// How long requests waited for a reader.
#[derive(Clone, Debug)]
struct Delays {
    buckets: Box<[u32; hist::BUCKETS]>,
    count: u64,
    total: u64,
    max: u64,
}

impl Default for Delays {
    fn default() -> Self {
        Self { buckets: Box::new([0; hist::BUCKETS]), count: 0, total: 0, max: 0 }
    }
}

impl Delays {
    fn add(&mut self, ns: u64) {
        self.buckets[hist::index(ns)] += 1;
        self.count += 1;
        self.total += ns;
        self.max = self.max.max(ns);
    }

    fn lag(&self) -> Lag {
        let rank = (self.count * 99).div_ceil(100);
        let mut seen = 0;
        let p99 = self.buckets.iter().position(|count| {
            seen += u64::from(*count);
            seen >= rank.max(1)
        });
        Lag {
            mean: self.total as f64 / self.count.max(1) as f64 / 1e3,
            p99: p99.map_or(0, |index| hist::upper(index).min(self.max)) as f64 / 1e3,
            max: self.max as f64 / 1e3,
        }
    }
}

/// A wait for work.
#[derive(Clone, Copy, Debug)]
struct Idle {
    pid: Pid,
    tid: Tid,
    from: Ns,
    to: Ns,
}

/// How long workers were busy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Busy {
    /// Share of their time in which they did not wait for work.
    pub utilisation: f64,
    /// Share of the window in which none of them did.
    pub all: f64,
}

/// The sums.
#[derive(Debug, Default)]
pub(super) struct Figures {
    lags: FxHashMap<Tid, Delays>,
    idle: Vec<Idle>,
    /// Since when waits for work are no longer kept.
    idle_until: Option<Ns>,
    before_read: Overlap,
    in_application: Overlap,
    /// Nanoseconds of turns, whether the clock made requests of them or not.
    turns_ns: u64,
    latency_ns: u64,
    pub requests: u64,
    pub touched_by_loss: u64,
    began_before: u64,
    open_at_end: u64,
}

impl Figures {
    pub fn request(&mut self, request: &Request) {
        self.requests += 1;
        self.latency_ns += request.latency();
        self.touched_by_loss += u64::from(request.touched_by_loss);
        let accepting = request.times[State::AcceptQueue];
        let unread = request.first_read.since(request.start).saturating_sub(accepting);
        if let Some(reader) = request.threads.first()
            && (self.lags.len() < MOST_LOOPS || self.lags.contains_key(reader))
        {
            self.lags.entry(*reader).or_default().add(unread);
        }
        self.before_read.add(request.start, request.first_read);
        let queued = request.times[State::AppQueue];
        self.in_application.add(request.first_read, request.first_read.plus(queued));
    }

    /// A connection's turn is over, or the window: counted by what was read and written, apart from the clock.
    pub fn turn(&mut self, conn: &mut ConnFacts, begin: Ns, at: Ns) {
        let end = match (conn.reader, conn.last_send.take()) {
            (Some(_), _) => {
                self.open_at_end += 1;
                at
            }
            (None, Some(sent)) => sent,
            (None, None) => return,
        };
        if conn.turns == 0 {
            return;
        }
        self.began_before += u64::from(conn.arrival < begin);
        self.turns_ns += end.since(conn.arrival.max(begin));
    }

    /// A thread waited for work.
    pub fn idle(&mut self, pid: Pid, tid: Tid, from: Ns, to: Ns) {
        if self.idle.len() < MOST_IDLE {
            self.idle.push(Idle { pid, tid, from, to });
        } else {
            self.idle_until.get_or_insert(from);
        }
    }

    /// How long what a thread read had waited for it.
    pub fn lag(&self, tid: Tid) -> Option<Lag> {
        self.lags.get(&tid).map(Delays::lag)
    }

    /// Requests that nobody had read, or that nobody worked on: mean and most at once.
    pub fn queue(&self, begin: Ns, end: Ns, in_application: bool) -> (f64, usize) {
        let (mean, most) = self.before_read.mean_and_max(begin, end);
        if !in_application {
            return (mean, most);
        }
        let (more, most_inside) = self.in_application.mean_and_max(begin, end);
        (mean + more, most.max(most_inside))
    }

    /// How busy workers were: threads, or processes of one thread each.
    pub fn busy(&self, workers: &FxHashSet<Tid>, begin: Ns, end: Ns) -> Busy {
        let end = self.idle_until.map_or(end, |until| until.min(end));
        let window = end.since(begin);
        if window == 0 || workers.is_empty() {
            return Busy { utilisation: 0.0, all: 0.0 };
        }
        let mine = |idle: &&Idle| workers.contains(&idle.tid) || workers.contains(&idle.pid.main_thread());
        let mut edges: Vec<(Ns, i32)> = Vec::new();
        let mut total = 0;
        for idle in self.idle.iter().filter(mine) {
            let (from, to) = (idle.from.clamp(begin, end), idle.to.clamp(begin, end));
            total += to.since(from);
            if to > from {
                edges.extend([(from, 1), (to, -1)]);
            }
        }
        edges.sort_unstable_by_key(|(at, step)| (*at, -*step));
        let (mut waiting, mut since, mut none) = (0, begin, 0);
        for (at, step) in edges {
            if waiting == 0 {
                none += at.since(since);
            }
            waiting += step;
            since = at;
        }
        none += end.since(since);
        Busy {
            utilisation: (1.0 - total as f64 / window as f64 / workers.len() as f64).clamp(0.0, 1.0),
            all: none as f64 / window as f64,
        }
    }

    /// Little's law: requests in flight, counted by reads and writes, against the clock's rate times latency.
    pub fn little(&self, begin: Ns, end: Ns) -> Option<Little> {
        let window = end.since(begin);
        if self.requests == 0 || window == 0 {
            return None;
        }
        let in_flight = self.turns_ns as f64 / window as f64;
        let rate_times_latency = self.latency_ns as f64 / window as f64;
        let apart = (in_flight - rate_times_latency).abs();
        let holds = apart <= APART_REQUESTS || apart <= APART * in_flight.max(rate_times_latency);
        let why = if holds { String::new() } else { self.why_apart(in_flight > rate_times_latency) };
        Some(Little { in_flight, rate_times_latency, holds, why })
    }

    fn why_apart(&self, more_in_flight: bool) -> String {
        let cause = if self.touched_by_loss > 0 {
            format!("{} requests were touched by lost records", fmt_count(self.touched_by_loss))
        } else if more_in_flight && self.open_at_end > 0 {
            format!(
                "{} requests were read and not answered by the end, so that their time counts and they do not: the \
                 server does not keep up, or the window is short",
                fmt_count(self.open_at_end)
            )
        } else if !more_in_flight && self.began_before > 0 {
            format!(
                "{} requests began before the window, which counts them whole: it is short for their latency",
                fmt_count(self.began_before)
            )
        } else {
            "connections were open before, and what was asked on them then is not known".to_owned()
        };
        format!("{cause}.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_workers_are_busy_when_none_waits() {
        let mut figures = Figures::default();
        figures.idle(Pid(1), Tid(2), Ns(0), Ns(50));
        figures.idle(Pid(1), Tid(3), Ns(25), Ns(75));
        figures.idle(Pid(9), Tid(9), Ns(0), Ns(100));
        let workers: FxHashSet<Tid> = [Tid(2), Tid(3)].into_iter().collect();
        assert_eq!(figures.busy(&workers, Ns(0), Ns(100)), Busy { utilisation: 0.5, all: 0.25 });
    }
}
