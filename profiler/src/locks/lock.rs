//! One lock, and what became of the waits for it.

use rustc_hash::{FxHashMap, FxHashSet};

use super::{
    convoy::Convoy,
    history::{Asked, Doing, End, Waited},
    key::{LockKey, Place},
    names::LockName,
};
use crate::{
    clock::{LockWait, Request},
    decode::Route,
    units::{Ns, Pid, Tid},
};

/// Index of a lock among those of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct LockId(pub usize);

/// Waiters and holders that are told apart.
const MOST_THREADS: usize = 1024;
/// Parts of a lock that are known by their places.
const MOST_PARTS: usize = 32;
/// Routes of a holder that are told apart.
const MOST_ROUTES: usize = 8;
/// Time-outs after the switch interval that make the lock of a Python process the interpreter's…
const LEAST_INTERVALS: u64 = 3;
/// …and their least share of its waits.
const INTERVALS: f64 = 0.05;

/// What a lock is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LockKind {
    /// One thread, or so many, at a time.
    Exclusion,
    /// Something to do, or the result of what another thread does.
    Work,
    /// The end of a thread.
    Join,
    /// A lock on a file.
    File,
    /// System V semaphores.
    Semaphore,
    /// Another process's word, by a signal.
    Latch,
    /// The lock of an interpreter, `CPython` or Ruby.
    Gil,
    /// Not known.
    Unknown,
}

impl LockKind {
    /// As it is called in JSON.
    pub fn id(self) -> &'static str {
        match self {
            Self::Exclusion => "exclusion",
            Self::Work => "work",
            Self::Join => "join",
            Self::File => "file",
            Self::Semaphore => "semaphore",
            Self::Latch => "latch",
            Self::Gil => "gil",
            Self::Unknown => "unknown",
        }
    }
}

/// A thread that ended waits for a lock.
#[derive(Clone, Debug, Default)]
pub struct Holder {
    /// Waits that it ended.
    pub woke: u64,
    /// What it did while the waiters waited, since it got the lock itself.
    pub doing: Doing,
    /// Routes of the requests that it owned then, with nanoseconds.
    pub routes: Vec<(Route, u64)>,
}

impl Holder {
    fn add(&mut self, other: &Self) {
        self.woke += other.woke;
        self.doing.add(&other.doing);
        for (route, nanos) in &other.routes {
            self.served(route, *nanos);
        }
    }

    fn served(&mut self, route: &Route, nanos: u64) {
        if let Some((_, sum)) = self.routes.iter_mut().find(|(known, _)| known == route) {
            *sum += nanos;
        } else if self.routes.len() < MOST_ROUTES {
            self.routes.push((route.clone(), nanos));
        }
    }
}

/// What speaks for a kind, in waits.
#[derive(Clone, Copy, Debug, Default)]
struct Votes {
    mutex: u64,
    join: u64,
    work: u64,
    exclusion: u64,
    intervals: u64,
}

/// Who waits for a lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Alone {
    #[default]
    Nobody,
    One(Tid),
    Several,
}

/// A lock that threads waited for.
#[derive(Clone, Debug)]
pub struct Lock {
    key: LockKey,
    /// What turned out to be the same lock.
    also: Vec<LockKey>,
    pid: Pid,
    name: Option<LockName>,
    blocked: u64,
    waits: u64,
    waited_ns: u64,
    worst_ns: u64,
    request_ns: f64,
    /// The thread that waits for it, for requests or not, as long as there is but one.
    alone: Alone,
    waiters: FxHashSet<Tid>,
    convoy: Convoy,
    holders: FxHashMap<Tid, Holder>,
    votes: Votes,
    at_once: usize,
    /// The last two times that a holder woke somebody.
    released: [Ns; 2],
}

/// The thread that ended the wait serves a request of its own.
fn owns_another(wait: &LockWait, request: &Request) -> bool {
    wait.waker_has.as_ref().is_some_and(|in_hand| in_hand.owned && in_hand.request != request.id)
}

/// A thread that did not exist when the request began tells it that it is under way, or done; or waits for the one that has made it.
fn made_for(wait: &LockWait, waited: &Waited, request: &Request) -> bool {
    let since = |born: Option<Ns>| born.is_some_and(|born| born >= request.start);
    let by_its_maker = || wait.waker_has.as_ref().is_some_and(|in_hand| in_hand.request == request.id);
    since(waited.waker_born) && !owns_another(wait, request) || since(waited.born) && by_its_maker()
}

impl Lock {
    pub(super) fn new(key: LockKey, pid: Pid) -> Self {
        Self {
            key,
            also: Vec::new(),
            pid,
            name: None,
            blocked: 0,
            waits: 0,
            waited_ns: 0,
            worst_ns: 0,
            request_ns: 0.0,
            alone: Alone::Nobody,
            waiters: FxHashSet::default(),
            convoy: Convoy::default(),
            holders: FxHashMap::default(),
            votes: Votes::default(),
            at_once: 0,
            released: [Ns(0); 2],
        }
    }

    /// A thread waited for it, for a request or not.
    pub(super) fn blocked(&mut self, tid: Tid, released: bool, at: Ns) {
        self.blocked += 1;
        self.alone = match self.alone {
            Alone::Nobody => Alone::One(tid),
            Alone::One(known) if known == tid => Alone::One(tid),
            Alone::One(_) | Alone::Several => Alone::Several,
        };
        if released && at > self.released[1] {
            self.released = [self.released[1], at];
        }
    }

    /// One thread alone waits for it: the place where a runtime parks that thread, whatever it waits for.
    pub(super) fn parks_one(&self) -> bool {
        matches!(self.alone, Alone::One(_))
    }

    /// When a holder last let it go before a moment: whoever lets it go then got it after that.
    pub(super) fn released_before(&self, at: Ns) -> Ns {
        self.released.into_iter().rev().find(|released| *released < at).unwrap_or(Ns(0))
    }

    /// A request waited for it, `part` nanoseconds of its time in `lock`.
    pub(super) fn add(&mut self, wait: &LockWait, waited: &Waited, part: f64, request: &Request) {
        let length = wait.to.since(wait.from);
        self.waits += 1;
        self.waited_ns += length;
        self.worst_ns = self.worst_ns.max(length);
        self.request_ns += part;
        if self.waiters.len() < MOST_THREADS {
            self.waiters.insert(wait.tid);
        }
        self.convoy.add(wait.from, wait.to);
        self.votes.mutex += u64::from(waited.mutex);
        match waited.end {
            _ if made_for(wait, waited, request) => self.votes.join += 1,
            End::Joined => self.votes.join += 1,
            End::SwitchInterval => self.votes.intervals += 1,
            End::Woken | End::Nobody => {}
        }
        let had_waited = waited.held.is_some_and(|held| held.had_waited);
        match waited.asked {
            // The other one serves its own request, or had waited for the lock like everybody else.
            _ if owns_another(wait, request) || had_waited => self.votes.exclusion += 1,
            Asked::At(at, lock) if at >= request.first_read => {
                let same = lock == Some(waited.lock);
                self.votes.exclusion += u64::from(same);
                self.votes.work += u64::from(!same);
            }
            Asked::At(..) | Asked::Nothing => {}
        }
        let Some((by, held)) = waited.waker.zip(waited.held) else { return };
        if self.holders.len() < MOST_THREADS || self.holders.contains_key(&by) {
            let holder = self.holders.entry(by).or_default();
            holder.woke += 1;
            holder.doing.add(&held.doing);
            if let Some(route) = wait.waker_has.as_ref().and_then(|in_hand| in_hand.route.as_ref()) {
                holder.served(route, held.doing.total());
            }
        }
    }

    /// What it is for.
    pub fn kind(&self) -> LockKind {
        match self.key.place {
            Place::File(_) => return LockKind::File,
            Place::Semaphores(_) => return LockKind::Semaphore,
            Place::Latches => return LockKind::Latch,
            Place::Futex(_) => {}
        }
        let Votes { mutex, join, work, exclusion, .. } = self.votes;
        if self.name.as_ref().is_some_and(|name| name.is_gil) {
            LockKind::Gil
        } else if 2 * join >= self.waits.max(1) {
            LockKind::Join
        } else if 2 * mutex >= self.waits.max(1) {
            LockKind::Exclusion
        } else if work > exclusion {
            LockKind::Work
        } else if exclusion > 0 {
            LockKind::Exclusion
        } else if self.blocked >= 2 * self.waits {
            // Most of the time threads wait here that have nothing to do.
            LockKind::Work
        } else {
            LockKind::Unknown
        }
    }

    /// Whether threads wait for it as they do for the interpreter lock in `CPython`: again and again for the switch interval. Says nothing
    /// about whether this is Python.
    pub(super) fn waits_like_gil(&self) -> bool {
        let intervals = self.votes.intervals;
        intervals >= LEAST_INTERVALS
            && intervals as f64 >= INTERVALS * self.waits as f64
            && self.waiters.len() > 1
    }

    /// This is the same lock.
    pub(super) fn is_also(&mut self, key: LockKey) {
        if self.also.len() < MOST_PARTS && key != self.key && !self.also.contains(&key) {
            self.also.push(key);
        }
    }

    /// It turned out to be the same lock as another one.
    pub(super) fn absorb(&mut self, other: &Self) {
        other.keys().for_each(|key| self.is_also(key));
        self.blocked += other.blocked;
        self.alone = Alone::Several;
        self.waits += other.waits;
        self.waited_ns += other.waited_ns;
        self.worst_ns = self.worst_ns.max(other.worst_ns);
        self.request_ns += other.request_ns;
        self.waiters.extend(&other.waiters);
        self.at_once = self.at_once().max(other.at_once());
        for (tid, holder) in &other.holders {
            self.holders.entry(*tid).or_default().add(holder);
        }
        self.votes.mutex += other.votes.mutex;
        self.votes.join += other.votes.join;
        self.votes.work += other.votes.work;
        self.votes.exclusion += other.votes.exclusion;
        self.votes.intervals += other.votes.intervals;
    }

    /// Leaves a lock that nobody waited for, and returns what it was.
    pub(super) fn take(&mut self) -> Self {
        let empty = Self::new(self.key, self.pid);
        std::mem::replace(self, empty)
    }

    pub(super) fn set_name(&mut self, name: LockName) {
        self.name = Some(name);
    }

    /// Where it is, and where its other parts are.
    pub fn keys(&self) -> impl Iterator<Item = LockKey> + '_ {
        std::iter::once(self.key).chain(self.also.iter().copied())
    }

    /// Where it is.
    pub fn key(&self) -> LockKey {
        self.key
    }

    /// A process that waited for it.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// What it is called, once it has been looked up.
    pub fn name(&self) -> Option<&LockName> {
        self.name.as_ref()
    }

    /// Waits of requests.
    pub fn waits(&self) -> u64 {
        self.waits
    }

    /// Nanoseconds of these waits.
    pub fn waited_ns(&self) -> u64 {
        self.waited_ns
    }

    /// The longest in nanoseconds.
    pub fn worst_ns(&self) -> u64 {
        self.worst_ns
    }

    /// Nanoseconds of the requests' time in `lock`; less than the waits took where these overlap.
    pub fn request_ns(&self) -> f64 {
        self.request_ns
    }

    /// Threads that waited for it.
    pub fn waiters(&self) -> usize {
        self.waiters.len()
    }

    /// The most that waited at once.
    pub fn at_once(&self) -> usize {
        self.at_once.max(self.convoy.most())
    }

    /// Threads that ended waits, the one that kept others longest first.
    pub fn holders(&self) -> Vec<(Tid, &Holder)> {
        let mut holders: Vec<(Tid, &Holder)> =
            self.holders.iter().map(|(tid, holder)| (*tid, holder)).collect();
        holders.sort_by_key(|(tid, holder)| (std::cmp::Reverse(holder.doing.total()), *tid));
        holders
    }

    /// What all holders did together.
    pub fn held(&self) -> Holder {
        let mut all = Holder::default();
        for holder in self.holders.values() {
            all.add(holder);
        }
        all.routes.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        all
    }
}
