//! What the arguments of `futex(2)` tell about who waits: each library has its own values for a lock that is contended.

use whywait_ebpf::{abi::OffCpu, syscalls as call};

const WAIT: u64 = 0;
const LOCK_PI: u64 = 6;
const WAIT_BITSET: u64 = 9;
const LOCK_PI2: u64 = 13;
const PRIVATE: u64 = 128;
const COMMAND: u64 = 127;

/// Value of a mutex that is held and waited for, in glibc, bionic and Rust's library.
const CONTENDED: u32 = 2;
/// Bits of a futex that holds the owner's thread id or readers (`FUTEX_WAITERS` and `FUTEX_OWNER_DIED` of `futex(2)`; musl's mutex, and
/// Rust's read-write lock, have theirs there too).
const FLAGS: u32 = 0xC000_0000;

/// A call that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FutexCall {
    op: u64,
    expected: u32,
}

impl FutexCall {
    /// The call in which a thread waits, if it is `futex`.
    pub fn of(interval: &OffCpu) -> Option<Self> {
        let expected = (interval.args[2] & u64::from(u32::MAX)).try_into().ok()?;
        (interval.syscall == call::FUTEX).then_some(Self { op: interval.args[1], expected })
    }

    /// Other processes may wait for it as well, or it is the end of a thread.
    pub fn is_shared(self) -> bool {
        self.op & PRIVATE == 0
    }

    /// It waits as condition variables, semaphores and parked threads do in glibc, and everything does in Rust.
    pub fn waits_for_bits(self) -> bool {
        self.op & COMMAND == WAIT_BITSET
    }

    /// It waits for something of which there is one: a mutex, or the writing side of a read-write lock. A condition variable's value may
    /// look the same for once.
    pub fn is_mutex(self) -> bool {
        match self.op & COMMAND {
            LOCK_PI | LOCK_PI2 => true,
            WAIT | WAIT_BITSET => {
                // All bits set is a thread that Rust's library has parked.
                self.expected == CONTENDED || self.expected & FLAGS != 0 && self.expected != u32::MAX
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(op: u64, expected: u64) -> FutexCall {
        FutexCall::of(&OffCpu { syscall: call::FUTEX, args: [0, op, expected], ..OffCpu::default() }).unwrap()
    }

    /// Mutexes of glibc, Rust and musl; not condition variables, semaphores, parked threads.
    #[test]
    fn mutexes_are_told_by_the_value_that_means_contended() {
        for (op, expected) in [(128, 2), (137, 2), (128, 0x8000_1234), (134, 0), (137, 0xC000_0001)] {
            assert!(call(op, expected).is_mutex(), "{op} {expected:#x}");
        }
        for (op, expected) in [(137, 0), (393, 16), (128, 0), (137, 0xFFFF_FFFF), (128, 1), (1, 2)] {
            assert!(!call(op, expected).is_mutex(), "{op} {expected:#x}");
        }
    }

    #[test]
    fn other_calls_are_no_futex() {
        assert_eq!(FutexCall::of(&OffCpu { syscall: call::SEMOP, ..OffCpu::default() }), None);
        assert!(call(9, 0).is_shared() && !call(137, 0).is_shared());
    }
}
