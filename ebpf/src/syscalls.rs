//! System calls of x86-64 by number, and what whywait needs to know of them.
//!
//! The numbers are the kernel's ABI (`arch/x86/entry/syscalls/syscall_64.tbl`).

/// Defines a constant for each call, and `name()` over all of them.
macro_rules! calls {
    ($($constant:ident = $name:literal $number:literal,)*) => {
        $(
            #[doc = concat!("`", $name, "`")]
            pub const $constant: i32 = $number;
        )*

        /// Name of a system call, where whywait knows it.
        pub const fn name(number: i32) -> Option<&'static str> {
            match number {
                $($number => Some($name),)*
                _ => None,
            }
        }
    };
}

calls! {
    READ = "read" 0, WRITE = "write" 1, OPEN = "open" 2, CLOSE = "close" 3, STAT = "stat" 4, FSTAT = "fstat" 5, LSTAT = "lstat" 6, POLL = "poll" 7, LSEEK = "lseek" 8, MMAP = "mmap" 9,
    MPROTECT = "mprotect" 10, MUNMAP = "munmap" 11, BRK = "brk" 12, RT_SIGACTION = "rt_sigaction" 13, RT_SIGPROCMASK = "rt_sigprocmask" 14, RT_SIGRETURN = "rt_sigreturn" 15, IOCTL = "ioctl" 16, PREAD64 = "pread64" 17, PWRITE64 = "pwrite64" 18, READV = "readv" 19, WRITEV = "writev" 20,
    ACCESS = "access" 21, PIPE = "pipe" 22, SELECT = "select" 23, SCHED_YIELD = "sched_yield" 24, MREMAP = "mremap" 25, MSYNC = "msync" 26, MINCORE = "mincore" 27, MADVISE = "madvise" 28, DUP = "dup" 32, DUP2 = "dup2" 33,
    PAUSE = "pause" 34, NANOSLEEP = "nanosleep" 35, GETPID = "getpid" 39, SENDFILE = "sendfile" 40, SOCKET = "socket" 41, CONNECT = "connect" 42, ACCEPT = "accept" 43, SENDTO = "sendto" 44,
    RECVFROM = "recvfrom" 45, SENDMSG = "sendmsg" 46, RECVMSG = "recvmsg" 47, SHUTDOWN = "shutdown" 48, BIND = "bind" 49, LISTEN = "listen" 50, GETSOCKNAME = "getsockname" 51, GETPEERNAME = "getpeername" 52, SOCKETPAIR = "socketpair" 53, SETSOCKOPT = "setsockopt" 54, GETSOCKOPT = "getsockopt" 55, CLONE = "clone" 56,
    FORK = "fork" 57, VFORK = "vfork" 58, EXECVE = "execve" 59, EXIT = "exit" 60, WAIT4 = "wait4" 61, KILL = "kill" 62, SEMOP = "semop" 65, SEMCTL = "semctl" 66, MSGSND = "msgsnd" 69,
    MSGRCV = "msgrcv" 70, FCNTL = "fcntl" 72, FLOCK = "flock" 73, FSYNC = "fsync" 74, FDATASYNC = "fdatasync" 75, TRUNCATE = "truncate" 76, FTRUNCATE = "ftruncate" 77, GETDENTS = "getdents" 78,
    RENAME = "rename" 82, MKDIR = "mkdir" 83, RMDIR = "rmdir" 84, CREAT = "creat" 85, LINK = "link" 86, UNLINK = "unlink" 87, SYMLINK = "symlink" 88, READLINK = "readlink" 89,
    CHMOD = "chmod" 90, CHOWN = "chown" 92, GETTIMEOFDAY = "gettimeofday" 96, GETRUSAGE = "getrusage" 98, GETPPID = "getppid" 110, SIGALTSTACK = "sigaltstack" 131, PRCTL = "prctl" 157, RT_SIGTIMEDWAIT = "rt_sigtimedwait" 128, RT_SIGSUSPEND = "rt_sigsuspend" 130, SYNC = "sync" 162, GETTID = "gettid" 186, READAHEAD = "readahead" 187,
    TKILL = "tkill" 200, FUTEX = "futex" 202, IO_GETEVENTS = "io_getevents" 208, GETDENTS64 = "getdents64" 217, SEMTIMEDOP = "semtimedop" 220, FADVISE64 = "fadvise64" 221, TIMER_SETTIME = "timer_settime" 223, CLOCK_GETTIME = "clock_gettime" 228,
    CLOCK_NANOSLEEP = "clock_nanosleep" 230, EXIT_GROUP = "exit_group" 231, EPOLL_WAIT = "epoll_wait" 232, EPOLL_CTL = "epoll_ctl" 233, TGKILL = "tgkill" 234, MQ_TIMEDSEND = "mq_timedsend" 242,
    MQ_TIMEDRECEIVE = "mq_timedreceive" 243, WAITID = "waitid" 247, OPENAT = "openat" 257, MKDIRAT = "mkdirat" 258, NEWFSTATAT = "newfstatat" 262, UNLINKAT = "unlinkat" 263,
    RENAMEAT = "renameat" 264, PSELECT6 = "pselect6" 270, PPOLL = "ppoll" 271, SPLICE = "splice" 275, TEE = "tee" 276, SYNC_FILE_RANGE = "sync_file_range" 277, TIMERFD_SETTIME = "timerfd_settime" 286, VMSPLICE = "vmsplice" 278,
    EPOLL_PWAIT = "epoll_pwait" 281, EVENTFD2 = "eventfd2" 290, EPOLL_CREATE1 = "epoll_create1" 291, PIPE2 = "pipe2" 293, SET_ROBUST_LIST = "set_robust_list" 273, RSEQ = "rseq" 334, FALLOCATE = "fallocate" 285, ACCEPT4 = "accept4" 288, PREADV = "preadv" 295, PWRITEV = "pwritev" 296, RECVMMSG = "recvmmsg" 299, SYNCFS = "syncfs" 306,
    SENDMMSG = "sendmmsg" 307, GETRANDOM = "getrandom" 318, MEMBARRIER = "membarrier" 324, RENAMEAT2 = "renameat2" 316, COPY_FILE_RANGE = "copy_file_range" 326, PREADV2 = "preadv2" 327, PWRITEV2 = "pwritev2" 328, STATX = "statx" 332,
    IO_PGETEVENTS = "io_pgetevents" 333, PIDFD_SEND_SIGNAL = "pidfd_send_signal" 424, IO_URING_ENTER = "io_uring_enter" 426, OPENAT2 = "openat2" 437, CLONE3 = "clone3" 435,
    EPOLL_PWAIT2 = "epoll_pwait2" 441, FUTEX_WAITV = "futex_waitv" 449, FUTEX_WAKE = "futex_wake" 454, FUTEX_WAIT = "futex_wait" 455,
}

/// Numbers up to here are counted one by one.
pub const MAX_COUNTED: usize = 512;

/// Whether the first argument of a call is a descriptor on whose file the call may wait.
#[inline]
pub const fn waits_on_descriptor(number: i32) -> bool {
    matches!(
        number,
        READ | WRITE
            | PREAD64
            | PWRITE64
            | READV
            | WRITEV
            | IOCTL
            | CONNECT
            | ACCEPT
            | ACCEPT4
            | SENDTO
            | RECVFROM
            | SENDMSG
            | RECVMSG
            | RECVMMSG
            | SENDMMSG
            | SENDFILE
            | SPLICE
            | FSYNC
            | FDATASYNC
            | SYNC_FILE_RANGE
            | FTRUNCATE
            | FALLOCATE
            | PREADV
            | PWRITEV
            | PREADV2
            | PWRITEV2
            | GETDENTS64
            | COPY_FILE_RANGE
            | CLOSE
            | SHUTDOWN
            | FCNTL
    )
}

/// How a wait's time-out is given, and in which argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// The call has none.
    None,
    /// Milliseconds in a register; negative: for ever.
    Millis(usize),
    /// A pointer to a `timespec`; null: for ever.
    Timespec(usize),
    /// A pointer to a `timeval`; null: for ever.
    Timeval(usize),
    /// A pointer to a `timespec`, the moment until which is waited; null: for ever.
    Until(usize),
}

/// What of a futex operation says which one it is; the rest are flags (`linux/futex.h`).
const FUTEX_CMD_MASK: u64 = 0x7f;
/// `FUTEX_CLOCK_REALTIME`
const FUTEX_CLOCK_REALTIME: u64 = 256;

/// How a wait on a futex with this operation has its time-out. That by the wall clock is not told: the programs do not know that clock.
#[inline]
pub const fn futex_timeout(operation: u64) -> Timeout {
    const WAIT: u64 = 0;
    const WAIT_BITSET: u64 = 9;
    const WAIT_REQUEUE_PI: u64 = 11;
    const LOCK_PI2: u64 = 13;
    let realtime = operation & FUTEX_CLOCK_REALTIME != 0;
    match operation & FUTEX_CMD_MASK {
        WAIT => Timeout::Timespec(3),
        WAIT_BITSET | WAIT_REQUEUE_PI | LOCK_PI2 if !realtime => Timeout::Until(3),
        _ => Timeout::None,
    }
}

/// Where a call that waits for events has its time-out.
#[inline]
pub const fn timeout(number: i32) -> Timeout {
    match number {
        POLL => Timeout::Millis(2),
        EPOLL_WAIT | EPOLL_PWAIT => Timeout::Millis(3),
        SELECT => Timeout::Timeval(4),
        PPOLL => Timeout::Timespec(2),
        PSELECT6 => Timeout::Timespec(4),
        EPOLL_PWAIT2 => Timeout::Timespec(3),
        _ => Timeout::None,
    }
}
