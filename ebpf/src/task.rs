//! The state that each thread of the target carries, and what is read from `task_struct`.

use aya_ebpf::{
    bindings::task_struct,
    helpers::{bpf_get_current_task_btf, bpf_task_pt_regs, bpf_task_storage_delete, bpf_task_storage_get},
};

use crate::{
    emit::count,
    globals::{
        REGS_ARG0, REGS_ARG1, REGS_ARG2, REGS_ARG3, REGS_ARG4, REGS_BP, REGS_IP, REGS_NR, REGS_SP,
        TASK_FLAGS, TASK_PID, TASK_STORAGE, TASK_TGID,
    },
    maps::THREADS,
    mem::load,
};
use whywait_ebpf::abi::counter;

/// `PF_IO_WORKER`: an io_uring worker, whose saved registers are not those of a system call.
const PF_IO_WORKER: u32 = 0x10;
/// `BPF_LOCAL_STORAGE_GET_F_CREATE`
const CREATE: u64 = 1;

/// What is kept for a thread between two events. Zero is a thread that runs and of which nothing is known.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ThreadState {
    /// When it left the CPU; 0 while it runs.
    pub left: u64,
    /// When it last came back to a CPU.
    pub back: u64,
    /// From the scheduler's clock to `CLOCK_MONOTONIC`, as of its last switch.
    pub clock_offset: u64,
    /// Last `sched_waking`.
    pub woken: u64,
    /// Last `sched_wakeup`.
    pub queued: u64,
    /// Arguments of its system call.
    pub args: [u64; 3],
    /// Time-out of its wait, negative for none.
    pub timeout: i64,
    /// See `OffCpu::object`.
    pub object: u64,
    /// `nvcsw` at its last switch.
    pub nvcsw: u64,
    /// When it began to wait for a kernel lock; 0 when it does not.
    pub lock_begin: u64,
    /// That lock.
    pub lock: u64,
    /// When it entered its system call, where those are traced.
    pub entered: u64,
    /// Who woke it.
    pub waker_tid: u32,
    /// Process of the waker.
    pub waker_pid: u32,
    /// System call of the waker.
    pub waker_syscall: i32,
    /// Its system call; negative: none.
    pub syscall: i32,
    /// Task state at its last switch.
    pub state: u32,
    /// CPU that it left.
    pub left_cpu: u32,
    /// Records sent, or tried to.
    pub seq: u32,
    /// Flags of `contention_begin`.
    pub lock_flags: u32,
    /// Nanoseconds spun for kernel locks since its last record.
    pub spun: u32,
    /// 1: it left the CPU while it waited for the kernel lock.
    pub lock_blocked: u32,
    /// See `off_cpu`.
    pub flags: u8,
    /// See `file_kind`.
    pub file: u8,
    /// 1: its stack was taken when it left the CPU, and that of its waker was not yet.
    pub sampled: u8,
    /// Always 0.
    pub reserved: [u8; 5],
}

impl ThreadState {
    /// Number of the thread's next record.
    #[inline(always)]
    pub fn next_seq(&mut self) -> u32 {
        let seq = self.seq;
        self.seq = seq.wrapping_add(1);
        seq
    }
}

/// A task, through a pointer that the verifier trusts.
#[derive(Clone, Copy)]
pub struct Task(pub *const u8);

impl Task {
    /// The task that the program interrupts.
    #[inline(always)]
    pub fn current() -> Self {
        Self(unsafe { bpf_get_current_task_btf() }.cast_const().cast())
    }

    /// Thread id, as the host numbers it.
    #[inline(always)]
    pub fn tid(self) -> u32 {
        unsafe { load(self.0, &TASK_PID) }
    }

    /// Process id.
    #[inline(always)]
    pub fn pid(self) -> u32 {
        unsafe { load(self.0, &TASK_TGID) }
    }

    /// State of a thread of the target; `None` for everybody else.
    #[inline(always)]
    pub fn state(self) -> Option<&'static mut ThreadState> {
        // Most threads have no storage of anybody, and a load costs less than the call that finds nothing.
        let storages: u64 = unsafe { load(self.0, &TASK_STORAGE) };
        if storages == 0 { None } else { self.storage(0) }
    }

    /// Makes the task a thread of the target.
    #[inline(always)]
    pub fn adopt(self) -> Option<&'static mut ThreadState> {
        let state = self.try_adopt();
        if state.is_none() {
            count(counter::NO_STATE, 1);
        }
        state
    }

    /// The same, where there will be another chance.
    #[inline(always)]
    pub fn try_adopt(self) -> Option<&'static mut ThreadState> {
        self.storage(CREATE)
    }

    /// Makes the task nobody's.
    #[inline(always)]
    pub fn forget(self) {
        unsafe { bpf_task_storage_delete(THREADS.as_ptr(), self.0.cast_mut().cast::<task_struct>()) };
    }

    #[inline(always)]
    fn storage(self, flags: u64) -> Option<&'static mut ThreadState> {
        unsafe {
            bpf_task_storage_get(
                THREADS.as_ptr(),
                self.0.cast_mut().cast::<task_struct>(),
                core::ptr::null_mut(),
                flags,
            )
            .cast::<ThreadState>()
            .as_mut()
        }
    }

    /// Registers that the task saved when it last entered the kernel.
    #[inline(always)]
    pub fn registers(self) -> Registers {
        let address = unsafe { bpf_task_pt_regs(self.0.cast_mut().cast::<task_struct>()) };
        Registers {
            base: address as *const u8,
            io_worker: unsafe { load::<u32>(self.0, &TASK_FLAGS) } & PF_IO_WORKER != 0,
        }
    }
}

/// Registers at the entry of the kernel.
#[derive(Clone, Copy)]
pub struct Registers {
    base: *const u8,
    io_worker: bool,
}

impl Registers {
    /// Number of the system call that the task is in; negative: none. The kernel stores -1 for exceptions and
    /// interrupts (`arch/x86/entry/entry_64.S`, "no syscall to restart").
    #[inline(always)]
    pub fn syscall(self) -> i32 {
        if self.io_worker {
            return -1;
        }
        let number: i64 = unsafe { load(self.base, &REGS_NR) };
        if (0..1024).contains(&number) { number as i32 } else { -1 }
    }

    /// Instruction, stack and frame pointer in user space; none for an io_uring worker, which is never there.
    #[inline(always)]
    pub fn user(self) -> Option<[u64; 3]> {
        if self.io_worker {
            return None;
        }
        Some(unsafe { [load(self.base, &REGS_IP), load(self.base, &REGS_SP), load(self.base, &REGS_BP)] })
    }

    /// First argument.
    #[inline(always)]
    pub fn arg0(self) -> u64 {
        unsafe { load(self.base, &REGS_ARG0) }
    }

    /// Second argument.
    #[inline(always)]
    pub fn arg1(self) -> u64 {
        unsafe { load(self.base, &REGS_ARG1) }
    }

    /// Third argument.
    #[inline(always)]
    pub fn arg2(self) -> u64 {
        unsafe { load(self.base, &REGS_ARG2) }
    }

    /// Argument by its number, up to the fifth.
    #[inline(always)]
    pub fn arg(self, number: usize) -> u64 {
        match number {
            0 => self.arg0(),
            1 => self.arg1(),
            2 => self.arg2(),
            3 => unsafe { load(self.base, &REGS_ARG3) },
            _ => unsafe { load(self.base, &REGS_ARG4) },
        }
    }
}
