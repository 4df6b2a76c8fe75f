//! What a thread waits in, as far as it tells how it gets its work.

use whywait_ebpf::{
    abi::{OffCpu, file_kind, off_cpu},
    syscalls as call,
};

/// What a thread waited in before it did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Wait {
    /// For events of a set of descriptors that the kernel keeps: epoll, or the completions of an `io_uring`.
    Epoll,
    /// For events of the descriptors of a call: `poll` with several.
    Poll,
    /// In `select`, which does not tell how many descriptors it is for.
    Select,
    /// For events of a single descriptor: `poll` with one, which is a blocking call with a time-out; or `epoll_wait` for one event, as Gunicorn's threads
    /// wait for the first bytes of a connection in a set of their own. A loop asks for many events at once.
    One,
    /// In `accept`.
    Accept,
    /// To read from a socket.
    Receive,
    /// On a futex or a semaphore, for another thread.
    Futex,
    /// For something else.
    Other,
}

impl Wait {
    /// How many there are.
    pub const COUNT: usize = 8;

    /// What a voluntary interval was spent in; `None` for one in which the thread was preempted.
    pub fn of(interval: &OffCpu) -> Option<Self> {
        if interval.flags & off_cpu::VOLUNTARY == 0 {
            return None;
        }
        Some(match interval.syscall {
            call::EPOLL_WAIT | call::EPOLL_PWAIT | call::EPOLL_PWAIT2 if interval.args[2] == 1 => Self::One,
            call::EPOLL_WAIT | call::EPOLL_PWAIT | call::EPOLL_PWAIT2 | call::IO_URING_ENTER => Self::Epoll,
            call::POLL | call::PPOLL => match interval.args[1] {
                0 => Self::Other,
                1 => Self::One,
                _ => Self::Poll,
            },
            call::SELECT | call::PSELECT6 if interval.args[0] > 0 => Self::Select,
            call::ACCEPT | call::ACCEPT4 => Self::Accept,
            call::READ | call::READV | call::RECVFROM | call::RECVMSG | call::RECVMMSG
                if interval.file == file_kind::SOCKET =>
            {
                Self::Receive
            }
            call::FUTEX | call::FUTEX_WAIT | call::FUTEX_WAITV | call::SEMOP | call::SEMTIMEDOP => {
                Self::Futex
            }
            _ => Self::Other,
        })
    }

    /// Whether it is one for events of several descriptors, or may be.
    pub fn is_many(self) -> bool {
        matches!(self, Self::Epoll | Self::Poll | Self::Select)
    }

    /// Whether a waker in this system call passes something on: it wakes a pool's thread.
    pub fn hands_out(syscall: i32) -> bool {
        matches!(syscall, call::FUTEX | call::FUTEX_WAKE | call::SEMOP | call::SEMTIMEDOP)
    }

    /// Whether a waker in this system call makes a descriptor readable: it brings something back to a loop.
    pub fn brings_back(syscall: i32) -> bool {
        matches!(syscall, call::WRITE | call::WRITEV | call::SENDTO | call::SENDMSG)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocked(syscall: i32, args: [u64; 3]) -> OffCpu {
        OffCpu { flags: off_cpu::VOLUNTARY, syscall, args, ..OffCpu::default() }
    }

    #[test]
    fn a_wait_for_one_event_is_no_event_loop() {
        assert_eq!(Wait::of(&blocked(call::EPOLL_WAIT, [9, 0x1000, 1])), Some(Wait::One));
        assert_eq!(Wait::of(&blocked(call::EPOLL_WAIT, [9, 0x1000, 64])), Some(Wait::Epoll));
        assert_eq!(Wait::of(&blocked(call::POLL, [1, 1, 0])), Some(Wait::One));
        assert_eq!(Wait::of(&blocked(call::POLL, [1, 2, 0])), Some(Wait::Poll));
        assert_eq!(Wait::of(&blocked(call::SELECT, [0, 0, 0])), Some(Wait::Other));
        assert_eq!(Wait::of(&OffCpu { flags: 0, ..blocked(call::EPOLL_WAIT, [0; 3]) }), None);
    }
}
