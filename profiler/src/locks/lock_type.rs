//! Types of kernel locks.

/// Flags of `lock:contention_begin` (`include/trace/events/lock.h`).
mod flag {
    pub const SPIN: u64 = 1;
    pub const READ: u64 = 2;
    pub const WRITE: u64 = 4;
    pub const RT: u64 = 8;
    pub const PERCPU: u64 = 16;
    pub const MUTEX: u64 = 32;
}

/// What a kernel lock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockType {
    /// `struct mutex`.
    Mutex,
    /// `struct rt_mutex`.
    RtMutex,
    /// `struct percpu_rw_semaphore`.
    PerCpuSemaphore,
    /// `rwlock_t`.
    ReadWriteSpinlock,
    /// `spinlock_t`.
    Spinlock,
    /// `struct rw_semaphore`, met by a writer.
    SemaphoreToWrite,
    /// The same, met by a reader.
    SemaphoreToRead,
    /// `struct semaphore`, for which the kernel sets no flag.
    Semaphore,
}

impl LockType {
    /// By the flags of `lock:contention_begin`, of one wait or of several.
    pub fn of(flags: u64) -> Self {
        let has = |flag| flags & flag != 0;
        // A mutex spins before it sleeps, and says both.
        if has(flag::MUTEX) {
            Self::Mutex
        } else if has(flag::RT) {
            Self::RtMutex
        } else if has(flag::PERCPU) {
            Self::PerCpuSemaphore
        } else if has(flag::SPIN) && (has(flag::READ) || has(flag::WRITE)) {
            Self::ReadWriteSpinlock
        } else if has(flag::SPIN) {
            Self::Spinlock
        } else if has(flag::WRITE) {
            Self::SemaphoreToWrite
        } else if has(flag::READ) {
            Self::SemaphoreToRead
        } else {
            Self::Semaphore
        }
    }

    /// The kernel's own word.
    pub fn id(self) -> &'static str {
        match self {
            Self::Mutex => "mutex",
            Self::RtMutex => "rt-mutex",
            Self::PerCpuSemaphore => "percpu-rwsem",
            Self::ReadWriteSpinlock => "rwlock",
            Self::Spinlock => "spinlock",
            Self::SemaphoreToWrite | Self::SemaphoreToRead => "rwsem",
            Self::Semaphore => "semaphore",
        }
    }

    /// For a sentence.
    pub fn words(self) -> &'static str {
        match self {
            Self::Mutex => "a mutex",
            Self::RtMutex => "an rt_mutex",
            Self::PerCpuSemaphore => "a per-CPU read-write semaphore",
            Self::ReadWriteSpinlock => "a read-write spinlock",
            Self::Spinlock => "a spinlock",
            Self::SemaphoreToWrite => "a read-write semaphore, to write",
            Self::SemaphoreToRead => "a read-write semaphore, to read",
            Self::Semaphore => "a semaphore",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Flags as kernel functions set them: `queued_read_lock_slowpath`, `__mutex_lock_common`, `rwsem_down_write_slowpath`,
    /// `percpu_down_write`, `queued_spin_lock_slowpath`, `__down_common`.
    #[test]
    fn flags_tell_the_type_of_a_kernel_lock() {
        let types = [1 | 2, 1 | 32, 4, 16 | 4, 1, 0].map(|flags| LockType::of(flags).id());
        assert_eq!(types, ["rwlock", "mutex", "rwsem", "percpu-rwsem", "spinlock", "semaphore"]);
    }
}
