//! From an interval off the CPU to what the thread waited for.

use whywait_ebpf::{
    abi::{OffCpu, file_kind, off_cpu, task_state},
    syscalls as call,
};

use super::state::State;

/// What a thread waited for while it was off the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// For nothing: it was preempted, or yielded.
    Preempted,
    /// For whatever comes: events of many descriptors, or a connection to accept. The end of ownership.
    Idle,
    /// The same, but what came was another process's word, by a signal: a latch, as `PostgreSQL` calls it.
    Latch,
    /// To receive from this socket (its address).
    Receive(u64),
    /// To send to, or to connect, this socket.
    Send(u64),
    /// For something that is a state by itself.
    State(State),
}

/// Tells what an interval was spent on.
pub fn classify(interval: &OffCpu) -> Wait {
    if interval.flags & off_cpu::VOLUNTARY == 0 {
        return Wait::Preempted;
    }
    if interval.flags & off_cpu::KERNEL_LOCK != 0 {
        return Wait::State(State::KernelLock);
    }
    let uninterruptible = interval.state & task_state::UNINTERRUPTIBLE != 0;
    match interval.syscall {
        ..0 if uninterruptible => Wait::State(State::PageFault),
        call::POLL | call::PPOLL if interval.args[1] == 0 => Wait::State(State::Sleep),
        call::SELECT | call::PSELECT6 if interval.args[0] == 0 => Wait::State(State::Sleep),
        call::NANOSLEEP | call::CLOCK_NANOSLEEP => Wait::State(State::Sleep),
        call::POLL
        | call::PPOLL
        | call::SELECT
        | call::PSELECT6
        | call::EPOLL_WAIT
        | call::EPOLL_PWAIT
        | call::EPOLL_PWAIT2
        | call::IO_URING_ENTER
        | call::ACCEPT
        | call::ACCEPT4
        | call::PAUSE
        | call::RT_SIGSUSPEND
        | call::RT_SIGTIMEDWAIT => {
            if interval.waker_pid != 0 && signals(interval.waker_syscall) {
                Wait::Latch
            } else {
                Wait::Idle
            }
        }
        call::FUTEX | call::FUTEX_WAIT | call::FUTEX_WAITV | call::SEMOP | call::SEMTIMEDOP | call::FLOCK => {
            Wait::State(State::Lock)
        }
        call::FCNTL if interval.args[1] == F_SETLKW || interval.args[1] == F_OFD_SETLKW => {
            Wait::State(State::Lock)
        }
        // A thread that is blocked in creating a process waits until that runs another program: `vfork`.
        call::WAIT4 | call::WAITID | call::VFORK | call::CLONE | call::CLONE3 => Wait::State(State::Child),
        call::CONNECT => Wait::Send(interval.object),
        number => by_file(interval, number, uninterruptible),
    }
}

/// Whether a waker in this system call sends a signal.
fn signals(syscall: i32) -> bool {
    matches!(syscall, call::KILL | call::TKILL | call::TGKILL | call::PIDFD_SEND_SIGNAL)
}

const F_SETLKW: u64 = 7;
const F_OFD_SETLKW: u64 = 38;

/// Waits on a descriptor, by the kind of its file.
fn by_file(interval: &OffCpu, number: i32, uninterruptible: bool) -> Wait {
    let writes = matches!(
        number,
        call::WRITE
            | call::WRITEV
            | call::SENDTO
            | call::SENDMSG
            | call::SENDMMSG
            | call::SENDFILE
            | call::PWRITEV2
            | call::CLOSE
            | call::SHUTDOWN
    );
    match interval.file {
        // The socket's own lock, or memory for its buffers, is neither the peer's doing nor the disk's.
        file_kind::SOCKET if uninterruptible => Wait::State(State::KernelLock),
        file_kind::SOCKET if writes => Wait::Send(interval.object),
        file_kind::SOCKET => Wait::Receive(interval.object),
        file_kind::PIPE => Wait::State(State::Downstream),
        file_kind::DISK => Wait::State(State::Disk),
        _ if interval.flags & off_cpu::IO_WAIT != 0 => Wait::State(State::Disk),
        _ if uninterruptible && touches_files(number) => Wait::State(State::Disk),
        _ => Wait::State(State::Other),
    }
}

/// Calls by a path or on a file system, which sleep uninterruptibly for the disk alone.
fn touches_files(number: i32) -> bool {
    matches!(
        number,
        call::OPEN
            | call::OPENAT
            | call::OPENAT2
            | call::CREAT
            | call::STAT
            | call::LSTAT
            | call::NEWFSTATAT
            | call::STATX
            | call::ACCESS
            | call::TRUNCATE
            | call::RENAME
            | call::RENAMEAT
            | call::RENAMEAT2
            | call::MKDIR
            | call::MKDIRAT
            | call::RMDIR
            | call::LINK
            | call::UNLINK
            | call::UNLINKAT
            | call::SYMLINK
            | call::READLINK
            | call::CHMOD
            | call::CHOWN
            | call::SYNC
            | call::SYNCFS
            | call::MSYNC
            | call::EXECVE
            | call::IO_GETEVENTS
            | call::IO_PGETEVENTS
            | call::CLOSE
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocked(syscall: i32) -> OffCpu {
        OffCpu { flags: off_cpu::VOLUNTARY, state: task_state::INTERRUPTIBLE, syscall, ..OffCpu::default() }
    }

    #[test]
    fn a_poll_with_nothing_but_a_timeout_sleeps() {
        assert_eq!(classify(&blocked(call::POLL)), Wait::State(State::Sleep));
        assert_eq!(classify(&OffCpu { args: [1, 3, 0], ..blocked(call::POLL) }), Wait::Idle);
        assert_eq!(classify(&OffCpu { args: [4, 0, 0], ..blocked(call::SELECT) }), Wait::Idle);
    }

    #[test]
    fn a_signal_from_another_process_is_a_latch() {
        let woken = |waker_syscall| OffCpu { waker_pid: 7, waker_syscall, ..blocked(call::EPOLL_WAIT) };
        assert_eq!(classify(&woken(call::KILL)), Wait::Latch);
        assert_eq!(classify(&woken(call::SENDTO)), Wait::Idle);
    }

    #[test]
    fn a_preempted_thread_waits_for_a_cpu_whatever_call_it_is_in() {
        assert_eq!(classify(&OffCpu { flags: 0, ..blocked(call::FUTEX) }), Wait::Preempted);
    }

    #[test]
    fn the_kind_of_the_file_decides_what_a_read_waits_for() {
        let read = |file| classify(&OffCpu { file, object: 77, ..blocked(call::READ) });
        assert_eq!(read(file_kind::SOCKET), Wait::Receive(77));
        assert_eq!(read(file_kind::PIPE), Wait::State(State::Downstream));
        assert_eq!(read(file_kind::DISK), Wait::State(State::Disk));
        assert_eq!(read(file_kind::OTHER), Wait::State(State::Other));
    }

    #[test]
    fn memory_is_waited_for_outside_any_call() {
        let fault = OffCpu { state: task_state::UNINTERRUPTIBLE, ..blocked(-1) };
        assert_eq!(classify(&fault), Wait::State(State::PageFault));
    }

    #[test]
    fn a_record_lock_is_a_lock_and_another_fcntl_is_not() {
        assert_eq!(
            classify(&OffCpu { args: [3, F_SETLKW, 0], ..blocked(call::FCNTL) }),
            Wait::State(State::Lock)
        );
        assert_eq!(classify(&OffCpu { args: [3, 1, 0], ..blocked(call::FCNTL) }), Wait::State(State::Other));
    }
}
