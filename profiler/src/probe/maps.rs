//! Counters and statistics that the programs keep in maps.

use aya::{
    Ebpf, Pod,
    maps::{HashMap, Map, MapError, PerCpuArray, PerCpuHashMap},
};
use serde::{Deserialize, Serialize};
use whywait_ebpf::{
    abi::{self, counter, kind},
    hist::POWERS,
};

/// Records that found no room in the ring, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    by_kind: Vec<(u16, u64)>,
}

impl Loss {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.by_kind.iter().map(|(_, count)| count).sum()
    }

    /// What came after `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before =
            |kind| earlier.by_kind.iter().find(|(known, _)| *known == kind).map_or(0, |known| known.1);
        let later = self.by_kind.iter().map(|(kind, count)| (*kind, count.saturating_sub(before(*kind))));
        Self { by_kind: later.filter(|(_, count)| *count > 0).collect() }
    }

    /// Kinds by name, with their counts; those that lost nothing are left out.
    pub fn by_kind(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.by_kind.iter().map(|(kind, count)| (kind::name(*kind), *count))
    }
}

/// Counters since the programs were loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Records sent.
    pub sent: u64,
    /// Reads that found nothing.
    pub empty_reads: u64,
    /// Threads or connections for which the kernel had no memory.
    pub no_state: u64,
    /// Voluntary switches that the kernel counted and no program saw.
    pub unseen_switches: u64,
}

impl Counters {
    /// What came after `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            sent: self.sent.saturating_sub(earlier.sent),
            empty_reads: self.empty_reads.saturating_sub(earlier.empty_reads),
            no_state: self.no_state.saturating_sub(earlier.no_state),
            unseen_switches: self.unseen_switches.saturating_sub(earlier.unseen_switches),
        }
    }
}

/// System calls by number: calls and their time in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SyscallCount {
    /// Number of the system call.
    pub number: u32,
    /// Calls that returned.
    pub count: u64,
    /// Nanoseconds between their entries and returns.
    pub total_ns: u64,
    /// Of the calls, those that returned an error.
    pub errors: u64,
    /// Calls by their time, see [`whywait_ebpf::hist::power`].
    pub by_time: [u64; POWERS],
}

impl SyscallCount {
    /// What came after `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut later = Self {
            count: self.count.saturating_sub(earlier.count),
            total_ns: self.total_ns.saturating_sub(earlier.total_ns),
            errors: self.errors.saturating_sub(earlier.errors),
            ..*self
        };
        for (calls, before) in later.by_time.iter_mut().zip(earlier.by_time) {
            *calls = calls.saturating_sub(before);
        }
        later
    }

    /// Adds the calls of another one.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.total_ns += other.total_ns;
        self.errors += other.errors;
        for (calls, more) in self.by_time.iter_mut().zip(other.by_time) {
            *calls += more;
        }
    }
}

/// Waits on one futex, or for one kernel lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockWaits {
    /// Process of the futex; 0 for a kernel lock.
    pub pid: u32,
    /// Address.
    pub address: u64,
    /// Waits.
    pub count: u64,
    /// Nanoseconds waited.
    pub total_ns: u64,
    /// The longest wait in nanoseconds.
    pub max_ns: u64,
}

/// Waits for one kernel lock in one system call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelLockWaits {
    /// The lock, and the waits for it.
    pub waits: LockWaits,
    /// The system call; negative: none.
    pub syscall: i32,
    /// See [`abi::kernel_lock`].
    pub name: u32,
    /// Flags of `lock:contention_begin`.
    pub flags: u64,
}

/// Defines a copy of a record's layout that aya accepts as a map value.
macro_rules! pod {
    ($name:ident($inner:ty)) => {
        #[repr(transparent)]
        #[derive(Clone, Copy)]
        struct $name($inner);
        // SAFETY: transparent over a `repr(C)` struct of integers without padding.
        #[expect(unsafe_code, reason = "aya asks for the promise that the bytes are the value")]
        unsafe impl Pod for $name {}
    };
}

pod!(SyscallStat(abi::SyscallStat));
pod!(WaitStat(abi::WaitStat));
pod!(LockStat(abi::LockStat));
pod!(FutexKey([u64; 2]));
pod!(KernelLockKey(abi::KernelLockKey));
pod!(Control(abi::Control));

fn named<'a>(ebpf: &'a Ebpf, name: &str) -> Result<&'a Map, MapError> {
    ebpf.map(name).ok_or_else(|| MapError::InvalidName { name: name.to_owned() })
}

fn named_mut<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Map, MapError> {
    ebpf.map_mut(name).ok_or_else(|| MapError::InvalidName { name: name.to_owned() })
}

fn per_cpu_sum(ebpf: &Ebpf, name: &'static str, index: u32) -> Result<u64, MapError> {
    let map = named(ebpf, name)?;
    let array: PerCpuArray<_, u64> = PerCpuArray::try_from(map)?;
    Ok(array.get(&index, 0)?.iter().sum())
}

pub(super) fn loss(ebpf: &Ebpf) -> Result<Loss, MapError> {
    let mut by_kind = Vec::new();
    for kind in 0..kind::COUNT {
        let count = per_cpu_sum(ebpf, "LOST", u32::from(kind))?;
        if count > 0 {
            by_kind.push((kind, count));
        }
    }
    Ok(Loss { by_kind })
}

pub(super) fn counters(ebpf: &Ebpf) -> Result<Counters, MapError> {
    Ok(Counters {
        sent: per_cpu_sum(ebpf, "COUNTERS", counter::SENT)?,
        empty_reads: per_cpu_sum(ebpf, "COUNTERS", counter::EMPTY_READS)?,
        no_state: per_cpu_sum(ebpf, "COUNTERS", counter::NO_STATE)?,
        unseen_switches: per_cpu_sum(ebpf, "COUNTERS", counter::UNSEEN_SWITCHES)?,
    })
}

pub(super) fn run_queue_histogram(ebpf: &Ebpf) -> Result<Vec<u64>, MapError> {
    let map = named(ebpf, "RUN_QUEUE")?;
    let array: PerCpuArray<_, u64> = PerCpuArray::try_from(map)?;
    array.iter().map(|values| Ok(values?.iter().sum())).collect()
}

pub(super) fn syscalls(ebpf: &Ebpf) -> Result<Vec<SyscallCount>, MapError> {
    let map = named(ebpf, "SYSCALLS")?;
    let array: PerCpuArray<_, SyscallStat> = PerCpuArray::try_from(map)?;
    let mut counts = Vec::new();
    for (number, values) in (0..).zip(array.iter()) {
        let mut sum = SyscallCount { number, ..SyscallCount::default() };
        for value in values?.iter() {
            sum.count += value.0.count;
            sum.total_ns += value.0.total;
            sum.errors += value.0.errors;
            for (sum, calls) in sum.by_time.iter_mut().zip(value.0.by_time) {
                *sum += calls;
            }
        }
        if sum.count > 0 {
            counts.push(sum);
        }
    }
    Ok(counts)
}

pub(super) fn futexes(ebpf: &Ebpf) -> Result<Vec<LockWaits>, MapError> {
    let map = named(ebpf, "FUTEXES")?;
    let table: PerCpuHashMap<_, FutexKey, WaitStat> = PerCpuHashMap::try_from(map)?;
    let mut waits = Vec::new();
    for entry in &table {
        let (FutexKey([address, pid]), values) = entry?;
        let pid = u32::try_from(pid).unwrap_or(0);
        waits.push(sum(pid, address, values.iter().map(|stat| (stat.0.count, stat.0.total, stat.0.max))));
    }
    Ok(waits)
}

pub(super) fn kernel_locks(ebpf: &Ebpf) -> Result<Vec<KernelLockWaits>, MapError> {
    let map = named(ebpf, "KERNEL_LOCKS")?;
    let table: PerCpuHashMap<_, KernelLockKey, LockStat> = PerCpuHashMap::try_from(map)?;
    let mut locks = Vec::new();
    for entry in &table {
        let (KernelLockKey(key), values) = entry?;
        locks.push(KernelLockWaits {
            waits: sum(0, key.lock, values.iter().map(|stat| (stat.0.count, stat.0.total, stat.0.max))),
            syscall: key.syscall,
            name: key.name,
            flags: values.iter().fold(0, |flags, stat| flags | stat.0.flags),
        });
    }
    Ok(locks)
}

fn sum(pid: u32, address: u64, stats: impl Iterator<Item = (u64, u64, u64)>) -> LockWaits {
    let mut waits = LockWaits { pid, address, ..LockWaits::default() };
    for (count, total, max) in stats {
        waits.count += count;
        waits.total_ns += total;
        waits.max_ns = waits.max_ns.max(max);
    }
    waits
}

pub(super) fn set_mode(ebpf: &mut Ebpf, mode: u32) -> Result<(), MapError> {
    let map = named_mut(ebpf, "CONTROL")?;
    let mut array: aya::maps::Array<_, Control> = aya::maps::Array::try_from(map)?;
    array.set(0, Control(abi::Control { mode, reserved: 0 }), 0)
}

pub(super) fn add_targets(ebpf: &mut Ebpf, pids: &[u32]) -> Result<(), MapError> {
    let map = named_mut(ebpf, "TARGETS")?;
    let mut targets: HashMap<_, u32, u32> = HashMap::try_from(map)?;
    for pid in pids {
        targets.insert(pid, 1, 0)?;
    }
    Ok(())
}
