//! Coroutines with stacks of their own, and the hub that they switch to instead of blocking.
//!
//! A coroutine runs until it would block, then says what it waits for and suspends; the hub, on the thread's own stack,
//! waits for all of them in one `epoll_wait` and resumes whichever is ready. The code in between does not know: a
//! [`stream::GreenStream`] is read and written like any socket.

pub mod stream;

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token};

use crate::clock::MonotonicNs;
use crate::reactor::timers::Timers;

/// Address space for a coroutine; only the pages that it touches become memory.
const STACK_BYTES: usize = 256 * 1024;
/// How many stacks of ended coroutines are kept for new ones.
const SPARE_STACKS: usize = 64;

/// What a coroutine waits for when it suspends: whichever comes first.
#[derive(Debug, Clone, Copy)]
pub struct Wait {
    /// Anything that happens on the socket with this token.
    pub socket: Option<Token>,
    /// A moment.
    pub until: Option<MonotonicNs>,
}

/// Why a coroutine goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// Something has happened on the socket, or this is the coroutine's beginning.
    Ready,
    /// The moment has come.
    TimedOut,
}

/// Through which a coroutine suspends.
pub type Switch = Yielder<Wake, Wait>;

type Green = Coroutine<Wake, Wait, ()>;

/// What came out of a turn of the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Nothing that concerns the caller.
    Done,
    /// The listener has connections, or has been shut down.
    Listener,
}

/// Names a coroutine; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Id(usize);

/// The coroutines of one thread and what they wait for.
pub struct Hub {
    poll: Poll,
    events: Events,
    suspended: HashMap<Id, Suspended>,
    /// Which coroutine waits for a socket.
    waiting: HashMap<Token, Id>,
    timers: Timers<Id>,
    spare: Vec<DefaultStack>,
    spawned: usize,
}

struct Suspended {
    coroutine: Green,
    wait: Wait,
    /// A timer that has not fired yet. It serves a later moment as well, by being set again: otherwise each request would
    /// leave the timer of its idle timeout behind.
    timer: Option<MonotonicNs>,
}

/// The listening socket's token; those of coroutines are never 0.
const LISTENER: Token = Token(0);

impl Hub {
    /// A hub that watches `listener`.
    pub fn new(listener: &impl std::os::fd::AsRawFd) -> io::Result<Self> {
        let poll = Poll::new()?;
        poll.registry().register(&mut SourceFd(&listener.as_raw_fd()), LISTENER, Interest::READABLE)?;
        Ok(Self {
            poll,
            events: Events::with_capacity(1024),
            suspended: HashMap::new(),
            waiting: HashMap::new(),
            timers: Timers::default(),
            spare: Vec::new(),
            spawned: 0,
        })
    }

    /// Where coroutines register their sockets.
    pub fn registry(&self) -> io::Result<Registry> {
        self.poll.registry().try_clone()
    }

    /// Whether no coroutine is left.
    pub fn is_idle(&self) -> bool {
        self.suspended.is_empty()
    }

    /// Runs `body` as a new coroutine, until it suspends for the first time.
    pub fn spawn(&mut self, body: impl FnOnce(&Switch) + 'static) -> io::Result<()> {
        let stack = self.spare.pop().map_or_else(|| DefaultStack::new(STACK_BYTES), Ok)?;
        let coroutine = Coroutine::with_stack(stack, move |switch: &Switch, _: Wake| body(switch));
        self.spawned += 1;
        let wait = Wait { socket: None, until: None };
        self.resume(Id(self.spawned), Suspended { coroutine, wait, timer: None }, Wake::Ready);
        Ok(())
    }

    /// Waits, at most for `limit`, and resumes every coroutine whose wait is over.
    pub fn turn(&mut self, limit: Option<Duration>) -> io::Result<Turn> {
        let timeout = [self.timers.timeout(), limit].into_iter().flatten().min();
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        let mut turn = Turn::Done;
        let ready: Vec<Token> = self.events.iter().map(mio::event::Event::token).collect();
        for token in ready {
            if token == LISTENER {
                turn = Turn::Listener;
            } else if let Some(id) = self.waiting.get(&token).copied() {
                self.wake(id, Wake::Ready);
            }
        }
        while let Some(id) = self.timers.pop_due(MonotonicNs::now()) {
            self.on_timer(id);
        }
        Ok(turn)
    }

    fn on_timer(&mut self, id: Id) {
        let Some(suspended) = self.suspended.get_mut(&id) else { return };
        suspended.timer = None;
        match suspended.wait.until {
            Some(until) if until <= MonotonicNs::now() => self.wake(id, Wake::TimedOut),
            _ => self.set_timer(id),
        }
    }

    fn set_timer(&mut self, id: Id) {
        if let Some(suspended) = self.suspended.get_mut(&id)
            && let Some(until) = suspended.wait.until
            && suspended.timer.is_none_or(|timer| timer > until)
        {
            suspended.timer = Some(until);
            self.timers.push(until, id);
        }
    }

    fn wake(&mut self, id: Id, wake: Wake) {
        let Some(suspended) = self.suspended.remove(&id) else { return };
        if let Some(token) = suspended.wait.socket {
            self.waiting.remove(&token);
        }
        self.resume(id, suspended, wake);
    }

    fn resume(&mut self, id: Id, mut suspended: Suspended, wake: Wake) {
        match suspended.coroutine.resume(wake) {
            CoroutineResult::Yield(wait) => {
                suspended.wait = wait;
                if let Some(token) = wait.socket {
                    self.waiting.insert(token, id);
                }
                self.suspended.insert(id, suspended);
                self.set_timer(id);
            }
            CoroutineResult::Return(()) if self.spare.len() < SPARE_STACKS => {
                self.spare.push(suspended.coroutine.into_stack());
            }
            CoroutineResult::Return(()) => {}
        }
    }
}

/// Suspends the coroutine for `time`; the other ones go on.
pub fn sleep(switch: &Switch, time: Duration) {
    switch.suspend(Wait { socket: None, until: Some(MonotonicNs::now() + time) });
}
