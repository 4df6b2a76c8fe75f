//! What is kept of the last minutes.

use std::{collections::VecDeque, sync::Arc};

use rustc_hash::FxHashMap;
use whywait_ebpf::abi::{OffCpu, SockOp, SockState, Thread as Born, born, off_cpu, op, tcp_state};

use super::{
    bucket::{Bucket, KEPT, LENGTH, LockPlace},
    connections::{Connections, Side},
    kept::{Ahead, Kept, Kind, Step},
    latencies::Latencies,
    snapshot::{Note, Snapshot},
    threads::{ThreadView, Threads},
    turnover::Turnover,
};
use crate::{
    clock::{Request, RequestId, State, Wait, classify},
    decode::{ConnId, Event, What},
    probe::SyscallCount,
    units::{Ns, Pid, Tid},
};

/// Steps of all threads that are kept, to tell of a slow request what its threads did.
const STEPS: usize = 65_536;
/// Finished requests that are known by name, to tell who was in front.
const RECENT: usize = 2_048;
/// Requests that are shown as the latest.
const LATEST: usize = 64;
/// Between two of them is at least this much time.
const APART: u64 = 5_000_000;
/// Buckets from which is told what is slow: ten seconds.
const SLOW_OVER: usize = 20;
/// How often threads are told anew.
const THREADS_EVERY: u64 = 500_000_000;
/// Locks that somebody waits for now.
const WAITED: usize = 4_096;
/// Notes that are kept.
const NOTES: usize = 64;

/// A history takes no more bytes than this, whatever happens.
pub const MOST_BYTES: usize = 96 << 20;

/// The last minutes.
#[derive(Debug)]
pub struct History {
    began: Ns,
    at: Ns,
    buckets: VecDeque<Arc<Bucket>>,
    threads: Threads,
    connections: Connections,
    steps: VecDeque<Step>,
    recent: VecDeque<Ahead>,
    latest: VecDeque<Arc<Kept>>,
    slow_from: u64,
    waiters: FxHashMap<LockPlace, VecDeque<(Ns, Ns)>>,
    views: (Ns, Arc<Vec<ThreadView>>),
    notes: VecDeque<Note>,
    traced: FxHashMap<u32, SyscallCount>,
    turnover: Turnover,
}

impl History {
    /// A history that begins at `began`.
    pub fn new(began: Ns) -> Self {
        Self {
            began,
            at: began,
            buckets: VecDeque::from([Arc::new(Bucket::new(0, began))]),
            threads: Threads::default(),
            connections: Connections::default(),
            steps: VecDeque::new(),
            recent: VecDeque::new(),
            latest: VecDeque::new(),
            slow_from: u64::MAX,
            waiters: FxHashMap::default(),
            views: (Ns(0), Arc::default()),
            notes: VecDeque::new(),
            traced: FxHashMap::default(),
            turnover: Turnover::default(),
        }
    }

    /// Time goes on, whether something happens or not.
    pub fn advance(&mut self, now: Ns) {
        self.at = self.at.max(now);
        let number = u32::try_from(now.since(self.began) / LENGTH).unwrap_or(u32::MAX);
        let mut next = self.buckets.back().map_or(0, |last| last.number + 1);
        if next <= number {
            if let Some(last) = self.buckets.back_mut() {
                Arc::make_mut(last).shrink();
            }
            self.slow_from = self.slow();
            self.waiters.clear();
        }
        // After a long pause only what is kept is made.
        next = next.max((number + 1).saturating_sub(u32::try_from(KEPT).unwrap_or(u32::MAX)));
        while next <= number {
            let begin = self.began.plus(u64::from(next) * LENGTH);
            self.buckets.push_back(Arc::new(Bucket::new(next, begin)));
            next += 1;
        }
        let over = self.buckets.len().saturating_sub(KEPT);
        self.buckets.drain(..over);
    }

    /// From which latency on a request is slow: 99 % of the last seconds' were faster.
    fn slow(&self) -> u64 {
        let mut all = Latencies::default();
        for bucket in self.buckets.iter().rev().take(SLOW_OVER) {
            all.merge(&bucket.sums.latencies);
        }
        let (mut left, mut from) = (all.count().div_ceil(100), u64::MAX);
        let buckets: Vec<_> = all.buckets().collect();
        for ((lower, _), count) in buckets.into_iter().rev() {
            from = lower;
            left = left.saturating_sub(u64::from(count));
            if left == 0 {
                break;
            }
        }
        from
    }

    /// The bucket of a moment, if it is kept.
    fn bucket(&mut self, at: Ns) -> Option<&mut Bucket> {
        if at > self.at {
            self.advance(at);
        }
        let first = self.buckets.front()?.number;
        let number = u32::try_from(at.since(self.began) / LENGTH).ok()?;
        let place = usize::try_from(number.checked_sub(first)?).ok()?;
        self.buckets.get_mut(place).map(Arc::make_mut)
    }

    /// Takes an event, before the clock does; `serving` is the request that its thread works for by what is known so far.
    pub fn event(&mut self, event: &Event, serving: Option<RequestId>) {
        if let Some(bucket) = self.bucket(event.at) {
            bucket.sums.records += 1;
            bucket.sums.lost += u64::from(event.missing);
        }
        match &event.what {
            What::OffCpu(interval) => self.off_cpu(event, interval, serving.is_some()),
            What::Socket { op, .. } => self.socket(event, op),
            What::Conn(conn) => {
                let peer = self.connections.add(conn);
                if conn.established != 0
                    && let Some(bucket) = self.bucket(event.at)
                {
                    bucket.peer(peer).opened += 1;
                }
            }
            What::Stack(_) => {}
            What::SockState(SockState { conn, new, .. }) => {
                if *new != tcp_state::ESTABLISHED {
                    self.connections.remove(ConnId(*conn));
                }
            }
            What::Thread(thread) => self.thread(event, thread),
            What::ThreadEnd => {
                self.threads.end(event.tid, event.at);
                self.turnover.ended += u64::from(event.tid.0 == event.pid.0);
                if let Some(bucket) = self.bucket(event.at) {
                    bucket.sums.switches.ended += 1;
                }
            }
        }
    }

    fn thread(&mut self, event: &Event, told: &Born) {
        let is_process = told.how == born::NEW && event.pid != Pid(told.parent_pid);
        self.turnover.forked += u64::from(is_process);
        if let Some(bucket) = self.bucket(event.at) {
            bucket.sums.switches.born += u64::from(told.how == born::NEW);
            bucket.sums.switches.processes += u64::from(is_process);
            bucket.sums.switches.execs += u64::from(told.how == born::EXEC);
        }
        let length = told.comm.iter().position(|byte| *byte == 0).unwrap_or(told.comm.len());
        let name: Arc<str> = Arc::from(String::from_utf8_lossy(&told.comm[..length]).as_ref());
        if told.how == born::EXEC {
            self.turnover.executes(event.pid, &name);
        }
        let Some(thread) = self.threads.get(event.tid, event.pid, event.at) else { return };
        thread.view.name = name;
        thread.view.pid = event.pid;
        if told.how == born::FOUND && told.running != 0 {
            thread.running = Some(event.at);
        }
    }

    fn off_cpu(&mut self, event: &Event, interval: &OffCpu, busy: bool) {
        if interval.flags & off_cpu::OPEN != 0 {
            return;
        }
        let (left, at) = (Ns(interval.left), event.at);
        let wait = classify(interval);
        let ready = match (wait, interval.woken) {
            (Wait::Preempted, _) => left,
            (_, 0) => at,
            (_, woken) => Ns(woken).clamp(left, at),
        };
        let ready = if interval.flags & off_cpu::BORN != 0 { left } else { ready };
        let (share, peer) = self.connections.share(wait, busy);
        let began = self.began;
        if interval.waker_tid != 0
            && interval.flags & off_cpu::BORN == 0
            && let Some(waker) = self.threads.known(Tid(interval.waker_tid))
        {
            waker.woke(began, ready);
        }
        let thread = self.threads.get(event.tid, event.pid, at);
        let ran_since = thread.and_then(|thread| thread.off_cpu(began, at, interval, share, ready));
        let lock = match share {
            Some(State::Lock) if busy => {
                Some(LockPlace { pid: event.pid, address: interval.args[0], kernel: None })
            }
            Some(State::KernelLock) if busy => {
                Some(LockPlace { pid: event.pid, address: 0, kernel: Some(interval.syscall) })
            }
            _ => None,
        };
        let lock = lock.map(|place| (place, self.wait_for(place, (left, ready))));
        if let Some(bucket) = self.bucket(at) {
            let clipped = interval.flags & (off_cpu::BORN | off_cpu::CLIPPED) != 0;
            let voluntary = interval.flags & off_cpu::VOLUNTARY != 0;
            if !clipped {
                bucket.sums.switches.voluntary += u64::from(voluntary);
                bucket.sums.switches.involuntary += u64::from(!voluntary);
                bucket.sums.switches.migrations += u64::from(interval.left_cpu != event.cpu);
            }
            if interval.flags & off_cpu::BORN != 0 {
                bucket.sums.births.add(at.since(left));
            }
            bucket.sums.run_queue.add(at.since(ready));
            let cpu = bucket.cpu(event.cpu);
            cpu.waited += at.since(ready);
            cpu.arrivals += u64::from(!clipped && interval.left_cpu != event.cpu);
            let cpu = bucket.cpu(interval.left_cpu);
            cpu.switches += u64::from(!clipped);
            cpu.ran += ran_since.map_or(0, |since| left.since(since));
            if voluntary && interval.flags & off_cpu::BORN == 0 {
                let call = bucket.call(interval.syscall);
                let waits = if busy { &mut call.busy } else { &mut call.idle };
                waits.add(ready.since(left));
            }
            if let Some((place, at_once)) = lock {
                let lock = bucket.lock(place);
                lock.waits.add(ready.since(left));
                lock.holder = Tid(interval.waker_tid);
                lock.at_once = lock.at_once.max(at_once);
            }
        }
        let kind = Kind::Off {
            state: if wait == Wait::Preempted { Some(State::RunQueue) } else { share },
            syscall: interval.syscall,
            object: interval.args[0],
            waker: Tid(interval.waker_tid),
        };
        self.step(Step { tid: event.tid, from: left, ready, to: at, kind, peer });
    }

    /// A thread waited for a lock; how many did so at the same time, this one among them.
    fn wait_for(&mut self, lock: LockPlace, (from, to): (Ns, Ns)) -> u32 {
        if self.waiters.len() >= WAITED {
            self.waiters.clear();
        }
        let waits = self.waiters.entry(lock).or_default();
        let others = waits.iter().filter(|(since, until)| *since < to && *until > from).count();
        if waits.len() == 64 {
            waits.pop_front();
        }
        waits.push_back((from, to));
        u32::try_from(others + 1).unwrap_or(u32::MAX)
    }

    fn socket(&mut self, event: &Event, done: &SockOp) {
        let id = ConnId(done.conn);
        let at = event.at;
        let Some(connection) = self.connections.get_mut(id) else { return };
        let (side, peer) = (connection.side, connection.peer);
        let bytes = done.ret.max(0).unsigned_abs();
        let (mut answered, mut kind) = (None, None);
        match (side, done.op) {
            (Side::Accepted, op::RECV) if bytes > 0 => kind = Some(Kind::Read),
            (Side::Accepted, op::SEND) if bytes > 0 => kind = Some(Kind::Write),
            (Side::Called, op::SEND | op::CONNECT) if done.ret >= 0 => {
                connection.asked.get_or_insert(at);
                kind = Some(Kind::Call);
            }
            (Side::Called, op::RECV) if bytes > 0 => {
                let arrival = if done.arrival != 0 { Ns(done.arrival).min(at) } else { at };
                answered = connection.asked.take().map(|asked| arrival.since(asked));
                kind = Some(Kind::Answer);
            }
            _ => {}
        }
        if let Some(bucket) = self.bucket(at) {
            let cell = bucket.peer(peer);
            match done.op {
                op::RECV => cell.received += bytes,
                op::SEND => cell.sent += bytes,
                _ => {}
            }
            if let Some(nanos) = answered {
                cell.exchanges.add(nanos);
            }
        }
        if let Some(kind) = kind {
            let peer = self.connections.name_of(id);
            self.step(Step { tid: event.tid, from: at, ready: at, to: at, kind, peer });
        }
    }

    fn step(&mut self, step: Step) {
        if self.steps.len() == STEPS {
            self.steps.pop_front();
        }
        self.steps.push_back(step);
    }

    /// Takes a finished request.
    pub fn request(&mut self, request: &Request) {
        let latency = request.latency();
        let slow = latency >= self.slow_from;
        let peer = self.connections.peer_of(request.conn);
        let Some(bucket) = self.bucket(request.end) else { return };
        bucket.request(request, slow);
        if let Some(peer) = peer {
            let cell = bucket.peer(peer);
            cell.exchanges.add(latency);
            cell.queued += request.times[State::AcceptQueue] + request.times[State::RecvQueue];
        }
        if bucket.is_among_slowest(latency) {
            let kept = Arc::new(Kept::new(request, &self.steps, &self.recent));
            if let Some(bucket) = self.bucket(request.end) {
                bucket.keep(kept);
            }
        }
        let apart = self.latest.back().is_none_or(|last| request.end.since(last.request.end) >= APART);
        if apart {
            if self.latest.len() == LATEST {
                self.latest.pop_front();
            }
            self.latest.push_back(Arc::new(Kept::plain(request)));
        }
        for (place, tid) in request.threads.iter().enumerate() {
            if let Some(thread) = self.threads.known(*tid) {
                thread.view.read += u64::from(place == 0);
                thread.view.helped += u64::from(place != 0);
            }
        }
        if let Some(tid) = request.threads.first() {
            // A thread that waits for events of many descriptors goes on with others while one sleeps or calls.
            let polls = self.threads.known(*tid).is_some_and(|thread| thread.polls);
            let away = [State::Sleep, State::Downstream, State::AppQueue].map(|state| request.times[state]);
            let read = request.end.since(request.first_read);
            let busy = if polls { read.saturating_sub(away.iter().sum()) } else { read };
            if self.recent.len() == RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back(Ahead {
                id: request.id,
                route: request.route.clone(),
                tid: *tid,
                from: request.first_read,
                to: request.end,
                busy,
            });
        }
    }

    /// Threads of which nothing has been heard for this long, at most so many: they do what they did, or wait.
    pub fn silent(&self, now: Ns, nanos: u64, most: usize) -> Vec<(Pid, Tid)> {
        self.threads.silent(Ns(now.0.saturating_sub(nanos)), most)
    }

    /// Somebody looked what a silent thread does: it runs (`None`), or is off the CPU. `busy` tells whether it works for a request.
    pub fn seen(&mut self, tid: Tid, interval: Option<&OffCpu>, busy: bool) {
        let share = match interval {
            None => Some(State::OnCpu),
            Some(interval) => self.connections.share(classify(interval), busy).0,
        };
        if let Some(thread) = self.threads.known(tid) {
            thread.view.now = Some((share, thread.heard));
            if let Some(interval) = interval {
                thread.view.syscall = interval.syscall;
            }
        }
    }

    /// Counts of system calls since the beginning, where they are traced one by one; told often, it is known when they were made.
    pub fn traced(&mut self, calls: &[SyscallCount]) {
        let mut new = Vec::new();
        for call in calls {
            let before = self.traced.insert(call.number, *call).unwrap_or_default();
            new.push(call.since(&before));
        }
        // What is made most often must find room.
        new.sort_by_key(|call| std::cmp::Reverse(call.count));
        let Some(bucket) = self.buckets.back_mut().map(Arc::make_mut) else { return };
        for call in new.iter().take_while(|call| call.count > 0) {
            if let Ok(number) = i32::try_from(call.number) {
                bucket.call(number).traced.get_or_insert_default().merge(call);
            }
        }
    }

    /// What became of processes since this was asked last.
    pub fn turnover(&mut self) -> Turnover {
        std::mem::take(&mut self.turnover)
    }

    /// Processes of which some thread runs, as far as threads are known.
    pub fn processes(&self) -> Vec<Pid> {
        self.threads.processes()
    }

    /// Something is to be said of this moment.
    pub fn note(&mut self, note: Note) {
        if self.notes.len() == NOTES {
            self.notes.pop_front();
        }
        self.notes.push_back(note);
    }

    /// As many requests are open now.
    pub fn in_flight(&mut self, count: usize) {
        if let Some(bucket) = self.buckets.back_mut().map(Arc::make_mut) {
            bucket.sums.in_flight = bucket.sums.in_flight.max(count);
        }
    }

    /// Threads are told as they are at this moment, however short a while ago they were told last.
    pub fn tell_threads(&mut self) {
        self.views = (self.at, Arc::new(self.threads.views()));
    }

    /// Puts what is kept into a snapshot.
    pub fn tell(&mut self, snapshot: &mut Snapshot) {
        if self.at.since(self.views.0) >= THREADS_EVERY {
            self.tell_threads();
        }
        snapshot.began = self.began;
        snapshot.at = self.at;
        snapshot.buckets = self.buckets.iter().cloned().collect();
        snapshot.latest = self.latest.iter().rev().cloned().collect();
        snapshot.threads = Arc::clone(&self.views.1);
        snapshot.untold_threads = self.threads.untold();
        snapshot.peers = Arc::new(self.connections.peers().to_vec());
        snapshot.notes = self.notes.iter().cloned().collect();
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        self.buckets.iter().map(|bucket| bucket.bytes()).sum::<usize>()
            + self.threads.bytes()
            + self.connections.bytes()
            + self.steps.capacity() * size_of::<Step>()
            + self.recent.capacity() * size_of::<Ahead>()
            + self.latest.iter().map(|kept| kept.bytes()).sum::<usize>()
            + self.waiters.capacity() * size_of::<(LockPlace, VecDeque<(Ns, Ns)>)>()
            + self.waiters.values().map(|waits| waits.capacity() * size_of::<(Ns, Ns)>()).sum::<usize>()
    }
}
