//! Children for the tests, which end with them.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::proc::{command_name, descendants, process_exists, stat};
use crate::units::Pid;

/// A child that is killed and collected when the test is over.
pub(super) struct Running(Child);

impl Running {
    pub(super) fn new(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    pub(super) fn sleep() -> Self {
        Self::new(Command::new("sleep").arg("30"))
    }

    pub(super) fn pid(&self) -> Pid {
        Pid(self.0.id())
    }

    /// Kills it, but leaves its collection to the end of the test.
    pub(super) fn end(&self) {
        Self::end_stranger(self.pid());
        wait_until(|| self.has_ended());
    }

    pub(super) fn has_ended(&self) -> bool {
        stat(self.pid()).map_or(true, |stat| stat.has_ended())
    }

    /// Kills what a child of the test has started.
    pub(super) fn end_stranger(pid: Pid) {
        // It may have ended by itself, of which `kill` would complain.
        Command::new("kill").args(["-KILL", &pid.to_string()]).stderr(Stdio::null()).status().unwrap();
    }

    /// Waits for a descendant to appear that runs this program; `None` if the child ended before.
    pub(super) fn descendant_named(&self, name: &str) -> Option<Pid> {
        let mut found = None;
        wait_until(|| {
            let named = |pid: &Pid| command_name(*pid).is_ok_and(|other| other == name);
            found = descendants(self.pid()).into_iter().find(named);
            found.is_some() || self.has_ended()
        });
        found
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for pid in descendants(self.pid()).into_iter().filter(|&pid| process_exists(pid)) {
            Self::end_stranger(pid);
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until something is so, for at most ten seconds.
pub(super) fn wait_until(mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(10), "waited for ten seconds in vain");
        std::thread::sleep(Duration::from_millis(5));
    }
}
