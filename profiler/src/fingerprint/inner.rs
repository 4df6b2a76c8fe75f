//! What a single process does: how its threads come to requests, and whose connections they are.

use rustc_hash::FxHashSet;

use super::{
    facts::{ProcessFacts, ThreadFacts},
    outside::ProcessOutside,
    wait::Wait,
};
use crate::{
    clock::is_one_place,
    units::{Ns, Tid, fmt_count, fmt_percent},
};

/// A thread that began fewer turns than this share does not count among the readers.
const NOISE: f64 = 0.01;
/// One thread reads (nearly) everything from here on.
const ALONE: f64 = 0.9;
/// Most of them.
const MOST: f64 = 0.5;
/// A mean of things that are one each, but for the edges of the window.
const ABOUT_ONE: f64 = 1.5;
/// Share of a thread's requests that it must have come to from a wait for events, to be a loop among several readers.
const BY_EVENTS: f64 = 0.05;
/// Share of requests for which a loop must have been called back by a thread, for that to be a pool of its.
const BY_POOL: f64 = 0.05;
/// The same for a loop so busy that it is not seen to wait: requests for which it woke a thread.
const HANDED_OUT: f64 = 0.2;
/// Share of turns in which readers change between connections, for them not to have one each.
const ALTERNATING: f64 = 0.1;
/// Threads that began this soon after their process were not made for a client, in nanoseconds.
const AT_START: u64 = 10_000_000;

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// One thread, one connection at a time.
    Iterative,
    /// A thread for each connection.
    PerConnection,
    /// A thread for each request.
    PerRequest,
    /// A pool of threads.
    Pool,
    /// One event loop.
    Loop,
    /// One event loop, and a pool behind it.
    LoopPool,
    /// Several event loops.
    Loops,
    /// Nothing that fits.
    Unknown,
}

/// What a process does, and what speaks for it.
#[derive(Clone, Debug)]
pub(super) struct Inner {
    pub kind: Kind,
    /// How sure that is.
    pub certainty: f64,
    pub evidence: Vec<String>,
    /// Threads that are event loops.
    pub loops: Vec<Tid>,
    /// Threads that work: those of a pool, or those with a connection or a request each.
    pub workers: FxHashSet<Tid>,
    /// Thread that accepts, or reads, and leaves the rest to others.
    pub acceptor: Option<Tid>,
}

impl Inner {
    fn new(kind: Kind, certainty: f64, evidence: String) -> Self {
        Self {
            kind,
            certainty,
            evidence: vec![evidence],
            loops: Vec::new(),
            workers: FxHashSet::default(),
            acceptor: None,
        }
    }

    fn and(mut self, evidence: Option<String>) -> Self {
        self.evidence.extend(evidence);
        self
    }

    fn with_workers<'a>(mut self, workers: impl IntoIterator<Item = &'a ThreadFacts>) -> Self {
        self.workers = workers.into_iter().map(|thread| thread.tid).collect();
        self
    }

    fn with_loops(mut self, loops: &[&ThreadFacts]) -> Self {
        self.loops = loops.iter().map(|thread| thread.tid).collect();
        self
    }
}

/// A process with its threads, those that have ended among them.
pub(super) struct Looked<'a> {
    pub process: &'a ProcessFacts,
    pub threads: Vec<&'a ThreadFacts>,
    pub outside: Option<&'a ProcessOutside>,
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// `1 thread`, `2 threads`.
pub(super) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", fmt_count(count), if count == 1 { one } else { many })
}

impl<'a> Looked<'a> {
    /// What the process does.
    pub fn inner(&self) -> Inner {
        if let Some(inner) = self.made_for_it() {
            return inner;
        }
        let Some(top) = self.threads.iter().copied().max_by_key(|thread| thread.reads) else {
            return Inner::new(Kind::Unknown, 0.0, "no thread was seen to read a request".to_owned());
        };
        if share(top.reads, self.process.turns) >= ALONE {
            self.one_reader(top)
        } else {
            self.several_readers()
        }
    }

    /// Threads that are born for a connection or a request.
    fn made_for_it(&self) -> Option<Inner> {
        let process = self.process;
        let made = share(process.by_born, process.answered);
        if made < MOST || process.serving_births == 0 {
            return None;
        }
        let born: Vec<&ThreadFacts> =
            self.threads.iter().copied().filter(|thread| thread.born && thread.answers > 0).collect();
        let conns: u64 = born.iter().map(|thread| thread.conns).sum();
        let conns_each = share(conns, born.len() as u64);
        let answers_each = share(process.by_born, process.serving_births);
        let split = share(process.split, process.answered);
        let changed = share(process.changed, process.kept);
        let acceptor = self.acceptor(&born);
        let births = format!(
            "{} were born for {} on {}",
            counted(process.serving_births, "thread that answers", "threads that answer"),
            counted(process.answered, "request", "requests"),
            counted(process.conns, "connection", "connections"),
        );
        let per_request = answers_each <= ABOUT_ONE && (split >= MOST || process.kept > 0 && changed >= MOST);
        let mut inner = if per_request {
            let how = if split >= MOST {
                let reader = self.threads.iter().max_by_key(|thread| thread.reads)?;
                format!("thread {} reads requests, and each is answered by a thread born for it", reader.tid)
            } else {
                format!(
                    "{} of the requests on a kept connection found another thread than the one before",
                    fmt_percent(changed)
                )
            };
            Inner::new(Kind::PerRequest, 0.97 * made.max(0.8), births).and(Some(how))
        } else if conns_each <= ABOUT_ONE {
            let kept = (process.kept > 0).then(|| {
                format!(
                    "on a kept connection the thread stayed the same in {} of cases",
                    fmt_percent(1.0 - changed)
                )
            });
            // With one request on each connection the two models differ by nothing but who reads.
            let certainty = if process.kept > 0 { 0.97 } else { 0.87 };
            Inner::new(Kind::PerConnection, certainty * made.max(0.8), births).and(kept)
        } else {
            // A pool that grows.
            return None;
        };
        inner.acceptor = acceptor;
        Some(inner.with_workers(born))
    }

    /// One thread reads everything.
    fn one_reader(&self, top: &'a ThreadFacts) -> Inner {
        let process = self.process;
        let reads = format!(
            "thread {} read {} of {}",
            top.tid,
            fmt_percent(share(top.reads, process.turns)),
            counted(process.turns, "request", "requests")
        );
        let blocks = blocking_reads(top);
        if top.polls > 0 || top.alternates > 0 {
            return self.one_loop(top, reads);
        }
        if top.waits[Wait::Epoll as usize] > 0 && blocks == 0 && top.waits[Wait::Accept as usize] == 0 {
            if let Some(spare) = self.spare_loops(top) {
                return Inner::new(Kind::Loops, 0.65, reads).and(Some(spare)).with_loops(&[top]);
            }
            // It never had two connections at once, so nothing shows that it could.
            return Inner::new(Kind::Loop, 0.65, reads)
                .and(Some(
                    "it waits in epoll and blocks on no connection, but never had two of them open at once"
                        .to_owned(),
                ))
                .with_loops(&[top]);
        }
        let takes = top.accepted > 0
            || top.waits[Wait::Accept as usize] > 0
            || process.conns > 1 && top.many_waits() + top.waits[Wait::One as usize] > 0;
        if !takes && let Some(acceptor) = self.acceptor(&[top]) {
            let mut inner = self.a_connection_each(&[top]);
            inner.acceptor = Some(acceptor);
            return inner;
        }
        let certainty = match (blocks + top.waits[Wait::Accept as usize], top.conns) {
            (0, ..=1) => 0.5,
            (0, _) => 0.8,
            (_, ..=1) => 0.85,
            _ => 0.95,
        };
        let how = format!(
            "it had {} after the other, and never another one open meanwhile",
            counted(top.conns, "connection, one", "connections, one")
        );
        let waits =
            (blocks > 0).then(|| format!("it blocked {} to read from one", counted(blocks, "time", "times")));
        Inner::new(Kind::Iterative, certainty, reads).and(Some(how)).and(waits).with_workers([top])
    }

    /// One thread that has many connections open.
    fn one_loop(&self, top: &'a ThreadFacts, reads: String) -> Inner {
        let process = self.process;
        let split = share(process.split, process.answered);
        let saturated = top.many_waits() * 4 < top.reads;
        let back = top.via_pool >= 3 && share(top.via_pool, top.answers) >= BY_POOL;
        let out = saturated && top.handed_out >= 5 && share(top.handed_out, top.reads) >= HANDED_OUT;
        let held = if top.polls > 0 {
            format!(
                "it waited {} for events of the connections that it held",
                counted(top.polls, "time", "times")
            )
        } else {
            "it never waited: there was always an event".to_owned()
        };
        let changes = (top.alternates > 0).then(|| {
            format!("it changed {} between open connections", counted(top.alternates, "time", "times"))
        });
        if let Some(spare) = self.spare_loops(top).filter(|_| split < HANDED_OUT) {
            return Inner::new(Kind::Loops, 0.7, reads).and(Some(held)).and(Some(spare)).with_loops(&[top]);
        }
        let certainty = if top.alternates > 0 { 0.95 } else { 0.85 };
        if !(back || out || split >= HANDED_OUT) {
            return Inner::new(Kind::Loop, certainty, reads).and(Some(held)).and(changes).with_loops(&[top]);
        }
        let workers: Vec<&ThreadFacts> = self.pool_of(top).collect();
        let how = if split >= HANDED_OUT {
            format!("{} of the answers were written by other threads", fmt_percent(split))
        } else if back {
            format!(
                "for {} of its answers a thread had to call it back",
                fmt_percent(share(top.via_pool, top.answers))
            )
        } else {
            format!("it woke a thread for {} of the requests", fmt_percent(share(top.handed_out, top.reads)))
        };
        let pool = idle_place(&workers).or_else(|| {
            (!workers.is_empty())
                .then(|| format!("{} with it", counted(workers.len() as u64, "thread works", "threads work")))
        });
        Inner::new(Kind::LoopPool, certainty.min(0.93), reads)
            .and(Some(how))
            .and(pool)
            .and(Some(held))
            .with_loops(&[top])
            .with_workers(workers)
    }

    /// Threads that could do what a loop does, and were not needed: of the same name, and waiting for events or each in a place of
    /// its own, which no pool does. The first thread of a process has the name of all that have none.
    fn spare_loops(&self, top: &ThreadFacts) -> Option<String> {
        if top.tid == top.pid.main_thread() || top.born {
            return None;
        }
        let alike: Vec<&ThreadFacts> = self
            .threads
            .iter()
            .copied()
            .filter(|thread| {
                thread.tid != top.tid
                    && thread.tid != thread.pid.main_thread()
                    && thread.kind() == top.kind()
                    && (thread.waits[Wait::Epoll as usize] > 0 || thread.waits[Wait::Futex as usize] > 0)
            })
            .collect();
        let alone = alike.iter().all(|one| {
            one.usual_place().is_none_or(|place| {
                alike
                    .iter()
                    .filter_map(|other| other.usual_place())
                    .filter(|other| is_one_place(other.object, place.object))
                    .count()
                    == 1
            })
        });
        (!alike.is_empty() && alone).then(|| {
            format!(
                "{} of the same name could, and waited each for itself",
                counted(alike.len() as u64, "other thread", "other threads")
            )
        })
    }

    /// Threads that a loop hands work to.
    fn pool_of(&self, top: &'a ThreadFacts) -> impl Iterator<Item = &'a ThreadFacts> + '_ {
        let direct: Vec<&ThreadFacts> = self
            .threads
            .iter()
            .copied()
            .filter(|thread| {
                thread.tid != top.tid
                    && (thread.split > 0 || thread.wakers.iter().any(|(waker, _)| *waker == top.tid))
            })
            .collect();
        let mut places: Vec<(u64, u64)> = Vec::new();
        for place in direct.iter().filter_map(|thread| thread.usual_place()) {
            match places.iter_mut().find(|(object, _)| is_one_place(*object, place.object)) {
                Some((_, count)) => *count += place.count,
                None => places.push((place.object, place.count)),
            }
        }
        // A loop wakes others too now and then, such as those that collect its garbage: the pool is who it wakes most.
        let usual = places.into_iter().max_by_key(|(_, count)| *count).map(|(object, _)| object);
        self.threads.iter().copied().filter(move |thread| {
            let there = thread
                .usual_place()
                .is_some_and(|place| usual.is_some_and(|usual| is_one_place(usual, place.object)));
            thread.tid != top.tid && (thread.split > 0 || there)
        })
    }

    /// Several threads read.
    fn several_readers(&self) -> Inner {
        let process = self.process;
        let readers: Vec<&ThreadFacts> = self
            .threads
            .iter()
            .copied()
            .filter(|thread| thread.reads > 0 && share(thread.reads, process.turns) >= NOISE)
            .collect();
        let pollers: Vec<&ThreadFacts> = readers.iter().copied().filter(|thread| polls(thread)).collect();
        let changed = share(process.changed, process.kept);
        let alternates: u64 = readers.iter().map(|thread| thread.alternates).sum();
        let reads = format!(
            "{} read {}",
            counted(readers.len() as u64, "thread", "threads"),
            counted(process.turns, "request", "requests")
        );
        let moves = (process.kept > 0).then(|| {
            format!("{} of the requests on a kept connection found another thread", fmt_percent(changed))
        });
        match pollers.as_slice() {
            [] => {}
            [one] if share(one.answers - one.split, one.reads) < MOST => {
                let how = format!("thread {} waits for events and reads, and others answer", one.tid);
                return self.pool(&readers, Some(one.tid), reads, 0.85).and(Some(how));
            }
            several => {
                let how = format!(
                    "{} wait for events of the connections that they hold",
                    counted(several.len() as u64, "of them waits", "of them")
                );
                let certainty = if several.len() > 1 { 0.95 } else { 0.8 };
                return Inner::new(Kind::Loops, certainty, reads)
                    .and(Some(how))
                    .and(moves)
                    .with_loops(&readers);
            }
        }
        if share(alternates, process.turns) < ALTERNATING && changed < 2.0 * ALTERNATING {
            let acceptor = self.acceptor(&readers);
            let mut inner = self.a_connection_each(&readers);
            inner.acceptor = acceptor;
            return inner;
        }
        let acceptor = self.acceptor(&readers);
        let woken: u64 = readers.iter().map(|thread| thread.came_by(Wait::Futex)).sum();
        if acceptor.is_none() && share(woken, process.turns) < ALTERNATING {
            let how = "they change between open connections, and wait for no other thread".to_owned();
            return Inner::new(Kind::Loops, 0.6, reads).and(Some(how)).and(moves).with_loops(&readers);
        }
        self.pool(&readers, acceptor, reads, if acceptor.is_some() { 0.93 } else { 0.7 }).and(moves)
    }

    /// A pool: its threads take requests, or connections, from somebody.
    fn pool(
        &self,
        readers: &[&'a ThreadFacts],
        acceptor: Option<Tid>,
        reads: String,
        certainty: f64,
    ) -> Inner {
        let workers: Vec<&ThreadFacts> = self.siblings(readers, acceptor);
        let woken: u64 = workers.iter().map(|thread| thread.came_by(Wait::Futex)).sum();
        let turns = self.process.turns;
        let from = acceptor.map(|tid| {
            let woke: u64 = workers
                .iter()
                .flat_map(|thread| thread.wakers.iter())
                .filter(|(waker, _)| *waker == tid)
                .map(|(_, count)| count)
                .sum();
            let wakes = if woke > 0 {
                format!(", and woke them {}", counted(woke, "time", "times"))
            } else {
                String::new()
            };
            format!("thread {tid} waits for connections and reads no request{wakes}")
        });
        let came = (woken > 0).then(|| {
            format!(
                "they came to {} of the requests from a wait for another thread",
                fmt_percent(share(woken, turns))
            )
        });
        let mut inner = Inner::new(Kind::Pool, certainty, reads)
            .and(idle_place(&workers))
            .and(from)
            .and(came)
            .with_workers(workers);
        inner.acceptor = acceptor;
        inner
    }

    /// Threads that block, each in a connection of its own: made for it, or of a pool.
    fn a_connection_each(&self, readers: &[&'a ThreadFacts]) -> Inner {
        let conns: u64 = readers.iter().map(|thread| thread.conns).sum();
        let reads = format!(
            "{} read {} on {}, each from one at a time",
            counted(readers.len() as u64, "thread", "threads"),
            counted(self.process.turns, "request", "requests"),
            counted(conns, "connection", "connections"),
        );
        let acceptor = self.acceptor(readers);
        let by_events: u64 = readers.iter().map(|thread| thread.came_by(Wait::Epoll)).sum();
        let blocks: u64 = readers.iter().map(|thread| blocking_reads(thread)).sum();
        if acceptor.is_none() && blocks == 0 && share(by_events, self.process.turns) >= BY_EVENTS {
            let how = "they wait in epoll themselves, and block on no connection".to_owned();
            return Inner::new(Kind::Loops, 0.75, reads).and(Some(how)).with_loops(readers);
        }
        if share(conns, readers.len() as u64) > ABOUT_ONE {
            let how = "they outlive the connections".to_owned();
            return self.pool(readers, acceptor, reads, 0.95).and(Some(how));
        }
        let older: u64 = readers.iter().filter(|thread| !thread.born).map(|thread| thread.fresh).sum();
        if older * 2 > conns {
            let how = "they are older than the connections".to_owned();
            return self.pool(readers, acceptor, reads, 0.93).and(Some(how));
        }
        let siblings = self.siblings(readers, acceptor);
        if siblings.len() > readers.len() {
            return self.pool(readers, acceptor, reads, 0.88);
        }
        let unread = self.outside.map_or(0, |outside| outside.connections.saturating_sub(readers.len()));
        if unread >= 2 {
            let how = format!(
                "{} are open that nobody reads (from /proc)",
                counted(unread as u64, "connection", "connections")
            );
            return self.pool(readers, acceptor, reads, 0.75).and(Some(how));
        }
        if self.as_old_as_the_process(readers) {
            let how = "they are as old as the process".to_owned();
            return self.pool(readers, acceptor, reads, 0.75).and(Some(how));
        }
        let how = "they began after the process, and no other thread waits like them".to_owned();
        let certainty = if readers.len() > 1 { 0.8 } else { 0.65 };
        Inner::new(Kind::PerConnection, certainty, reads).and(Some(how)).with_workers(readers.iter().copied())
    }

    /// Whether threads began with their process: at once, and before anything else on the machine began, such as a client.
    fn as_old_as_the_process(&self, threads: &[&ThreadFacts]) -> bool {
        let pid = self.process.pid.main_thread();
        let began = self.threads.iter().find(|thread| thread.tid == pid).map_or(0, |main| main.start_time);
        let last = threads.iter().map(|thread| thread.start_time).max().unwrap_or(0);
        // Ids are given one after the other: as many as it had threads by then means that none went to anybody else.
        let by_then = self.threads.iter().filter(|thread| thread.start_time <= last).count();
        let ids = threads.iter().map(|thread| thread.tid.0.saturating_sub(pid.0) as usize).max().unwrap_or(0);
        began > 0
            && threads.iter().all(|thread| thread.start_time > 0)
            && last <= began + AT_START
            && ids < by_then
    }

    /// The readers, and threads that were never needed: of the same name, and waiting where one of them, or another of these, waits.
    /// Where the readers have a name that their process has not, the name is enough.
    fn siblings(&self, readers: &[&'a ThreadFacts], acceptor: Option<Tid>) -> Vec<&'a ThreadFacts> {
        let known: FxHashSet<Tid> = readers.iter().map(|thread| thread.tid).collect();
        let kinds: FxHashSet<String> = readers.iter().map(|thread| thread.kind()).collect();
        let idle: Vec<&ThreadFacts> = self
            .threads
            .iter()
            .copied()
            .filter(|thread| {
                !known.contains(&thread.tid)
                    && Some(thread.tid) != acceptor
                    && thread.tid != thread.pid.main_thread()
                    && !thread.serves()
                    && kinds.contains(&thread.kind())
                    && thread.usual_place().is_some()
            })
            .collect();
        let main = self.threads.iter().find(|thread| thread.tid == self.process.pid.main_thread());
        let named = main.is_some_and(|main| !kinds.contains(&main.kind()));
        let near = |one: &ThreadFacts, other: &ThreadFacts| {
            one.tid != other.tid
                && one
                    .usual_place()
                    .zip(other.usual_place())
                    .is_some_and(|(one, other)| is_one_place(one.object, other.object))
        };
        let waits_alike =
            |thread: &&ThreadFacts| named || readers.iter().chain(&idle).any(|other| near(thread, other));
        readers.iter().copied().chain(idle.iter().copied().filter(waits_alike)).collect()
    }

    /// A thread that waits for connections and reads none of them: who wakes the readers most, or who accepted most.
    fn acceptor(&self, readers: &[&ThreadFacts]) -> Option<Tid> {
        let woke = |tid: Tid| -> u64 {
            let wakers = readers.iter().flat_map(|thread| thread.wakers.iter());
            wakers.filter(|(waker, _)| *waker == tid).map(|(_, count)| *count).sum()
        };
        self.threads
            .iter()
            .filter(|thread| {
                thread.may_accept()
                    && share(thread.reads, self.process.turns) < NOISE
                    && !readers.iter().any(|reader| reader.tid == thread.tid)
            })
            .max_by_key(|thread| (thread.accepted + woke(thread.tid), std::cmp::Reverse(thread.tid)))
            .map(|thread| thread.tid)
    }
}

/// Whether a thread is an event loop: it waits for events while it holds connections, and comes to requests from that.
fn polls(thread: &ThreadFacts) -> bool {
    let by_events = thread.came_by(Wait::Epoll) + thread.came_by(Wait::Poll);
    thread.polls > 0 && share(by_events, thread.reads) >= BY_EVENTS
}

/// Waits in which a thread blocked on a single connection.
fn blocking_reads(thread: &ThreadFacts) -> u64 {
    thread.waits[Wait::Receive as usize] + thread.waits[Wait::One as usize]
}

/// Threads that wait in one place, in words.
fn idle_place(threads: &[&ThreadFacts]) -> Option<String> {
    let places: Vec<u64> =
        threads.iter().filter_map(|thread| thread.usual_place()).map(|place| place.object).collect();
    let alike = |object: u64| places.iter().filter(|other| is_one_place(**other, object)).count();
    let most = places.iter().map(|object| alike(*object)).max().unwrap_or(0);
    (most >= 2).then(|| format!("{} wait on one futex", counted(most as u64, "thread", "threads")))
}

/// Whether a thread was seen for long enough to say something of its share of time.
pub(super) fn observed(thread: &ThreadFacts, end: Ns) -> u64 {
    thread.ended.unwrap_or(end).since(thread.first)
}
