//! The child's side of a launch, and the system calls that the standard library does not have.
//!
//! `std::process::Command` is of no use here: its `spawn` only returns when the child has become the program, and waits
//! for that on a descriptor that a second waiting child may have inherited.

use std::ffi::{CString, OsString, c_char, c_int};
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use crate::units::Pid;

/// The byte that lets the child become the program.
pub(super) const GO: u8 = 1;

/// Descriptors up to here are closed in the waiting child, if the program would not get them anyway. Ours are opened
/// early and low.
const MAX_FD: c_int = 4096;

/// Everything that the child needs, made before the fork: it may not allocate.
pub(super) struct Plan {
    argv: Vec<CString>,
    input: File,
    output: File,
    go: PipeReader,
    errors: PipeWriter,
}

impl Plan {
    /// A child with an empty input, whose output goes to `output`, that waits for [`GO`] in `go`, and writes to `errors`
    /// with which error it could not become the program.
    pub(super) fn new(
        argv: &[OsString],
        output: File,
        go: PipeReader,
        errors: PipeWriter,
    ) -> io::Result<Self> {
        let argv = argv.iter().map(|word| CString::new(word.as_bytes())).collect::<Result<_, _>>()?;
        Ok(Self { argv, input: File::open("/dev/null")?, output, go, errors })
    }

    /// Forks the child. It ends when this thread ends.
    #[expect(unsafe_code, reason = "fork")]
    pub(super) fn fork(&self) -> io::Result<Pid> {
        let mut argv: Vec<*const c_char> = self.argv.iter().map(|word| word.as_ptr()).collect();
        argv.push(std::ptr::null());
        let parent = std::process::id();
        // SAFETY: the child runs `become_program` only, which makes system calls and nothing else: no allocation, no lock,
        // no panic.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                let error = self.become_program(&argv, parent);
                let _ = (&self.errors).write_all(&error.raw_os_error().unwrap_or(libc::EINVAL).to_ne_bytes());
                // SAFETY: ends the child at once, without running what the parent registered for its own end.
                unsafe { libc::_exit(127) }
            }
            pid => Ok(Pid(pid.unsigned_abs())),
        }
    }

    /// Waits for [`GO`] and becomes the program; returns why it could not.
    #[expect(unsafe_code, reason = "code between fork and exec")]
    fn become_program(&self, argv: &[*const c_char], parent: u32) -> io::Error {
        let (go, errors) = (self.go.as_raw_fd(), self.errors.as_raw_fd());
        // SAFETY: async-signal-safe calls on numbers and on values of this frame. Closing descriptors takes none from
        // anybody: the child's are copies, and of those that it still uses none is closed.
        unsafe {
            // Ctrl-C is for us, and we end the child; and what it forks can be ended with it.
            libc::setpgid(0, 0);
            // Handlers that we have caught signals with would run in the child, too, and keep it alive; what we ignore
            // or block, the program would.
            for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGPIPE] {
                libc::signal(signal, libc::SIG_DFL);
            }
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) != 0 {
                return io::Error::last_os_error();
            }
            for (from, to) in
                [(self.input.as_raw_fd(), 0), (self.output.as_raw_fd(), 1), (self.output.as_raw_fd(), 2)]
            {
                if libc::dup2(from, to) < 0 {
                    return io::Error::last_os_error();
                }
            }
            // Our own descriptors close at the exec, but the wait before it may be long: the ends of other launches'
            // pipes and listening sockets must not stay open for it.
            for fd in (3..MAX_FD).filter(|&fd| fd != go && fd != errors) {
                let flags = libc::fcntl(fd, libc::F_GETFD);
                if flags >= 0 && flags & libc::FD_CLOEXEC != 0 {
                    libc::close(fd);
                }
            }
        }
        // The parent may have ended before the kernel was asked to tell.
        if std::os::unix::process::parent_id() != parent {
            return io::Error::from_raw_os_error(libc::ECANCELED);
        }
        let mut byte = [0];
        if (&self.go).read_exact(&mut byte).is_err() {
            return io::Error::from_raw_os_error(libc::ECANCELED);
        }
        // SAFETY: `argv` is made of C strings that live in `self`, and ends with a null pointer.
        unsafe { libc::execvp(argv[0], argv.as_ptr()) };
        io::Error::last_os_error()
    }
}

/// See [`super::end_with`].
#[expect(unsafe_code, reason = "nobody wraps PR_SET_PDEATHSIG here")]
pub(super) fn end_with(parent: Pid) -> io::Result<()> {
    // SAFETY: takes numbers only.
    if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // The parent may have ended before the kernel was asked to tell.
    if std::os::unix::process::parent_id() == parent.0 {
        Ok(())
    } else {
        Err(io::Error::other(format!(
            "process {parent} is not the one that has started this one, or has ended"
        )))
    }
}

/// How our child ended, if it has; it stays uncollected.
pub(super) fn exit_status(pid: Pid) -> Option<ExitStatus> {
    wait_for(pid, libc::WNOHANG | libc::WNOWAIT)
}

/// Waits for our child to end, and collects it.
pub(super) fn collect(pid: Pid) -> Option<ExitStatus> {
    wait_for(pid, 0)
}

#[expect(unsafe_code, reason = "std only knows children that it has started itself")]
fn wait_for(pid: Pid, flags: c_int) -> Option<ExitStatus> {
    // SAFETY: `siginfo_t` is plain data, for which all zeros is a value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a whole `siginfo_t`, which the kernel fills.
    while unsafe { libc::waitid(libc::P_PID, pid.0, &raw mut info, libc::WEXITED | flags) } != 0 {
        if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return None;
        }
    }
    // SAFETY: `waitid` has set the fields of the SIGCHLD variant, or left all zeros.
    let (child, status) = unsafe { (info.si_pid(), info.si_status()) };
    if child == 0 {
        return None;
    }
    Some(ExitStatus::from_raw(match info.si_code {
        libc::CLD_EXITED => (status & 0xff) << 8,
        libc::CLD_DUMPED => status | 0x80,
        _ => status,
    }))
}

/// Sends a signal to our child, which must not be collected yet.
pub(super) fn signal(pid: Pid, signal: c_int) {
    if let Ok(pid) = libc::pid_t::try_from(pid.0) {
        kill(pid, signal);
    }
}

/// Sends a signal to the process group that our child leads.
pub(super) fn signal_group(pid: Pid, signal: c_int) {
    if let Ok(pid) = libc::pid_t::try_from(pid.0) {
        kill(-pid, signal);
    }
}

#[expect(unsafe_code, reason = "std can only kill, not signal")]
fn kill(target: libc::pid_t, signal: c_int) {
    // 0 and -1 would mean our own group and everybody.
    if !matches!(target, -1..=1) {
        // SAFETY: takes numbers only. It fails where there is nobody to signal, which is what was wanted.
        unsafe { libc::kill(target, signal) };
    }
}
