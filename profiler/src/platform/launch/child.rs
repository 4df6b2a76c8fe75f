//! The child's side of a launch, and the system calls that the standard library does not have.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};

use crate::units::Pid;

/// The byte that lets the child become the program.
pub(super) const GO: u8 = 1;

/// The command, whose child will write its id to `pid_end`, wait for [`GO`] at `go_end`, and only then become the
/// program. `go` is our end of that pipe, which the child must not hold open itself.
#[expect(unsafe_code, reason = "code between fork and exec")]
pub(super) fn command(
    argv: &[OsString],
    output: File,
    pid_end: PipeWriter,
    go_end: PipeReader,
    go: &PipeWriter,
) -> io::Result<Command> {
    let (program, arguments) = argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    // Its own group: Ctrl-C is for us, and we end it; and what it forks can be ended with it.
    command.process_group(0);
    let (parent, go) = (std::process::id(), go.as_raw_fd());
    let wait_for_go = move || {
        // SAFETY: these only take numbers and are async-signal-safe. The descriptor `go` is open here, because the
        // parent holds it open over the fork, and nothing else in the child uses it.
        unsafe {
            libc::close(go);
            // Handlers that we have caught signals with would run in the child, too, and keep it alive.
            libc::signal(libc::SIGTERM, libc::SIG_DFL);
            libc::signal(libc::SIGINT, libc::SIG_DFL);
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        // The parent may have ended before the kernel was asked to tell.
        if std::os::unix::process::parent_id() != parent {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        (&pid_end).write_all(&std::process::id().to_ne_bytes())?;
        let mut byte = [0];
        (&go_end).read_exact(&mut byte)
    };
    // SAFETY: between fork and exec the closure makes system calls only: no allocation, no lock, no panic. Errors of
    // the kinds above are plain values.
    unsafe { command.pre_exec(wait_for_go) };
    Ok(command)
}

/// How our child ended, if it has; it stays uncollected.
#[expect(unsafe_code, reason = "std cannot look at a child without collecting it")]
pub(super) fn exit_status(pid: Pid) -> Option<ExitStatus> {
    // SAFETY: `siginfo_t` is plain data, for which all zeros is a value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: the pointer is to a whole `siginfo_t`, which the kernel fills.
    let result = unsafe { libc::waitid(libc::P_PID, pid.0, &raw mut info, flags) };
    // SAFETY: `waitid` has set the fields of the SIGCHLD variant, or left all zeros.
    let (child, status) = unsafe { (info.si_pid(), info.si_status()) };
    if result != 0 || child == 0 {
        return None;
    }
    Some(ExitStatus::from_raw(match info.si_code {
        libc::CLD_EXITED => (status & 0xff) << 8,
        libc::CLD_DUMPED => status | 0x80,
        _ => status,
    }))
}

/// Sends a signal to our child, which must not be collected yet.
pub(super) fn signal(pid: Pid, signal: libc::c_int) {
    if let Ok(pid) = libc::pid_t::try_from(pid.0) {
        kill(pid, signal);
    }
}

/// Sends a signal to the process group that our child leads.
pub(super) fn signal_group(pid: Pid, signal: libc::c_int) {
    if let Ok(pid) = libc::pid_t::try_from(pid.0) {
        kill(-pid, signal);
    }
}

#[expect(unsafe_code, reason = "std can only kill, not signal")]
fn kill(target: libc::pid_t, signal: libc::c_int) {
    // 0 and -1 would mean our own group and everybody.
    if !matches!(target, -1..=1) {
        // SAFETY: takes numbers only. It fails where there is nobody to signal, which is what was wanted.
        unsafe { libc::kill(target, signal) };
    }
}
