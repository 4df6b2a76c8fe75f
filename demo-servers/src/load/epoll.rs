//! `epoll` with timeouts in nanoseconds, which neither `epoll_wait` (milliseconds) nor a wrapper over it offers.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// What to wait for on a socket (level-triggered; errors and hang-ups are always reported).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Bytes or the end of the stream.
    Read,
    /// Those, or room in the send buffer; also how a connection that is being opened reports.
    ReadWrite,
}

/// An epoll instance.
#[derive(Debug)]
pub struct Epoll {
    fd: OwnedFd,
    events: Vec<libc::epoll_event>,
    /// The kernel is older than 5.11 and has no `epoll_pwait2`.
    old_kernel: bool,
}

const CAPACITY: u16 = 256;

impl Epoll {
    /// A new instance. Also asks the kernel not to round this thread's waits up by the usual 50 µs.
    #[expect(unsafe_code, reason = "system calls")]
    pub fn new() -> io::Result<Self> {
        // SAFETY: takes numbers only and cannot fail with these. PR_SET_TIMERSLACK: 0 would mean the default, 1 is
        // the least; it concerns only the calling thread.
        unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong) };
        // SAFETY: takes a flag only.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just given us this descriptor; nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd, events: Vec::with_capacity(CAPACITY.into()), old_kernel: false })
    }

    /// Watches a socket; its events carry `key`. Closing it ends that.
    pub fn add(&self, socket: &impl AsFd, key: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, socket, key, interest)
    }

    /// Changes what a watched socket is watched for.
    pub fn modify(&self, socket: &impl AsFd, key: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, socket, key, interest)
    }

    #[expect(unsafe_code, reason = "system call")]
    fn control(&self, operation: i32, socket: &impl AsFd, key: u64, interest: Interest) -> io::Result<()> {
        let events = match interest {
            Interest::Read => libc::EPOLLIN | libc::EPOLLRDHUP,
            Interest::ReadWrite => libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLOUT,
        };
        let mut event = libc::epoll_event { events: events.cast_unsigned(), u64: key };
        let socket = socket.as_fd().as_raw_fd();
        // SAFETY: both descriptors are borrowed and so open, and the kernel only reads `event` during the call.
        match unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), operation, socket, &raw mut event) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Waits for events, at most for `timeout`, and fills `keys` with those that came. A signal ends the wait early.
    pub fn wait(&mut self, timeout: Duration, keys: &mut Vec<u64>) -> io::Result<()> {
        keys.clear();
        match self.wait_raw(timeout) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::ENOSYS) && !self.old_kernel => {
                self.old_kernel = true;
                return self.wait(timeout, keys);
            }
            Err(error) => return Err(error),
        }
        keys.extend(self.events.iter().map(|event| event.u64));
        Ok(())
    }

    #[expect(unsafe_code, reason = "system calls")]
    fn wait_raw(&mut self, timeout: Duration) -> io::Result<()> {
        let timeout = libc::timespec {
            tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: libc::c_long::from(timeout.subsec_nanos().cast_signed()),
        };
        let (fd, mask) = (self.fd.as_raw_fd(), std::ptr::null::<libc::sigset_t>());
        let events = self.events.as_mut_ptr();
        let count = if self.old_kernel {
            let mut epoll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
            // SAFETY: one pollfd and a timespec, valid during the call; no signal mask.
            if unsafe { libc::ppoll(&raw mut epoll, 1, &raw const timeout, mask) } < 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: the Vec has room for CAPACITY events, which is all that the kernel is told to write.
            libc::c_long::from(unsafe { libc::epoll_wait(fd, events, CAPACITY.into(), 0) })
        } else {
            // SAFETY: as above; the timespec is only read, and without a signal mask its size (last) does not matter.
            // The struct timespec of libc is the kernel's 64-bit one on every 64-bit target.
            unsafe {
                libc::syscall(
                    libc::SYS_epoll_pwait2,
                    fd,
                    events,
                    libc::c_long::from(CAPACITY),
                    &raw const timeout,
                    mask,
                    0_usize,
                )
            }
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        // SAFETY: the kernel has written this many events, at most CAPACITY, to the beginning of the Vec.
        unsafe { self.events.set_len(count.min(CAPACITY.into())) };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::time::Instant;

    use super::*;

    /// Both ways of waiting are far finer than a millisecond, and report a readable socket at once.
    #[test]
    fn waits_finely_on_new_and_old_kernels() {
        for old_kernel in [false, true] {
            let mut epoll = Epoll { old_kernel, ..Epoll::new().unwrap() };
            let mut keys = Vec::new();
            let shortest = (0..20)
                .map(|_| {
                    let began = Instant::now();
                    epoll.wait(Duration::from_micros(100), &mut keys).unwrap();
                    began.elapsed()
                })
                .min();
            assert!(keys.is_empty() && shortest < Some(Duration::from_micros(900)), "{shortest:?}");
            let (mut ours, theirs) = UnixStream::pair().unwrap();
            epoll.add(&theirs, 7, Interest::Read).unwrap();
            ours.write_all(b"x").unwrap();
            epoll.wait(Duration::from_secs(5), &mut keys).unwrap();
            assert_eq!(keys, [7]);
        }
    }
}
