//! A command that is traced from its first instruction: started stopped, let go when the probes are attached.
//!
//! The child is forked at once and waits, before it becomes the program, for a byte in a pipe; its process id is known
//! meanwhile. When whywait ends, however that happens, the pipe's other end is closed and the child ends instead of
//! becoming the program; one that already has become it gets SIGTERM from the kernel.

mod child;
mod output;

use std::ffi::OsString;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use self::child::Plan;
use crate::units::Pid;

/// How often a child is looked at that was told to end.
const POLL: Duration = Duration::from_millis(10);

/// Why a command cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// Nothing to start.
    #[error("no command was given; write it after `--`")]
    NoCommand,
    /// There is no such program.
    #[error("there is no program `{program}`; check the name, or give its path")]
    NotFound {
        /// The first word of the command.
        program: String,
    },
    /// It is not a program, or not for us.
    #[error("`{program}` may not be executed; check its permissions, and those of the directories in PATH")]
    NotExecutable {
        /// The first word of the command.
        program: String,
    },
    /// The system refuses for another reason.
    #[error("cannot start `{program}`: {source}")]
    Start {
        /// The first word of the command.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// Where its output should go cannot be written.
    #[error("cannot write the command's output to {path}: {source}", path = path.display())]
    Output {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The start has failed before, or the command was ended.
    #[error("`{program}` has ended and cannot be started again; launch it anew")]
    Ended {
        /// The first word of the command.
        program: String,
    },
}

/// A command that was started by us and ends with us.
pub struct Launched {
    program: String,
    pid: Pid,
    output: PathBuf,
    state: State,
    status: Option<ExitStatus>,
    /// Tells the starting thread, by being dropped, that it may end.
    release: Option<Sender<()>>,
    /// The thread that forked the child: the kernel ends the child when that thread ends (`PR_SET_PDEATHSIG`).
    starter: Option<JoinHandle<()>>,
}

/// Has this process end, by SIGTERM, with the one that launched it. A launched program that cannot rely on its launch calls
/// this: the kernel forgets the launch's own request when it executes a file with capabilities
/// (`PR_SET_PDEATHSIG(2const)`), and whywait's may have some.
///
/// # Errors
/// When the kernel refuses, or `parent` is not, or no longer, this process's parent.
pub fn end_with(parent: Pid) -> io::Result<()> {
    child::end_with(parent)
}

enum State {
    /// The child waits for a byte in `go`, and will write to `errors` if it cannot become the program.
    Waiting { go: PipeWriter, errors: PipeReader },
    /// The child is the program. It stays uncollected to the end, so that its id means nobody else.
    Running,
    /// There is no child (any more).
    Gone,
}

impl Launched {
    /// Forks a child that will become the command, and stops it right before that. Its standard input is empty; what it
    /// writes goes to `output`, or else to a new file in the directory for temporary files.
    ///
    /// # Errors
    /// When there is no command, the output cannot be written, or the system has no room for a process. Whether the
    /// program exists shows in [`go`](Self::go).
    pub fn prepare(argv: &[OsString], output: Option<&Path>) -> Result<Self, LaunchError> {
        let Some(first) = argv.first().filter(|first| !first.is_empty()) else {
            return Err(LaunchError::NoCommand);
        };
        let program = first.to_string_lossy().into_owned();
        let (output, file) = output::open(&program, output)?;
        let failed = |source| LaunchError::Start { program: program.clone(), source };

        let (go_end, go) = io::pipe().map_err(failed)?;
        let (errors, errors_end) = io::pipe().map_err(failed)?;
        let plan = Plan::new(argv, file, go_end, errors_end).map_err(failed)?;
        let (report, forked) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name("whywait-launch".to_owned());
        let thread = thread
            .spawn(move || {
                let pid = plan.fork();
                // Closes our copies of the child's pipe ends.
                drop(plan);
                let _ = report.send(pid);
                // No value is ever sent: this is an error as soon as the other end is dropped.
                let _ = released.recv();
            })
            .map_err(failed)?;
        let pid = forked.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into())).map_err(failed)?;
        let (release, starter) = (Some(release), Some(thread));
        let state = State::Waiting { go, errors };
        Ok(Self { program, pid, output, state, status: None, release, starter })
    }

    /// The child's process id, which stays the same when it becomes the program.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// The first word of the command.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// Where the command's output goes.
    pub fn output_path(&self) -> &Path {
        &self.output
    }

    /// Lets the child become the program, and waits until it has. Once it has, this does nothing.
    ///
    /// # Errors
    /// When there is no such program, or it may not or cannot be executed.
    pub fn go(&mut self) -> Result<(), LaunchError> {
        match std::mem::replace(&mut self.state, State::Running) {
            State::Waiting { mut go, mut errors } => {
                // If nobody reads it any more, the child has ended, which `try_wait` tells.
                let _ = go.write_all(&[child::GO]);
                let mut error = [0; 4];
                // The other end closes when the child becomes the program.
                if errors.read_exact(&mut error).is_err() {
                    return Ok(());
                }
                child::collect(self.pid);
                self.state = State::Gone;
                Err(self.start_error(io::Error::from_raw_os_error(i32::from_ne_bytes(error))))
            }
            State::Running => Ok(()),
            State::Gone => {
                self.state = State::Gone;
                Err(LaunchError::Ended { program: self.program.clone() })
            }
        }
    }

    /// How the program ended, if it has. It is not collected yet: its id stays its own until [`Launched`] is dropped.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() && matches!(self.state, State::Running) {
            self.status = child::exit_status(self.pid);
        }
        self.status
    }

    /// Asks the program to end (SIGTERM), waits for at most `grace`, and then ends what is left of it and of the
    /// processes that it started in its process group (SIGKILL). Tells how the program itself ended, if it ever ran.
    pub fn terminate(&mut self, grace: Duration) -> Option<ExitStatus> {
        if matches!(self.state, State::Running) && self.try_wait().is_none() {
            child::signal(self.pid, libc::SIGTERM);
            let started = Instant::now();
            while self.try_wait().is_none() && started.elapsed() < grace {
                std::thread::sleep(POLL);
            }
        }
        self.end();
        self.status
    }

    /// Ends whatever is left, and collects it.
    fn end(&mut self) {
        match std::mem::replace(&mut self.state, State::Gone) {
            State::Waiting { go, .. } => {
                child::signal(self.pid, libc::SIGKILL);
                drop(go);
                child::collect(self.pid);
            }
            State::Running => {
                // The child is not collected yet, so the group's number cannot be another group's.
                child::signal_group(self.pid, libc::SIGKILL);
                child::signal(self.pid, libc::SIGKILL);
                self.status = child::collect(self.pid).or(self.status);
            }
            State::Gone => {}
        }
        drop(self.release.take());
        if let Some(starter) = self.starter.take() {
            // It does not panic, and if it had, the child would be gone all the same.
            let _ = starter.join();
        }
    }

    fn start_error(&self, source: io::Error) -> LaunchError {
        let program = self.program.clone();
        match source.kind() {
            io::ErrorKind::NotFound => LaunchError::NotFound { program },
            io::ErrorKind::PermissionDenied => LaunchError::NotExecutable { program },
            _ => LaunchError::Start { program, source },
        }
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests;
