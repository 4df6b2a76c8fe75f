//! What the kernel itself counts about a thread.

use std::{fs, io};

/// Switches, from `/proc/PID/task/TID/status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Switches {
    /// The thread waited.
    pub voluntary: u64,
    /// The thread lost the CPU.
    pub involuntary: u64,
}

/// Times in nanoseconds, from `/proc/PID/task/TID/schedstat` (documented in the kernel's `scheduler/sched-stats.rst`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SchedTimes {
    /// On a CPU.
    pub on_cpu: u64,
    /// Runnable, without a CPU.
    pub run_queue: u64,
}

/// The threads of a process, ascending.
pub fn thread_ids(pid: u32) -> Vec<u32> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).expect("listing threads");
    let mut ids: Vec<u32> = entries
        .map(|entry| {
            entry.expect("listing threads").file_name().to_string_lossy().parse().expect("a thread id")
        })
        .collect();
    ids.sort_unstable();
    ids
}

/// Switches of a thread since its beginning.
pub fn switches(pid: u32, tid: u32) -> Switches {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{tid}/status")).expect("reading status");
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
    };
    Switches { voluntary: field("voluntary_ctxt_switches"), involuntary: field("nonvoluntary_ctxt_switches") }
}

/// Times of a thread since its beginning; none for one that has ended since it was listed.
pub fn sched_times(pid: u32, tid: u32) -> SchedTimes {
    let path = format!("/proc/{pid}/task/{tid}/schedstat");
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return SchedTimes::default(),
        text => text.expect("reading schedstat"),
    };
    let mut fields = text.split_whitespace().map(|field| field.parse().expect("a number in schedstat"));
    let mut next = || fields.next().expect("three fields in schedstat");
    SchedTimes { on_cpu: next(), run_queue: next() }
}

/// Time that the hypervisor took from all CPUs since boot, in microseconds, from `/proc/stat`. The scheduler does not count it as
/// anybody's CPU time, though the thread that was on the CPU knows nothing of it.
pub fn stolen_us() -> f64 {
    let text = fs::read_to_string("/proc/stat").expect("reading /proc/stat");
    let ticks: f64 = text
        .lines()
        .next()
        .and_then(|line| line.split_whitespace().nth(8)?.parse().ok())
        .expect("the eighth number of the first line");
    let per_second = rustix::param::clock_ticks_per_second() as f64;
    ticks / per_second * 1e6
}
