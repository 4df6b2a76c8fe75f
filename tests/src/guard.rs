//! Processes that end with the test, however the test ends.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

pub use rustix::process::Signal;
use rustix::process::{
    Pid, WaitId, WaitIdOptions, kill_process, kill_process_group, set_parent_process_death_signal, waitid,
};

use crate::settings::patience;

const POLL: Duration = Duration::from_millis(5);
/// How long a process that was asked to end may take, before it is made to.
const GRACE: Duration = Duration::from_secs(3);

/// A child in a process group of its own. Dropping it ends it, and what it left behind in its group.
#[derive(Debug)]
pub struct Guard {
    child: Child,
    pid: Pid,
    name: String,
}

impl Guard {
    /// Starts a process.
    pub fn spawn(command: &mut Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        command.process_group(0);
        end_with_us(command);
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let pid = Pid::from_child(&child);
        Self { child, pid, name }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it writes to standard output, if that is a pipe; once.
    pub fn stdout(&mut self) -> ChildStdout {
        self.child.stdout.take().expect("the standard output is a pipe")
    }

    /// What it writes to standard error, if that is a pipe; once.
    pub fn stderr(&mut self) -> ChildStderr {
        self.child.stderr.take().expect("the standard error is a pipe")
    }

    /// Sends a signal to the process alone.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).unwrap_or_else(|error| panic!("cannot signal {}: {error}", self.name));
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        // Left uncollected, so that its id, which is also its group's, stays its own.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(waitid(WaitId::Pid(self.pid), options), Ok(None))
    }

    /// Waits for it to end by itself.
    pub fn wait(mut self, limit: Duration) -> ExitStatus {
        let in_time = wait_until(limit, || self.has_ended());
        assert!(in_time, "{} ({}) has not ended within {limit:?}", self.name, self.pid());
        self.collect()
    }

    /// Asks it to end, and makes it end if it does not.
    pub fn stop(mut self) -> ExitStatus {
        self.end()
    }

    fn end(&mut self) -> ExitStatus {
        if !self.has_ended() {
            // It can have ended since, which is as good.
            let _ = kill_process(self.pid, Signal::TERM);
            wait_until(GRACE, || self.has_ended());
        }
        self.collect()
    }

    fn collect(&mut self) -> ExitStatus {
        // Fails if the group is empty, as it should be.
        let _ = kill_process_group(self.pid, Signal::KILL);
        self.child.wait().unwrap_or_else(|error| panic!("cannot wait for {}: {error}", self.name))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.end();
        }
    }
}

/// A test program that is killed drops nothing.
#[expect(unsafe_code, reason = "what happens between fork and exec can only be said by pre_exec")]
fn end_with_us(command: &mut Command) {
    let die = || set_parent_process_death_signal(Some(Signal::KILL)).map_err(io::Error::from);
    // SAFETY: the closure makes one system call and touches no memory that another thread may have locked.
    unsafe { command.pre_exec(die) };
}

/// Waits until something holds; whether it did in time. The limit is stretched on a slow machine.
pub fn wait_until(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience(limit);
    loop {
        if holds() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(POLL);
    }
}
