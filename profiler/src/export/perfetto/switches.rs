//! From intervals off the CPU to context switches, as `sched_switch` would have told them. Pure.
//!
//! A switch has two sides, and they are told at different times: the thread that came says so at once, the one that left when it comes
//! back. What is known of a CPU whose thread has not come back waits for that, so that each switch is written once and with both
//! sides; never more than one for each thread. Where the CPU was before or afterwards when it was not with a thread of the target is not
//! known: it is thread 0 then.

use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use whywait_ebpf::abi::{OffCpu, born, off_cpu};

use crate::{
    decode::{Event, What},
    units::{Ns, Tid},
};

/// Nobody of the target.
const NOBODY: Tid = Tid(0);
/// `prev_state` of a thread that was preempted (`TASK_REPORT_MAX`, kernel 4.14 and later).
pub const PREEMPTED: u32 = 0x100;
/// `EXIT_DEAD`
pub const DEAD: u32 = 0x10;
/// States that are a thread's own, rather than how it may be woken.
const STATES: u32 = 0xf;

/// What happens on a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It goes from a thread to another one.
    Switch {
        /// When.
        at: Ns,
        /// The CPU.
        cpu: u16,
        /// Thread that leaves.
        from: Tid,
        /// What it does from then on, as the kernel's `prev_state`.
        state: u32,
        /// Thread that comes.
        to: Tid,
    },
    /// A thread is woken.
    Wake {
        /// When.
        at: Ns,
        /// CPU of the waker where it is known, else that to which the thread comes.
        cpu: u16,
        /// Thread that wakes it; 0: none of the target's.
        waker: Tid,
        /// The thread.
        tid: Tid,
        /// CPU to which it comes.
        target_cpu: u16,
    },
}

/// Steps that an event tells of.
pub type Steps = SmallVec<[Step; 4]>;

/// A thread that came to a CPU from which another one has not been seen to leave.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    at: Ns,
    cpu: u16,
    tid: Tid,
}

#[derive(Clone, Copy, Debug, Default)]
struct Thread {
    /// CPU that it is on by what is known.
    on: Option<u16>,
    /// It was found running, at this moment, on an unknown CPU.
    found: Option<Ns>,
    /// It is new, and this thread created it.
    parent: Tid,
}

#[derive(Clone, Copy, Debug, Default)]
struct Cpu {
    /// Who came last, and has not been seen to leave.
    tid: Option<Tid>,
    /// When the last thread left.
    free_since: Ns,
}

/// Finds switches.
#[derive(Debug, Default)]
pub struct Switches {
    threads: FxHashMap<Tid, Thread>,
    cpus: FxHashMap<u16, Cpu>,
    /// By the thread that has not been seen to leave.
    waiting: FxHashMap<Tid, Arrival>,
}

impl Switches {
    /// Takes an event.
    pub fn event(&mut self, event: &Event) -> Steps {
        let mut steps = Steps::new();
        match &event.what {
            What::OffCpu(interval) => self.off_cpu(event, interval, &mut steps),
            What::Thread(thread) => {
                let known = self.threads.entry(event.tid).or_default();
                if thread.how == born::FOUND && thread.running != 0 {
                    known.found = Some(event.at);
                }
                known.parent = Tid(thread.parent_tid);
            }
            What::ThreadEnd => {
                if let Some(cpu) = self.threads.get(&event.tid).and_then(|thread| thread.on) {
                    self.leave(event.tid, cpu, event.at, DEAD, &mut steps);
                }
                self.threads.remove(&event.tid);
            }
            _ => {}
        }
        steps
    }

    fn off_cpu(&mut self, event: &Event, interval: &OffCpu, steps: &mut Steps) {
        let (tid, left) = (event.tid, Ns(interval.left));
        let has = |flag| interval.flags & flag != 0;
        let thread = self.threads.entry(tid).or_default();
        let (found, parent) = (thread.found.take(), thread.parent);
        if !has(off_cpu::BORN) && !has(off_cpu::CLIPPED) {
            let cpu = interval.left_cpu;
            if thread.on != Some(cpu)
                && let Some(since) = found
            {
                // It ran when it was found; on which CPU is told only now.
                let free = self.cpus.entry(cpu).or_default();
                let at = since.max(free.free_since);
                if free.tid.is_none() && at < left {
                    steps.push(Step::Switch { at, cpu, from: NOBODY, state: 0, to: tid });
                    free.tid = Some(tid);
                    self.threads.entry(tid).or_default().on = Some(cpu);
                }
            }
            let state = if has(off_cpu::VOLUNTARY) { interval.state & STATES } else { PREEMPTED };
            self.leave(tid, cpu, left, state, steps);
        }
        let (woken, waker) = if has(off_cpu::BORN) {
            (left.0, parent)
        } else if has(off_cpu::VOLUNTARY) {
            (interval.woken, Tid(interval.waker_tid))
        } else {
            (0, NOBODY)
        };
        if woken != 0 {
            let on = self.threads.get(&waker).and_then(|thread| thread.on);
            // In one and the same moment it left first, and readers keep the order of what is on one CPU.
            let cpu = if woken == interval.left { interval.left_cpu } else { on.unwrap_or(event.cpu) };
            steps.push(Step::Wake { at: Ns(woken), cpu, waker, tid, target_cpu: event.cpu });
        }
        if !has(off_cpu::OPEN) {
            self.arrive(Arrival { at: event.at, cpu: event.cpu, tid }, steps);
        }
    }

    /// A thread left a CPU.
    fn leave(&mut self, tid: Tid, cpu: u16, at: Ns, state: u32, steps: &mut Steps) {
        let Some(on) = self.threads.get_mut(&tid).and_then(|thread| thread.on.take()) else { return };
        let next = self.waiting.remove(&tid);
        // It was on another CPU than it left: a switch was not seen, and all that is known is when the next one came there.
        let (at, state) = match next {
            Some(next) if on != cpu || next.at < at => (next.at, 0),
            _ => (at, state),
        };
        let switch = |at, from, state, to| Step::Switch { at, cpu: on, from, state, to };
        match next {
            Some(next) if next.at == at => steps.push(switch(at, tid, state, next.tid)),
            Some(next) => {
                steps.push(switch(at, tid, state, NOBODY));
                steps.push(switch(next.at, NOBODY, 0, next.tid));
            }
            None => steps.push(switch(at, tid, state, NOBODY)),
        }
        let was = self.cpus.entry(on).or_default();
        was.free_since = was.free_since.max(at);
        if was.tid == Some(tid) {
            was.tid = None;
        }
    }

    /// A thread came to a CPU.
    fn arrive(&mut self, arrival: Arrival, steps: &mut Steps) {
        let Arrival { at, cpu, tid } = arrival;
        self.threads.entry(tid).or_default().on = Some(cpu);
        match self.cpus.entry(cpu).or_default().tid.replace(tid) {
            Some(before) if before != tid => {
                self.waiting.insert(before, arrival);
            }
            _ => steps.push(Step::Switch { at, cpu, from: NOBODY, state: 0, to: tid }),
        }
    }

    /// What is still waited for: of the threads that were before it is known only that they had left then.
    pub fn finish(self) -> Vec<Step> {
        let mut last: Vec<(Tid, Arrival)> = self.waiting.into_iter().collect();
        last.sort_by_key(|(_, arrival)| (arrival.at, arrival.cpu));
        last.into_iter()
            .map(|(from, Arrival { at, cpu, tid })| Step::Switch { at, cpu, from, state: 0, to: tid })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use whywait_ebpf::abi::{Thread, task_state};

    use super::*;
    use crate::units::Pid;

    fn event(at: u64, tid: u32, cpu: u16, what: What) -> Event {
        Event { at: Ns(at), tid: Tid(tid), pid: Pid(1), seq: 0, missing: 0, cpu, spun: 0, what }
    }

    /// A scheduler of some threads on some CPUs. Each choice is a CPU, the thread that comes to it (or nobody), and how much later.
    fn simulate(choices: &[(u16, u32, u64)]) -> (Vec<Step>, Vec<Event>) {
        const CPUS: usize = 3;
        let mut truth = Vec::new();
        let mut events = Vec::new();
        let (mut on, mut off): ([u32; CPUS], FxHashMap<u32, (u64, u16)>) = ([0; CPUS], FxHashMap::default());
        let mut at = 1_000;
        for tid in 1..=5 {
            off.insert(tid, (at, 0));
            let thread = Thread { how: born::FOUND, ..Thread::default() };
            events.push(event(at, tid, 0, What::Thread(thread)));
        }
        let began = at;
        for (cpu, tid, later) in choices {
            let place = usize::from(*cpu) % CPUS;
            let cpu = *cpu % u16::try_from(CPUS).unwrap();
            at += later + 1;
            let from = on[place];
            if from == *tid || (*tid != 0 && !off.contains_key(tid)) {
                continue;
            }
            let (from_tid, to_tid) = (Tid(from), Tid(*tid));
            truth.push(Step::Switch {
                at: Ns(at),
                cpu,
                from: from_tid,
                state: u32::from(from != 0),
                to: to_tid,
            });
            if from != 0 {
                off.insert(from, (at, cpu));
            }
            on[place] = *tid;
            if let Some((left, left_cpu)) = off.remove(tid) {
                let clipped = if left == began { off_cpu::CLIPPED } else { 0 };
                let interval = OffCpu {
                    left,
                    left_cpu,
                    woken: at - 1,
                    flags: off_cpu::VOLUNTARY | clipped,
                    state: task_state::INTERRUPTIBLE,
                    ..OffCpu::default()
                };
                events.push(event(at, *tid, cpu, What::OffCpu(interval)));
            }
        }
        for (tid, (left, left_cpu)) in off.into_iter().filter(|(_, (left, _))| *left > began) {
            let flags = off_cpu::VOLUNTARY | off_cpu::OPEN;
            let state = task_state::INTERRUPTIBLE;
            let interval = OffCpu { left, left_cpu, flags, state, ..OffCpu::default() };
            events.push(event(at + 1, tid, 0, What::OffCpu(interval)));
        }
        (truth, events)
    }

    fn found(events: &[Event]) -> Vec<Step> {
        let mut switches = Switches::default();
        let mut steps: Vec<Step> = events.iter().flat_map(|event| switches.event(event)).collect();
        steps.extend(switches.finish());
        steps.retain(|step| matches!(step, Step::Switch { .. }));
        steps.sort_by_key(|step| match step {
            Step::Switch { at, cpu, .. } | Step::Wake { at, cpu, .. } => (*at, *cpu),
        });
        steps
    }

    proptest! {
        #[test]
        fn switches_are_those_of_the_scheduler(
            choices in proptest::collection::vec((0_u16..3, 0_u32..6, 0_u64..50), 0..200)
        ) {
            let (truth, events) = simulate(&choices);
            prop_assert_eq!(found(&events), truth);
        }

        /// What a loss leaves is no scheduler's doing, but each CPU still goes from whom it went to.
        #[test]
        fn a_cpu_goes_from_whom_it_went_to_whatever_is_lost(
            choices in proptest::collection::vec((0_u16..3, 0_u32..6, 0_u64..50), 0..200),
            lost in proptest::collection::vec(any::<bool>(), 200),
        ) {
            let (_, mut events) = simulate(&choices);
            let mut lost = lost.into_iter();
            events.retain(|event| !lost.next().unwrap_or(false) || matches!(event.what, What::Thread(_)));
            let mut on: FxHashMap<u16, Tid> = FxHashMap::default();
            for step in found(&events) {
                if let Step::Switch { cpu, from, to, .. } = step {
                    prop_assert_eq!(on.insert(cpu, to).unwrap_or(NOBODY), from);
                }
            }
        }
    }
}
