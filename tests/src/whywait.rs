//! The profiler as a process.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::binaries;
use crate::guard::{Guard, Signal};
use crate::report::Report;
use crate::settings::patience;

/// How long attaching may take.
const ATTACH: Duration = Duration::from_secs(20);
/// How long the report may take once the time is over.
const REPORT: Duration = Duration::from_secs(20);
/// How long a record may be on its way: the client has its answer before the server's write has returned.
const SETTLE: Duration = Duration::from_millis(100);

/// The program with these arguments.
pub fn whywait_command(args: &[&str]) -> Command {
    let mut command = Command::new(binaries::whywait());
    command.args(args).stdin(Stdio::null());
    command
}

/// A run of `whywait`.
#[derive(Debug)]
pub struct Whywait {
    guard: Guard,
    stdout: JoinHandle<String>,
    stderr: JoinHandle<String>,
    lines: mpsc::Receiver<String>,
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit status.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ended {
    /// The report of a run that succeeded.
    pub fn report(&self) -> Report {
        assert_eq!(self.status.code(), Some(0), "whywait ended with {}: {}", self.status, self.stderr);
        Report::parse(&self.stdout)
    }
}

impl Whywait {
    /// Starts a command.
    pub fn start(mut command: Command) -> Self {
        let mut guard = Guard::spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
        let (mut out, err) = (guard.stdout(), BufReader::new(guard.stderr()));
        let stdout = thread::spawn(move || {
            let mut text = String::new();
            out.read_to_string(&mut text).expect("reading the report");
            text
        });
        let (sender, lines) = mpsc::channel();
        let stderr = thread::spawn(move || {
            let mut text = String::new();
            for line in err.lines() {
                let line = line.expect("reading whywait's messages");
                text += &line;
                text.push('\n');
                // Nobody listens any more once the beginning has been told.
                let _ = sender.send(line);
            }
            text
        });
        Self { guard, stdout, stderr, lines }
    }

    /// Starts `whywait explain --json ARGS` and waits until it is attached. It watches until it is told to stop.
    pub fn explain(args: &[&str]) -> Self {
        Self::attach(&[&["explain", "--json", "--duration", "3600"], args].concat())
    }

    /// Like [`explain`](Self::explain), for a window of this length.
    pub fn explain_for(window: Duration, args: &[&str]) -> Self {
        let seconds = window.as_secs_f64().to_string();
        Self::attach(&[&["explain", "--json", "--duration", &seconds], args].concat())
    }

    /// Watches one process until it is told to stop.
    pub fn on(pid: u32) -> Self {
        Self::explain(&["--pid", &pid.to_string()])
    }

    /// Starts `whywait ARGS` and waits until it is attached.
    pub fn attach(args: &[&str]) -> Self {
        let run = Self::start(whywait_command(args));
        run.wait_until_attached();
        run
    }

    /// Waits for the line that says that the window has begun.
    pub fn wait_until_attached(&self) {
        let limit = patience(ATTACH);
        let mut told = Vec::new();
        loop {
            match self.lines.recv_timeout(limit) {
                Ok(line) if line.starts_with("attached ") => return,
                Ok(line) => told.push(line),
                Err(RecvTimeoutError::Timeout) => {
                    panic!("whywait has not attached within {limit:?}: {told:?}")
                }
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("whywait has ended before it attached: {told:?}")
                }
            }
        }
    }

    /// Waits for a line on standard error that begins like this; the rest of it.
    pub fn wait_for_line(&self, beginning: &str) -> String {
        let limit = patience(ATTACH);
        loop {
            let line = self
                .lines
                .recv_timeout(limit)
                .unwrap_or_else(|_| panic!("whywait does not say `{beginning}`"));
            if let Some(rest) = line.strip_prefix(beginning) {
                return rest.to_owned();
            }
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.guard.pid()
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.guard.has_ended()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.guard.signal(signal);
    }

    /// Stops it, as Ctrl-C does, and returns its report.
    pub fn stop(self) -> Report {
        thread::sleep(patience(SETTLE));
        self.signal(Signal::INT);
        self.finish(Duration::ZERO)
    }

    /// Waits for its report, for at most this long.
    pub fn finish(self, left: Duration) -> Report {
        self.end(left).report()
    }

    /// Waits for its end, for at most this long and what the report takes.
    pub fn end(self, left: Duration) -> Ended {
        let status = self.guard.wait(left + REPORT);
        let stdout = self.stdout.join().expect("reading standard output");
        let stderr = self.stderr.join().expect("reading standard error");
        Ended { status, stdout, stderr }
    }
}
