//! Processes and threads, from `/proc` (`proc_pid_stat(5)` and its neighbours).
//!
//! Processes come and go while `/proc` is read: one that vanishes in the middle of a listing is left out of it; one
//! that was asked for by its id is a [`ProcError::NoProcess`].

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::error::{is_gone, proc_error};
use whywait_ebpf::abi::task_state;

use crate::units::{Pid, Tid};

pub use super::error::ProcError;

/// What is known about a thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ThreadFacts {
    /// Its id.
    pub tid: Tid,
    /// Its name, at most 15 bytes.
    pub comm: String,
    /// When it started, in clock ticks since boot. Together with the id it names one thread for good.
    pub start_time_ticks: u64,
    /// How often it gave up its CPU itself, because it had to wait.
    pub voluntary_switches: u64,
    /// How often its CPU was taken from it.
    pub involuntary_switches: u64,
    /// Its scheduling times, where the kernel counts them (`CONFIG_SCHED_INFO`).
    pub schedstat: Option<SchedStat>,
}

/// `/proc/PID/task/TID/schedstat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SchedStat {
    /// Time on a CPU, in nanoseconds.
    pub run_ns: u64,
    /// Time runnable without a CPU, in nanoseconds.
    pub wait_ns: u64,
    /// How often it was put on a CPU.
    pub slices: u64,
}

/// What a process is called, and how much CPU time it has used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuUse {
    /// Its name.
    pub comm: String,
    /// It is a thread of the kernel.
    pub kernel: bool,
    /// CPU time of all its threads, in user mode and in the kernel, in clock ticks.
    pub ticks: u64,
    /// When it started, in clock ticks since boot.
    pub start_time_ticks: u64,
}

/// `PF_KTHREAD` of `include/linux/sched.h`.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// The parts of `/proc/PID/stat` that are needed.
pub(super) struct Stat {
    pub(super) comm: String,
    pub(super) state: u8,
    pub(super) parent: Pid,
    pub(super) start_time_ticks: u64,
    flags: u64,
    cpu_ticks: u64,
}

impl Stat {
    fn parse(text: &[u8]) -> Option<Self> {
        // The name may itself hold spaces and parentheses: it ends at the last one.
        let open = text.iter().position(|&byte| byte == b'(')?;
        let close = text.iter().rposition(|&byte| byte == b')')?;
        let comm = String::from_utf8_lossy(text.get(open + 1..close)?).into_owned();
        let rest = std::str::from_utf8(&text[close + 1..]).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        let state = *fields.next()?.as_bytes().first()?;
        let parent = Pid(fields.next()?.parse().ok()?);
        // Fields 9, 14, 15 and 22 of the file; the parent was field 4.
        let flags = fields.nth(4)?.parse().ok()?;
        let (user, system): (u64, u64) = (fields.nth(4)?.parse().ok()?, fields.next()?.parse().ok()?);
        let start_time_ticks = fields.nth(6)?.parse().ok()?;
        Some(Self { comm, state, parent, start_time_ticks, flags, cpu_ticks: user.saturating_add(system) })
    }

    /// Whether the process has ended and only waits for its parent to collect it.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }
}

/// Whether there is such a process. A thread that is not the first of its process is not one.
pub fn process_exists(pid: Pid) -> bool {
    process_of(pid.main_thread()) == Some(pid)
}

/// Whether a process runs: one that has ended and only waits for its parent to collect it does not.
pub fn is_running(pid: Pid) -> bool {
    match stat(pid) {
        // The first thread of a process may end before the others do.
        Ok(stat) if stat.state == b'Z' || stat.state == b'X' => {
            threads(pid).is_ok_and(|threads| threads.len() > 1)
        }
        Ok(_) => true,
        Err(_) => false,
    }
}

/// Kernel's task state, system call (negative: none) and its first three arguments.
pub type Waits = (u32, i32, [u64; 3]);

/// What a thread waits for; `Some(None)` for one that runs or waits for a CPU, `None` if there is no such thread. Who may not trace it
/// is told no system call.
pub fn thread_waits(pid: Pid, tid: Tid) -> Option<Option<Waits>> {
    let stat = fs::read(format!("/proc/{pid}/task/{tid}/stat")).ok()?;
    // The name before the state may hold anything, also parentheses.
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    let state = match stat.get(name_end + 2)? {
        b'R' => return Some(None),
        b'D' => task_state::UNINTERRUPTIBLE,
        _ => task_state::INTERRUPTIBLE,
    };
    let call = fs::read_to_string(format!("/proc/{pid}/task/{tid}/syscall")).unwrap_or_default();
    let (number, args) = system_call(&call);
    Some(Some((state, number, args)))
}

/// Number and first three arguments of `/proc/PID/task/TID/syscall`.
fn system_call(text: &str) -> (i32, [u64; 3]) {
    let mut words = text.split_ascii_whitespace();
    let number = words.next().and_then(|number| number.parse().ok()).unwrap_or(-1);
    let mut argument = || {
        let word = words.next().and_then(|word| word.strip_prefix("0x"));
        word.and_then(|word| u64::from_str_radix(word, 16).ok()).unwrap_or(0)
    };
    (number, [argument(), argument(), argument()])
}

/// The process that a thread belongs to, or `None` if there is no such thread.
pub fn process_of(tid: Tid) -> Option<Pid> {
    let status = fs::read(format!("/proc/{tid}/status")).ok()?;
    status_field(&status, "Tgid").map(Pid)
}

/// The processes that call themselves `inner` in a PID namespace (a container) of their own, by the ids that they have
/// here.
pub fn known_inside_as(inner: Pid) -> Vec<Pid> {
    let inside = |pid: &Pid| {
        let status = fs::read(format!("/proc/{pid}/status")).unwrap_or_default();
        let ids = status_line(&status, "NSpid").unwrap_or_default();
        ids.split_ascii_whitespace().skip(1).last() == Some(&inner.to_string())
    };
    all_processes().into_iter().filter(inside).collect()
}

/// The process's name: that of its first thread, at most 15 bytes.
pub fn command_name(pid: Pid) -> Result<String, ProcError> {
    stat(pid).map(|stat| stat.comm)
}

/// What the process is called, and how much CPU time it has used.
///
/// # Errors
/// When the process has ended.
pub fn cpu_use(pid: Pid) -> Result<CpuUse, ProcError> {
    let Stat { comm, flags, cpu_ticks, start_time_ticks, .. } = stat(pid)?;
    Ok(CpuUse { comm, kernel: flags & KERNEL_THREAD != 0, ticks: cpu_ticks, start_time_ticks })
}

/// CPUs that the first thread of a process may run on, by its affinity and its `cpuset`. Some of them may be offline.
///
/// # Errors
/// When the process has ended, or its `status` cannot be read.
pub fn allowed_cpus(pid: Pid) -> Result<BTreeSet<usize>, ProcError> {
    let status = read(pid, "status")?;
    status_line(&status, "Cpus_allowed_list")
        .and_then(cpu_list)
        .ok_or_else(|| ProcError::Format { path: PathBuf::from(format!("/proc/{pid}/status")) })
}

/// The process's command line, one string per argument. Kernel threads have none.
pub fn command_line(pid: Pid) -> Result<Vec<String>, ProcError> {
    read(pid, "cmdline").map(|text| arguments(&text))
}

/// The arguments in `/proc/PID/cmdline`.
fn arguments(text: &[u8]) -> Vec<String> {
    let text = text.strip_suffix(b"\0").unwrap_or(text);
    if text.is_empty() {
        return Vec::new();
    }
    text.split(|&byte| byte == 0).map(|argument| String::from_utf8_lossy(argument).into_owned()).collect()
}

/// The process's threads, by id.
pub fn threads(pid: Pid) -> Result<Vec<ThreadFacts>, ProcError> {
    let path = PathBuf::from(format!("/proc/{pid}/task"));
    let entries = fs::read_dir(&path).map_err(|source| proc_error(pid, &path, source))?;
    let mut tids: Vec<u32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    tids.sort_unstable();
    let mut threads = Vec::with_capacity(tids.len());
    for tid in tids {
        match thread(pid, Tid(tid)) {
            Ok(facts) => threads.push(facts),
            Err(ProcError::NoThread { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    if threads.is_empty() { Err(ProcError::NoProcess(pid)) } else { Ok(threads) }
}

/// One thread of a process.
pub fn thread(pid: Pid, tid: Tid) -> Result<ThreadFacts, ProcError> {
    let no_thread = |error| match error {
        ProcError::NoProcess(_) => ProcError::NoThread { pid, tid },
        other => other,
    };
    let stat = stat_at(pid, &format!("task/{tid}/stat")).map_err(no_thread)?;
    let status = read(pid, &format!("task/{tid}/status")).map_err(no_thread)?;
    let schedstat = fs::read_to_string(format!("/proc/{pid}/task/{tid}/schedstat")).ok();
    Ok(ThreadFacts {
        tid,
        comm: stat.comm,
        start_time_ticks: stat.start_time_ticks,
        voluntary_switches: status_field(&status, "voluntary_ctxt_switches").unwrap_or(0),
        involuntary_switches: status_field(&status, "nonvoluntary_ctxt_switches").unwrap_or(0),
        schedstat: schedstat.as_deref().and_then(parse_schedstat),
    })
}

/// The process's parent.
///
/// # Errors
/// When the process has ended.
pub fn parent_of(pid: Pid) -> Result<Pid, ProcError> {
    stat(pid).map(|stat| stat.parent)
}

/// How many threads a process has.
///
/// # Errors
/// When the process has ended, or its `status` cannot be read.
pub fn thread_count(pid: Pid) -> Result<usize, ProcError> {
    let status = read(pid, "status")?;
    status_field(&status, "Threads")
        .ok_or_else(|| ProcError::Format { path: PathBuf::from(format!("/proc/{pid}/status")) })
}

/// The process's living children, by id.
pub fn children_of(pid: Pid) -> Vec<Pid> {
    parents().into_iter().filter(|&(_, parent)| parent == pid).map(|(child, _)| child).collect()
}

/// The process's living children, their children, and so on: nearest first. One that was orphaned belongs to whoever
/// adopted it.
pub fn descendants(pid: Pid) -> Vec<Pid> {
    descendants_but(pid, None)
}

/// The same without `but` and what descends from it.
pub fn descendants_but(pid: Pid, but: Option<Pid>) -> Vec<Pid> {
    let mut children: BTreeMap<Pid, Vec<Pid>> = BTreeMap::new();
    for (child, parent) in parents() {
        children.entry(parent).or_default().push(child);
    }
    // The listing is not one instant: ids that were given to another process meanwhile can make it circular.
    let mut seen = HashSet::from([pid]);
    let mut queue = VecDeque::from([pid]);
    let mut found = Vec::new();
    while let Some(parent) = queue.pop_front() {
        for &child in children.get(&parent).into_iter().flatten() {
            if Some(child) != but && seen.insert(child) {
                found.push(child);
                queue.push_back(child);
            }
        }
    }
    found
}

/// All processes, by id.
pub fn all_processes() -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids: Vec<Pid> =
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Pid)).collect();
    pids.sort_unstable();
    pids
}

/// CPU time that this process has used so far, in user mode and in the kernel, in nanoseconds.
pub fn self_cpu_ns() -> u64 {
    let usage = own_usage();
    let ns = |time: libc::timeval| {
        let (seconds, micros) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_usec));
        seconds.unwrap_or(0) * 1_000_000_000 + micros.unwrap_or(0) * 1_000
    };
    ns(usage.ru_utime) + ns(usage.ru_stime)
}

/// `getrusage(RUSAGE_SELF)`.
#[expect(unsafe_code, reason = "getrusage has no safe wrapper in std")]
fn own_usage() -> libc::rusage {
    // SAFETY: `rusage` is made of integers, for which all zeros is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a whole `rusage`, which the kernel fills. It only fails for a bad pointer or argument.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
    usage
}

/// Number of CPUs that are online, whether this process may use them or not.
pub fn cpu_count() -> usize {
    let list = fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    cpu_list(&list)
        .map(|cpus| cpus.len())
        .or_else(|| std::thread::available_parallelism().ok().map(std::num::NonZero::get))
        .unwrap_or(1)
}

/// The process's `/proc/PID/stat`.
pub(super) fn stat(pid: Pid) -> Result<Stat, ProcError> {
    stat_at(pid, "stat")
}

fn stat_at(pid: Pid, file: &str) -> Result<Stat, ProcError> {
    let text = read(pid, file)?;
    Stat::parse(&text)
        .ok_or_else(|| ProcError::Format { path: Path::new("/proc").join(pid.to_string()).join(file) })
}

fn read(pid: Pid, file: &str) -> Result<Vec<u8>, ProcError> {
    let path = PathBuf::from(format!("/proc/{pid}/{file}"));
    fs::read(&path).map_err(|source| proc_error(pid, &path, source))
}

/// Every living process with its parent, by id.
fn parents() -> Vec<(Pid, Pid)> {
    let parent = |pid| stat(pid).ok().filter(|stat| !stat.has_ended()).map(|stat| (pid, stat.parent));
    all_processes().into_iter().filter_map(parent).collect()
}

/// The rest of the line `NAME:\t…` of `/proc/PID/status`.
fn status_line<'a>(status: &'a [u8], name: &str) -> Option<&'a str> {
    let mut lines = status.split(|&byte| byte == b'\n');
    let line = lines.find_map(|line| line.strip_prefix(name.as_bytes())?.strip_prefix(b":"))?;
    std::str::from_utf8(line).ok().map(str::trim)
}

fn status_field<T: std::str::FromStr>(status: &[u8], name: &str) -> Option<T> {
    status_line(status, name)?.parse().ok()
}

fn parse_schedstat(text: &str) -> Option<SchedStat> {
    let mut fields = text.split_ascii_whitespace().map(|field| field.parse().ok());
    Some(SchedStat { run_ns: fields.next()??, wait_ns: fields.next()??, slices: fields.next()?? })
}

/// The kernel knows no CPU beyond (`NR_CPUS` is 8192 at most).
const MOST_CPUS: usize = 1 << 16;

/// The CPUs that a list such as `0-3,8` names.
fn cpu_list(ranges: &str) -> Option<BTreeSet<usize>> {
    let mut cpus = BTreeSet::new();
    for range in ranges.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last > MOST_CPUS {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

/// The ids in a file of one id per line. Ids of 0 stand for processes of a namespace that is not visible from here.
pub(super) fn read_ids(path: &Path) -> std::io::Result<Vec<u32>> {
    match fs::read_to_string(path) {
        Ok(text) => {
            Ok(text.lines().filter_map(|line| line.trim().parse().ok()).filter(|&id| id != 0).collect())
        }
        Err(error) if is_gone(&error) || error.raw_os_error() == Some(libc::ENODEV) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Reads a text as each of the files that are read here.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_any(text: &[u8]) {
    let words = String::from_utf8_lossy(text);
    let _stat = Stat::parse(text);
    let _ids = ["Tgid", "Threads", "NSpid"].map(|name| status_field::<u32>(text, name));
    let _cpus = status_line(text, "Cpus_allowed_list").and_then(cpu_list);
    let _online = cpu_list(&words);
    let _times = parse_schedstat(&words);
    let _call = system_call(&words);
    let _arguments = arguments(text);
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use super::super::testing::{Running, wait_until};
    use super::*;

    fn own() -> Pid {
        Pid(std::process::id())
    }

    /// Names with spaces, parentheses and bytes that are not UTF-8 do not shift the fields.
    #[test]
    fn stat_survives_any_name() {
        let tail = "S 7 1 1 0 -1 4194304 1 0 0 0 11 12 0 0 20 0 1 0 987654 1 2 3";
        for name in [&b"sh"[..], b"a) R 1 (b", b"\xff\xfe x", b""] {
            let text = [b"42 (", name, b") ", tail.as_bytes()].concat();
            let stat = Stat::parse(&text).unwrap();
            assert_eq!((stat.state, stat.parent, stat.start_time_ticks), (b'S', Pid(7), 987_654));
            assert_eq!((stat.flags, stat.cpu_ticks), (4_194_304, 11 + 12));
            assert_eq!(stat.comm, String::from_utf8_lossy(name));
        }
        for text in [&b""[..], b")(", b"1 (x)", b"1 (x) S 1", b"1 (x) S -1 2 3"] {
            assert!(Stat::parse(text).is_none());
        }
    }

    /// A process exists while it runs; a thread that is not the first is no process, but has one.
    #[test]
    fn processes_and_threads_are_told_apart() {
        assert!(process_exists(own()) && !process_exists(Pid(0)) && !process_exists(Pid(u32::MAX)));
        let (tid, done) = (std::sync::mpsc::channel(), std::sync::mpsc::channel::<()>());
        let thread = std::thread::spawn(move || {
            let link = fs::read_link("/proc/thread-self").unwrap();
            tid.0.send(link.file_name().unwrap().to_str().unwrap().parse::<u32>().unwrap()).unwrap();
            let _ = done.1.recv();
        });
        let tid = tid.1.recv().unwrap();
        assert_eq!(process_of(Tid(tid)), Some(own()));
        assert!(!process_exists(Pid(tid)));
        assert!(threads(own()).unwrap().iter().any(|facts| facts.tid == Tid(tid)));
        drop(done.0);
        thread.join().unwrap();
        assert!(matches!(thread_gone(tid), Err(ProcError::NoThread { .. })));
    }

    fn thread_gone(tid: u32) -> Result<ThreadFacts, ProcError> {
        wait_until(|| thread(own(), Tid(tid)).is_err());
        thread(own(), Tid(tid))
    }

    /// Name, command line, start and counters of a process that we started.
    #[test]
    fn facts_about_a_child() {
        let child = Running::sleep();
        wait_until(|| command_name(child.pid()).is_ok_and(|name| name == "sleep"));
        wait_until(|| command_line(child.pid()).unwrap() == ["sleep", "30"]);
        wait_until(|| threads(child.pid()).unwrap()[0].voluntary_switches > 0);
        let facts = threads(child.pid()).unwrap();
        assert_eq!((facts.len(), facts[0].tid, &*facts[0].comm), (1, child.pid().main_thread(), "sleep"));
        assert!(facts[0].start_time_ticks > 0);
        assert!(facts[0].schedstat.is_none_or(|stat| stat.slices > 0));
        assert!(children_of(own()).contains(&child.pid()));
    }

    /// Children of children are found, and nothing is left of what has ended.
    #[test]
    fn descendants_are_found_and_forgotten() {
        let shell = Running::new(Command::new("sh").args(["-c", "sleep 30 & wait"]));
        wait_until(|| !children_of(shell.pid()).is_empty());
        let grandchild = children_of(shell.pid())[0];
        let all = descendants(own());
        let place = |pid| all.iter().position(|&other| other == pid).unwrap();
        assert!(place(shell.pid()) < place(grandchild), "nearest first");
        assert!(!descendants_but(own(), Some(shell.pid())).contains(&grandchild));
        shell.end();
        assert!(!descendants(own()).contains(&shell.pid()));
        Running::end_stranger(grandchild);
    }

    /// A process that is gone is an error that names it; a zombie is no child any more.
    #[test]
    fn ended_processes() {
        let mut child = Command::new("true").stdin(Stdio::null()).spawn().unwrap();
        let pid = Pid(child.id());
        wait_until(|| stat(pid).unwrap().has_ended());
        assert!(!children_of(own()).contains(&pid));
        child.wait().unwrap();
        assert!(matches!(command_line(pid), Err(ProcError::NoProcess(gone)) if gone == pid));
        assert!(matches!(threads(pid), Err(ProcError::NoProcess(_))));
        assert!(command_name(pid).unwrap_err().to_string().contains(&format!("no process {pid}")));
    }

    /// Our own CPU time grows with work, and not by more than time passes on all CPUs.
    #[test]
    fn own_cpu_time_grows() {
        let (before, started) = (self_cpu_ns(), std::time::Instant::now());
        while started.elapsed() < Duration::from_millis(30) {
            std::hint::black_box(before);
        }
        let used = self_cpu_ns() - before;
        assert!(used > 1_000_000, "{used}");
    }

    /// The list format of sysfs, and this machine's count.
    #[test]
    fn cpus_are_counted() {
        assert_eq!(cpu_list("0-3,8\n"), Some(BTreeSet::from([0, 1, 2, 3, 8])));
        assert_eq!(cpu_list("0"), Some(BTreeSet::from([0])));
        for bad in ["0-18446744073709551615", "", "3-0", "a", "0-"] {
            assert_eq!(cpu_list(bad), None, "{bad}");
        }
        assert!(cpu_count() >= 1);
    }

    /// A process of another PID namespace is found by the id that it has in there.
    #[test]
    fn processes_of_other_namespaces() {
        let mut command = Command::new("unshare");
        command.args(["-pf", "--mount-proc", "sh", "-c", "sleep 31 & wait"]);
        let unshare = Running::new(&mut command);
        let Some(sleep) = unshare.descendant_named("sleep") else {
            eprintln!(
                "processes_of_other_namespaces: skipped, because unshare needs root and PID namespaces"
            );
            return;
        };
        assert!(process_exists(sleep));
        wait_until(|| command_line(sleep).unwrap() == ["sleep", "31"]);
        let status = fs::read(format!("/proc/{sleep}/status")).unwrap();
        let inner: u32 =
            status_line(&status, "NSpid").unwrap().split_ascii_whitespace().last().unwrap().parse().unwrap();
        assert_ne!(Pid(inner), sleep);
        assert!(known_inside_as(Pid(inner)).contains(&sleep));
        assert!(!known_inside_as(sleep).contains(&sleep));
    }
}
