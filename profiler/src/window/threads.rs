//! Threads: their switches, their time on CPUs and in run queues, births.

use whywait_ebpf::abi::{OffCpu, Thread, born, off_cpu};

use super::{overlap::Overlap, series::Series};
use crate::{
    decode::Event,
    recent_map::RecentMap,
    units::{Ns, Pid, Tid},
};

/// Threads that have ended and are told one by one.
const MOST_GONE: usize = 1 << 16;

/// A thread that runs is seen at least as often, in nanoseconds: by twice the time between two samples.
const SEEN_WITHIN: u64 = 20_000_000;

/// What a thread did in the window.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// Its process.
    pub pid: Pid,
    /// Its name; empty where it was never told.
    pub name: String,
    /// When it was created, nanoseconds of `CLOCK_MONOTONIC`; 0 where that was never told. With its id it names one thread for good.
    pub start_time: u64,
    /// Switches by which it gave the CPU up.
    pub voluntary: u64,
    /// Switches by which it lost the CPU.
    pub involuntary: u64,
    /// Times that it came back on another CPU.
    pub migrations: u64,
    /// Nanoseconds on a CPU, as the kernel counts them: without what a hypervisor took.
    pub on_cpu: u64,
    /// Nanoseconds on a run queue without a CPU, as the kernel counts them.
    pub run_queue: u64,
    running: Option<Ns>,
    /// When a sample found it on a CPU, the last time.
    sampled: Ns,
    counted: Option<Counted>,
    /// When it left the CPU, if that was told before it came back.
    open: Option<Ns>,
}

/// The kernel's own counts of a thread, as its records carry them.
#[derive(Clone, Copy, Debug)]
struct Counted {
    /// CPU time when the window or the thread began.
    ran_first: u64,
    /// Waits for a CPU then.
    waited_first: u64,
    /// CPU time at the last record.
    ran: u64,
    /// Waits for a CPU, that of the last record among them.
    waited: u64,
}

/// All threads of the target.
#[derive(Clone, Debug)]
pub struct Threads {
    begin: Ns,
    by_tid: RecentMap<Tid, Usage>,
    gone: Vec<(Tid, Usage)>,
    /// What the others did that ended: they are too many to be told one by one.
    rest: Usage,
    running: Overlap,
    running_over_time: Series,
    created: u64,
    processes_created: u64,
}

impl Usage {
    /// Whether this is another thread than the one that the record is about, which has the same id.
    fn is_other(&self, thread: &Thread) -> bool {
        self.start_time != 0 && self.start_time != thread.start_time
    }

    /// Adds what another thread did.
    fn add(&mut self, other: &Self) {
        self.voluntary += other.voluntary;
        self.involuntary += other.involuntary;
        self.migrations += other.migrations;
        self.on_cpu = self.on_cpu.saturating_add(other.on_cpu);
        self.run_queue = self.run_queue.saturating_add(other.run_queue);
    }

    /// Takes the kernel's counts from a record.
    fn count(&mut self, interval: &OffCpu, wait: u64) {
        let born = interval.flags & off_cpu::BORN != 0;
        let first = |count: u64| if born { 0 } else { count };
        let counted = self.counted.get_or_insert(Counted {
            ran_first: first(interval.ran),
            waited_first: first(interval.waited),
            ran: 0,
            waited: 0,
        });
        counted.ran = interval.ran;
        counted.waited = interval.waited.saturating_add(wait);
        self.on_cpu = counted.ran.saturating_sub(counted.ran_first);
        self.run_queue = counted.waited.saturating_sub(counted.waited_first);
    }
}

impl Threads {
    pub(super) fn new(begin: Ns) -> Self {
        Self {
            begin,
            by_tid: RecentMap::default(),
            gone: Vec::new(),
            rest: Usage::default(),
            running: Overlap::default(),
            running_over_time: Series::new(begin),
            created: 0,
            processes_created: 0,
        }
    }

    /// The same threads for a window that follows at once: what they are goes on, what they did begins anew.
    pub(super) fn renewed(&self, begin: Ns) -> Self {
        let renew = |usage: &Usage| Usage {
            pid: usage.pid,
            name: usage.name.clone(),
            running: usage.running,
            sampled: usage.sampled,
            open: usage.open,
            counted: usage.counted.map(|counted| Counted {
                ran_first: counted.ran,
                waited_first: counted.waited,
                ..counted
            }),
            ..Usage::default()
        };
        let by_tid = self.by_tid.iter().map(|(tid, usage)| (tid, renew(usage))).collect();
        Self { by_tid, ..Self::new(begin) }
    }

    pub(super) fn off_cpu(&mut self, event: &Event, interval: &OffCpu) {
        let begin = self.begin;
        let usage = self.by_tid.get_or_insert_with(event.tid, Usage::default);
        usage.pid = event.pid;
        let (left, open) = (Ns(interval.left), interval.flags & off_cpu::OPEN != 0);
        // A thread of which nothing was told ran from the beginning of the window, or it could not have left the CPU in it.
        let clipped = interval.flags & (off_cpu::CLIPPED | off_cpu::BORN) != 0;
        let told_open = std::mem::replace(&mut usage.open, open.then_some(left)) == Some(left);
        if !clipped && !told_open {
            let since = usage.running.unwrap_or(begin).max(begin);
            self.running.add(since, left);
            self.running_over_time.add(since, left);
            if left >= begin {
                if interval.flags & off_cpu::VOLUNTARY != 0 {
                    usage.voluntary += 1;
                } else {
                    usage.involuntary += 1;
                }
            }
        }
        let wait = if open { 0 } else { event.at.since(event.ready(interval).max(begin)) };
        usage.count(interval, wait);
        if open {
            usage.running = None;
        } else {
            usage.running = Some(event.at);
            // Where a thread was that is new, or was found asleep, is not known.
            usage.migrations += u64::from(!clipped && interval.left_cpu != event.cpu);
        }
    }

    pub(super) fn named(&mut self, event: &Event, thread: &Thread, new: bool) {
        let usage = self.by_tid.get_or_insert_with(event.tid, Usage::default);
        if usage.is_other(thread) {
            // The id is used again: the thread that had it ended unseen, in a loss.
            let old = std::mem::take(usage);
            self.bury(event.tid, old);
        }
        if new {
            self.created += u64::from(event.pid == Pid(thread.parent_pid));
            self.processes_created += u64::from(event.pid != Pid(thread.parent_pid));
        }
        let usage = self.by_tid.get_or_insert_with(event.tid, Usage::default);
        usage.pid = event.pid;
        usage.start_time = thread.start_time;
        let length = thread.comm.iter().position(|byte| *byte == 0).unwrap_or(thread.comm.len());
        usage.name = String::from_utf8_lossy(&thread.comm[..length]).into_owned();
        if thread.how == born::FOUND && thread.running != 0 {
            usage.running = Some(event.at);
        }
    }

    pub(super) fn ended(&mut self, event: &Event) {
        if let Some(mut usage) = self.by_tid.remove(event.tid) {
            self.stop(&mut usage, event.at);
            self.bury(event.tid, usage);
        }
    }

    /// Keeps what a thread did that has ended.
    fn bury(&mut self, tid: Tid, usage: Usage) {
        if self.gone.len() < MOST_GONE {
            self.gone.push((tid, usage));
        } else {
            self.rest.add(&usage);
        }
    }

    /// A sample found a thread on a CPU.
    pub(super) fn sampled(&mut self, event: &Event) {
        if let Some(usage) = self.by_tid.get_mut(event.tid) {
            usage.sampled = event.at;
        }
    }

    /// Ends the run, at whose end all threads were told that were off the CPU: the others run.
    pub(super) fn close(&mut self, end: Ns) {
        self.stop_all(|_| end);
    }

    /// Ends a window within the run. A thread tells that it left the CPU when it comes back, so that one may be away since it was last seen.
    pub(super) fn turn(&mut self, at: Ns) {
        self.stop_all(|usage| {
            let seen = usage.running.unwrap_or_default().max(usage.sampled);
            seen.plus(SEEN_WITHIN).min(at)
        });
    }

    fn stop_all(&mut self, ran_until: impl Fn(&Usage) -> Ns) {
        let mut by_tid = std::mem::take(&mut self.by_tid);
        for usage in by_tid.values_mut() {
            let until = ran_until(usage);
            self.stop(usage, until);
        }
        self.by_tid = by_tid;
    }

    fn stop(&mut self, usage: &mut Usage, at: Ns) {
        if let Some(since) = usage.running.take() {
            let since = since.max(self.begin);
            // What it has run since its last record only the clock on the wall tells.
            usage.on_cpu += at.since(since);
            self.running.add(since, at);
            self.running_over_time.add(since, at);
        }
    }

    /// Threads with what they did; an id that was used twice appears twice. Of those that ended, the first 65,536.
    pub fn iter(&self) -> impl Iterator<Item = (Tid, &Usage)> {
        self.gone.iter().map(|(tid, usage)| (*tid, usage)).chain(self.by_tid.iter())
    }

    /// Sums over all threads.
    pub fn total(&self) -> Usage {
        let mut total = self.rest.clone();
        self.iter().for_each(|(_, usage)| total.add(usage));
        total
    }

    /// Threads created within their process.
    pub fn created(&self) -> u64 {
        self.created
    }

    /// Processes created.
    pub fn processes_created(&self) -> u64 {
        self.processes_created
    }

    pub(super) fn running(&self) -> &Overlap {
        &self.running
    }
    pub(super) fn running_over_time(&self) -> &Series {
        &self.running_over_time
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::What;

    fn event(at: u64) -> Event {
        Event {
            at: Ns(at),
            tid: Tid(7),
            pid: Pid(5),
            seq: 0,
            missing: 0,
            cpu: 0,
            spun: 0,
            what: What::ThreadEnd,
        }
    }

    fn told(start_time: u64, how: u8) -> Thread {
        Thread { start_time, how, parent_pid: 5, comm: *b"worker\0\0\0\0\0\0\0\0\0\0", ..Thread::default() }
    }

    /// Thread ids come around: whose end was lost is told from the next one with its id by when they were created.
    #[test]
    fn an_id_that_is_used_again_is_another_thread() {
        let mut threads = Threads::new(Ns(0));
        for (at, start_time, how) in [
            (10, 9, born::NEW),
            (20, 9, born::RENAMED),
            (30, 29, born::NEW),
            (40, 39, born::FOUND),
            (50, 39, born::EXEC),
        ] {
            threads.named(&event(at), &told(start_time, how), how == born::NEW);
            threads.off_cpu(&event(at + 5), &OffCpu { left: at + 1, ..OffCpu::default() });
        }
        let mut seen: Vec<_> =
            threads.iter().map(|(tid, usage)| (tid, usage.start_time, usage.involuntary)).collect();
        seen.sort_unstable();
        assert_eq!(seen, [(Tid(7), 9, 2), (Tid(7), 29, 1), (Tid(7), 39, 2)]);
        assert_eq!(threads.created(), 2);
    }

    /// At the end of a run, intervals are told that are still open; those of threads that come back before the programs are gone are told again.
    #[test]
    fn an_interval_that_was_told_open_counts_once() {
        let mut threads = Threads::new(Ns(0));
        let away = |left, flags| OffCpu {
            left,
            woken: left + 5,
            flags: flags | off_cpu::VOLUNTARY,
            ..OffCpu::default()
        };
        threads.off_cpu(&event(20), &away(10, off_cpu::CLIPPED));
        threads.off_cpu(&event(40), &away(30, off_cpu::OPEN));
        threads.off_cpu(&event(50), &away(30, 0));
        threads.close(Ns(60));
        let (mean, _) = threads.running().mean_and_max(Ns(0), Ns(60));
        assert!((mean * 60.0 - 20.0).abs() < 1e-9, "from 20 to 30 and from 50 on, not {mean}");
        assert_eq!(threads.total().voluntary, 1);
    }

    /// A thread that went to sleep before the window, and one that runs without a switch, are told apart by the samples.
    #[test]
    fn a_thread_that_sleeps_through_a_window_does_not_run() {
        const SECOND: u64 = 1_000_000_000;
        let mut threads = Threads::new(Ns(0));
        let of = |tid, at| Event { tid: Tid(tid), ..event(at) };
        for tid in [1, 2] {
            threads.off_cpu(&of(tid, SECOND), &OffCpu { left: SECOND - 10, ..OffCpu::default() });
        }
        threads.sampled(&of(2, 5 * SECOND - 9_000_000));
        let mut next = threads.renewed(Ns(5 * SECOND));
        threads.turn(Ns(5 * SECOND));
        let ran = |threads: &Threads| {
            let mut ran: Vec<_> = threads.iter().map(|(tid, usage)| (tid.0, usage.on_cpu)).collect();
            ran.sort_unstable();
            ran
        };
        assert_eq!(ran(&threads), [(1, SEEN_WITHIN), (2, 4 * SECOND)]);
        next.sampled(&of(2, 10 * SECOND - 1));
        next.turn(Ns(10 * SECOND));
        assert_eq!(ran(&next), [(1, 0), (2, 5 * SECOND)]);
    }

    /// A thread for each request, for hours: each counts, and memory stays what it is.
    #[test]
    fn threads_that_ended_count_however_many_they_are() {
        let mut threads = Threads::new(Ns(0));
        let all = MOST_GONE as u64 + 100;
        for number in 1..=all {
            threads.named(&event(number), &told(number, born::NEW), true);
            threads.off_cpu(&event(number), &OffCpu { left: number, ..OffCpu::default() });
            threads.ended(&event(number));
        }
        assert_eq!(
            (threads.gone.len(), threads.created(), threads.total().involuntary),
            (MOST_GONE, all, all)
        );
    }
}
