//! What each thread did, one stretch of time after the other: the way in which other tools see threads. Pure.

use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use whywait_ebpf::abi::{OffCpu, Thread, born, off_cpu, tcp_state};

use crate::{
    clock::{RequestId, State, classify},
    decode::{ConnId, Event, What},
    live::{Connections, Share},
    units::{Ns, Pid, Tid},
};

/// From `from` to `to` a thread did one thing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stretch<'a> {
    /// The thread.
    pub tid: Tid,
    /// Its process.
    pub pid: Pid,
    /// Its beginning.
    pub from: Ns,
    /// Its end.
    pub to: Ns,
    /// It ran, waited for a CPU, or waited for something; `None`: for something to do.
    pub share: Share,
    /// CPU that it ran on; of a wait, that which it left, of a wait for a CPU, that which it came to.
    pub cpu: u16,
    /// The request that it worked for at the end of the stretch, as far as was known then.
    pub serving: Option<RequestId>,
    /// Why it was off the CPU.
    pub interval: Option<&'a OffCpu>,
}

/// A thread that is there.
#[derive(Clone, Debug)]
struct Known {
    pid: Pid,
    /// Since when it runs, and where.
    running: Option<(Ns, u16)>,
}

/// Finds the stretches of all threads.
#[derive(Debug, Default)]
pub struct Stretches {
    threads: FxHashMap<Tid, Known>,
    connections: Connections,
}

/// Stretches that an event ends: it ran, it waited, it waited for a CPU.
pub type Ended<'a> = SmallVec<[Stretch<'a>; 3]>;

impl Stretches {
    /// Takes an event; returns the stretches that it ends, in order.
    pub fn event<'a>(&mut self, event: &'a Event, serving: Option<RequestId>) -> Ended<'a> {
        match &event.what {
            What::OffCpu(interval) => return self.off_cpu(event, interval, serving),
            What::Conn(conn) => {
                self.connections.add(conn);
            }
            What::SockState(change) if change.new != tcp_state::ESTABLISHED => {
                self.connections.remove(ConnId(change.conn));
            }
            What::Thread(thread) => self.thread(event, thread),
            What::ThreadEnd => {
                let ended = self.threads.remove(&event.tid);
                return ended
                    .and_then(|known| ran(event.tid, &known, event.at, serving))
                    .into_iter()
                    .collect();
            }
            What::Socket { .. } | What::Stack(_) | What::SockState(_) => {}
        }
        Ended::new()
    }

    fn thread(&mut self, event: &Event, thread: &Thread) {
        let known = self.threads.entry(event.tid).or_insert(Known { pid: event.pid, running: None });
        known.pid = event.pid;
        // A thread that was found waiting has a record of its wait; one that was not, runs, or soon will.
        if thread.how == born::FOUND && thread.running != 0 {
            known.running = Some((event.at, event.cpu));
        }
    }

    fn off_cpu<'a>(&mut self, event: &Event, interval: &'a OffCpu, serving: Option<RequestId>) -> Ended<'a> {
        let (left, at) = (Ns(interval.left), event.at);
        let open = interval.flags & off_cpu::OPEN != 0;
        let ready = ready(event, interval);
        let share = self.connections.share(classify(interval), serving.is_some()).0;
        let known = self.threads.entry(event.tid).or_insert(Known { pid: event.pid, running: None });
        known.pid = event.pid;
        let mut ended = Ended::new();
        ended.extend(ran(event.tid, known, left, serving));
        known.running = (!open).then_some((at, event.cpu));
        let stretch = |from, to, share, cpu| Stretch {
            tid: event.tid,
            pid: event.pid,
            from,
            to,
            share,
            cpu,
            serving,
            interval: Some(interval),
        };
        if ready > left {
            ended.push(stretch(left, ready, share, interval.left_cpu));
        }
        if at > ready {
            ended.push(stretch(ready, at, Some(State::RunQueue), event.cpu));
        }
        ended
    }

    /// Ends the stretches of threads that run.
    pub fn finish(self, end: Ns) -> Vec<Stretch<'static>> {
        let mut last: Vec<_> =
            self.threads.iter().filter_map(|(tid, known)| ran(*tid, known, end, None)).collect();
        last.sort_by_key(|stretch| (stretch.from, stretch.tid));
        last
    }
}

/// When nothing but a CPU was missing to a thread any more.
pub fn ready(event: &Event, interval: &OffCpu) -> Ns {
    let left = Ns(interval.left);
    let waited = interval.flags & off_cpu::VOLUNTARY != 0 && interval.flags & off_cpu::BORN == 0;
    match (waited, interval.woken) {
        (false, _) => left,
        (true, 0) => event.at,
        (true, woken) => Ns(woken).clamp(left, event.at.max(left)),
    }
}

/// The stretch in which a thread ran.
fn ran(tid: Tid, known: &Known, to: Ns, serving: Option<RequestId>) -> Option<Stretch<'static>> {
    let (from, cpu) = known.running.filter(|(from, _)| *from < to)?;
    Some(Stretch { tid, pid: known.pid, from, to, share: Some(State::OnCpu), cpu, serving, interval: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::testing::events;
    use std::collections::HashMap;

    /// Whatever a thread does, its stretches follow each other without a gap or an overlap, from its first to its last.
    #[test]
    fn the_stretches_of_a_thread_have_no_gap() {
        let mut stretches = Stretches::default();
        let (mut last, mut count): (HashMap<Tid, Ns>, u32) = (HashMap::new(), 0);
        for event in events() {
            for stretch in stretches.event(&event, None) {
                let before = last.insert(stretch.tid, stretch.to);
                assert!(before.is_none_or(|before| before == stretch.from), "{stretch:?} after {before:?}");
                count += 1;
            }
        }
        assert!(count > 3_000, "{count}");
    }
}
