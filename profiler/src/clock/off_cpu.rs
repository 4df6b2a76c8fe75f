//! Intervals off the CPU: what a thread's waits mean for the request that it works for.

use whywait_ebpf::{
    abi::{OffCpu, TIMER_EARLY, off_cpu},
    syscalls as call,
};

use super::{
    RequestClock, busy_with,
    connection::{Role, Turn},
    lock_wait::{InHand, LockWait},
    origin::{Origin, WaitPlace},
    request::RequestId,
    state::State,
    thread::{Handed, MOST_PENDING, Place, Stretch, Timer},
    wait::{Wait, classify},
};
use crate::units::{Ns, Pid, Tid};

impl RequestClock {
    pub(super) fn off_cpu(&mut self, tid: Tid, pid: Pid, at: Ns, interval: &OffCpu) {
        let (left, woken) = (Ns(interval.left), Ns(interval.woken));
        let open_end = interval.flags & off_cpu::OPEN != 0;
        self.thread(tid, pid).run_to(left);
        let wait = match classify(interval) {
            Wait::State(State::Lock) if self.timed.is_sleep(tid, pid, interval) => Wait::State(State::Sleep),
            wait => wait,
        };
        let place = Place { syscall: interval.syscall, object: interval.args[0] };
        let ready = if wait == Wait::Preempted {
            left
        } else if interval.woken == 0 {
            at
        } else {
            woken.clamp(left, at)
        };
        if interval.flags & off_cpu::BORN != 0 {
            let thread = self.thread(tid, pid);
            thread.drop_pending();
            thread.queued(left, at);
            self.hand_over(tid, interval, left);
        } else if wait == Wait::Preempted {
            self.thread(tid, pid).queued(left, at);
        } else if self.is_idle(tid, wait, place) {
            self.let_go(tid, left);
            let accepts = matches!(interval.syscall, call::ACCEPT | call::ACCEPT4);
            let thread = self.thread(tid, pid);
            thread.queued(ready, at);
            thread.held_since = Some(ready);
            thread.idle = Some(ready);
            // A wait on a futex is for a thread, whatever it has for a time-out.
            thread.timer =
                if interval.syscall == call::FUTEX { None } else { timer(interval.timeout, left, ready) };
            if matches!(wait, Wait::State(_)) {
                thread.idle_place = Some(place);
            }
            if accepts {
                thread.accepted = Some(at);
            }
            self.hand_over(tid, interval, ready);
        } else {
            let state = match wait {
                Wait::State(state) => state,
                Wait::Latch => State::Lock,
                Wait::Receive(sock) => self.peer_state(sock, State::Other),
                Wait::Send(sock) => self.peer_state(sock, State::Send),
                Wait::Idle | Wait::Preempted => State::Other,
            };
            let busy = self.threads.get(tid).and_then(|thread| busy_with(&self.open, thread, tid));
            let doubtful = busy.is_some_and(|request| self.settle_before(tid, request, place));
            // Looked at before the waker's hand-over is taken back.
            let waker_has = (state == State::Lock).then(|| self.in_hand_of_waker(interval, ready)).flatten();
            let brought_back = doubtful && self.is_brought_back(interval);
            if state == State::Lock
                && !doubtful
                && let Some(request) = busy
            {
                self.take_back(request, interval, ready);
            }
            let thread = self.thread(tid, pid);
            // What the request waited for is what the other thread did.
            if !brought_back {
                let stack = thread.stack.filter(|(at, _)| *at == left).map(|(_, id)| id);
                let origin = Some(Origin { place: WaitPlace::of(pid, interval), stack });
                thread.pending.push(Stretch { from: left, to: ready, state, origin });
                if state == State::Lock {
                    thread.waited_for_lock(LockWait { tid, from: left, to: ready, waker_has });
                }
            }
            if busy.is_none() || doubtful {
                thread.mark = thread.pending.len();
            }
            thread.queued(ready, at);
            if busy.is_none() {
                self.hand_over(tid, interval, ready);
            }
        }
        let thread = self.thread(tid, pid);
        thread.running = if open_end { None } else { Some(at) };
        if thread.pending.len() > MOST_PENDING {
            self.relieve(tid, at);
        }
    }

    /// Whether a wait ends the thread's ownership.
    fn is_idle(&self, tid: Tid, wait: Wait, place: Place) -> bool {
        let Some(thread) = self.threads.get(tid) else { return true };
        let busy = busy_with(&self.open, thread, tid);
        match wait {
            Wait::Idle => true,
            Wait::Latch => busy.is_none(),
            Wait::Preempted => false,
            Wait::Receive(sock) => match self.sockets.get(&sock).and_then(|id| self.connections.get(*id)) {
                Some(connection) if connection.role == Role::Server => {
                    // More of its own request is waited for; any other read is for the next one.
                    !matches!(connection.turn, Turn::Open(id) if Some(id) == busy)
                }
                Some(_) => busy.is_none(),
                None => true,
            },
            // After a response a thread may wait and then write more of it; with nothing to finish it is idle.
            Wait::State(_) | Wait::Send(_) if busy.is_none() => {
                thread.owner.is_none_or(|id| !self.open.contains_key(id))
            }
            // A thread that was handed a request, and waits again where it was when it got it, is done with it.
            Wait::State(_) | Wait::Send(_) => {
                let owns = busy.and_then(|id| self.open.get(id)).is_some_and(|open| open.owner == Some(tid));
                !owns && thread.idle_place.is_some_and(|idle| idle.is(place))
            }
        }
    }

    /// Whether an owner waits where it otherwise waits for something to do. It may have let the request go, or not: what it did before
    /// is the request's, and the wait is if the request is what it touches next.
    fn settle_before(&mut self, tid: Tid, request: RequestId, place: Place) -> bool {
        let Some(thread) = self.threads.get_mut(tid) else { return false };
        let doubtful = thread.idle_place.is_some_and(|idle| idle.is(place));
        if doubtful && let Some(request) = self.open.get_mut(request) {
            let rank = thread.rank_for(tid, request);
            thread.give_pending(request, rank);
        }
        doubtful
    }

    /// What the thread had in hand that woke this one.
    fn in_hand_of_waker(&self, interval: &OffCpu, at: Ns) -> Option<InHand> {
        let by = Tid(interval.waker_tid);
        let request = self.threads.get(by)?.worked_for(at)?;
        let open = &self.open.get(request)?;
        Some(InHand { request, owned: open.owner == Some(by), route: open.request.route.clone() })
    }

    /// Whether a thread was woken by one that has, or had, a request in hand without owning it: a member of a pool, which brings its
    /// work back.
    fn is_brought_back(&self, interval: &OffCpu) -> bool {
        interval.waker_tid != 0
            && wakes_on_purpose(interval.waker_syscall)
            && self.threads.get(Tid(interval.waker_tid)).is_some_and(|waker| waker.handed.is_some())
    }

    /// A thread waited for another one that it had woken itself: that one works for nobody, it holds what was waited for, and its own
    /// waits are not the request's.
    fn take_back(&mut self, request: RequestId, interval: &OffCpu, at: Ns) {
        let Some(holder) = self.threads.get_mut(Tid(interval.waker_tid)) else { return };
        if holder.handed.is_some_and(|handed| handed.request == request) {
            holder.handed = None;
            holder.drop_pending();
            holder.works_for(at, None);
        }
    }

    /// A socket's peer is waited for: another service, or a client.
    fn peer_state(&self, sock: u64, of_client: State) -> State {
        match self.sockets.get(&sock).and_then(|id| self.connections.get(*id)) {
            Some(connection) if connection.role == Role::Server => of_client,
            _ => State::Downstream,
        }
    }

    /// The thread's time since its last boundary goes to the request it works for, and the ownership ends.
    pub(super) fn let_go(&mut self, tid: Tid, at: Ns) {
        let Some(thread) = self.threads.get_mut(tid) else { return };
        thread.run_to(at);
        self.holds.extend(thread.goes_on(tid, at, thread.owner));
        if let Some(request) = thread.owner.take().and_then(|id| self.open.get_mut(id)) {
            let rank = thread.rank_for(tid, request);
            thread.give_pending(request, rank);
            request.release(tid, at);
        } else if let Some(request) = thread.handed.and_then(|handed| self.open.get_mut(handed.request)) {
            let rank = thread.rank_for(tid, request);
            thread.give_pending(request, rank);
        }
        thread.handed = None;
        thread.drop_pending();
        thread.works_for(at, None);
    }

    /// Many stretches without a boundary: what the thread works for gets them, else they are of no use.
    fn relieve(&mut self, tid: Tid, at: Ns) {
        let Some(thread) = self.threads.get_mut(tid) else { return };
        let busy = busy_with(&self.open, thread, tid);
        if let Some(request) = busy.and_then(|id| self.open.get_mut(id)) {
            let rank = thread.rank_for(tid, request);
            thread.give_pending(request, rank);
            request.compact(at);
        }
        thread.drop_pending();
    }

    /// A thread was woken: if its waker worked for a request and did it on purpose, the request is handed over. A waker for whom a
    /// timer was due, and who has nothing in hand, hands that over.
    fn hand_over(&mut self, tid: Tid, interval: &OffCpu, at: Ns) {
        if interval.waker_tid == 0 || !wakes_on_purpose(interval.waker_syscall) {
            return;
        }
        let by = Tid(interval.waker_tid);
        let Some(waker) = self.threads.get_mut(by) else { return };
        let Some(id) = waker.worked_for(at) else {
            let timer = waker.timer.filter(|timer| timer.fired && timer.due <= at);
            if let (Some(timer), Some(thread)) = (timer, self.threads.get_mut(tid)) {
                thread.timer = Some(timer);
            }
            return;
        };
        let Some(request) = self.open.get_mut(id).filter(|request| !request.responded()) else { return };
        let mut depth = 1;
        if request.owner != Some(by)
            && let Some(handed) = waker.handed.filter(|handed| handed.request == id)
        {
            // The waker ran at that moment. The next that is heard of it may come after the end of the request.
            depth = handed.depth + 1;
            waker.run_to(at);
            let rank = waker.rank_for(by, request);
            waker.give_pending(request, rank);
        }
        if !request.handed_to.contains(&tid) {
            request.handed_to.push(tid);
        }
        if let Some(thread) = self.threads.get_mut(tid) {
            thread.handed = Some(Handed { request: id, depth });
            thread.works_for(at, Some(id));
        }
    }
}

/// The timer that a wait with a time-out was for. A wait that lasted as long was ended by it: an event would have ended it before.
fn timer(timeout: i64, left: Ns, ready: Ns) -> Option<Timer> {
    let timeout = u64::try_from(timeout).ok()?;
    let fired = ready.since(left).saturating_add(TIMER_EARLY) >= timeout;
    Some(Timer { due: if fired { ready } else { left.plus(timeout) }, fired })
}

/// Whether a waker in this system call means the thread that it wakes.
fn wakes_on_purpose(syscall: i32) -> bool {
    matches!(
        syscall,
        call::FUTEX
            | call::FUTEX_WAKE
            | call::WRITE
            | call::WRITEV
            | call::SENDTO
            | call::SENDMSG
            | call::SEMOP
            | call::SEMTIMEDOP
            | call::SEMCTL
            | call::MSGSND
            | call::KILL
            | call::TKILL
            | call::TGKILL
            | call::PIDFD_SEND_SIGNAL
            | call::CLONE
            | call::CLONE3
            | call::FORK
            | call::VFORK
            | call::IO_URING_ENTER
            | call::MQ_TIMEDSEND
    )
}
