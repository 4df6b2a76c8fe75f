//! Child processes: forking them, hearing of their end, stopping them; and signals as something to wait for.
//!
//! A process that forks here must have no second thread: a child has only the thread that called, and whatever lock
//! another one held at that moment stays locked in it for ever. So the parent waits for signals in a descriptor
//! (`signalfd`) and not in a thread, and only the children start a [`crate::server::Server`].

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use anyhow::Context;
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, getpid, getppid, kill_process, set_parent_process_death_signal,
    wait,
};

use crate::clock::MonotonicNs;
use crate::server::GRACE;

/// Exit status of a child whose work returned an error (which it has printed).
pub const FAILED: i32 = 1;
/// Exit status of a child that panicked, that of any Rust program.
const PANICKED: i32 = 101;

/// How often a parent that stops looks whether its children have ended.
const STOP_CHECK: Duration = Duration::from_millis(5);

/// What a parent process is told by signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// SIGTERM or SIGINT: to stop.
    Stop,
    /// SIGCHLD: at least one child has ended.
    ChildEnded,
}

/// SIGTERM, SIGINT and SIGCHLD, held back from their handlers and readable instead.
#[derive(Debug)]
pub struct Notices(File);

impl Notices {
    /// From now on these signals wait to be read: none is lost, however busy the process is. Children inherit that,
    /// until [`release_signals`].
    #[expect(unsafe_code, reason = "system call")]
    pub fn hold() -> anyhow::Result<Self> {
        let signals = change_mask(libc::SIG_BLOCK).context("cannot hold signals back")?;
        // SAFETY: takes a valid set and flags, and makes a new descriptor.
        let fd = unsafe { libc::signalfd(-1, &raw const signals, libc::SFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error()).context("cannot make a descriptor for signals");
        }
        // SAFETY: the kernel has just given us this descriptor; nobody else owns it.
        Ok(Self(File::from(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    /// Waits for the next notice.
    pub fn wait(&mut self) -> anyhow::Result<Notice> {
        let mut info = [0; size_of::<libc::signalfd_siginfo>()];
        self.0.read_exact(&mut info).context("waiting for signals failed")?;
        // The first member, `ssi_signo`, is the signal's number.
        let child = info.starts_with(&libc::SIGCHLD.to_ne_bytes());
        Ok(if child { Notice::ChildEnded } else { Notice::Stop })
    }
}

impl AsFd for Notices {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Delivers the signals that [`Notices::hold`] holds back, those that have come meanwhile at once. A child calls this
/// when its handlers are in place.
pub fn release_signals() -> io::Result<()> {
    change_mask(libc::SIG_UNBLOCK).map(drop)
}

#[expect(unsafe_code, reason = "std does not know signal masks")]
fn change_mask(how: i32) -> io::Result<libc::sigset_t> {
    // SAFETY: all zeros is a valid sigset_t, and sigemptyset makes it an empty set whatever that is.
    let mut signals: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `signals` is a valid set for each of these calls, and the numbers are those of existing signals.
    let error = unsafe {
        libc::sigemptyset(&raw mut signals);
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGCHLD] {
            libc::sigaddset(&raw mut signals, signal);
        }
        libc::pthread_sigmask(how, &raw const signals, std::ptr::null_mut())
    };
    if error == 0 { Ok(signals) } else { Err(io::Error::from_raw_os_error(error)) }
}

/// The living children of this process, each with what it was started for.
#[derive(Debug)]
pub struct Children<T>(HashMap<Pid, T>);

impl<T> Default for Children<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T> Children<T> {
    /// Forks a process that does `work` and exits: with 0, or with [`FAILED`] after printing the error. It gets SIGTERM
    /// if this process dies first. SIGTERM, SIGINT and SIGCHLD are held back in it if they are here.
    pub fn fork(&mut self, what: T, work: impl FnOnce() -> anyhow::Result<()>) -> io::Result<()> {
        let parent = getpid();
        let Some(child) = fork()? else {
            let end = catch_unwind(AssertUnwindSafe(|| {
                set_parent_process_death_signal(Some(Signal::TERM))?;
                // The parent may have died before it could be asked to tell.
                if getppid() == Some(parent) { work() } else { Ok(()) }
            }));
            // Not returned: everything up the stack is the parent's business.
            std::process::exit(match end {
                Ok(Ok(())) => 0,
                Ok(Err(error)) => {
                    eprintln!("process {}: {error:#}", getpid());
                    FAILED
                }
                Err(_) => PANICKED,
            });
        };
        self.0.insert(child, what);
        Ok(())
    }

    /// Takes the next child that has ended, without waiting. Until it is taken it is a zombie.
    pub fn reap(&mut self) -> Option<(Pid, T, WaitStatus)> {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if let Some(what) = self.0.remove(&pid) {
                return Some((pid, what, status));
            }
        }
        None
    }

    /// Passes SIGTERM on and waits for all to end. Who has not done so long after its requests' grace is killed.
    pub fn stop(mut self) {
        self.signal(Signal::TERM);
        let deadline = MonotonicNs::now() + GRACE * 2;
        while !self.0.is_empty() && MonotonicNs::now() < deadline {
            std::thread::sleep(STOP_CHECK);
            while self.reap().is_some() {}
        }
        self.signal(Signal::KILL);
        while !self.0.is_empty() {
            match wait(WaitOptions::empty()) {
                Ok(Some((pid, _))) => self.0.remove(&pid),
                _ => break,
            };
        }
    }

    fn signal(&self, signal: Signal) {
        for &pid in self.0.keys() {
            // Fails only for one that has ended; until it is reaped its id is not given to another process.
            let _ = kill_process(pid, signal);
        }
    }
}

/// `None` in the child.
#[expect(unsafe_code, reason = "a safe fork does not exist")]
fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: the caller is the only thread (see the module), so the child finds every lock and the heap as they are
    // between two operations of that thread, and may go on like any program.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        pid => Ok(Pid::from_raw(pid)),
    }
}
