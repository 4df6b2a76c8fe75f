//! From the locks of a run to the facts about them.

use std::collections::BTreeMap;

use whywait_ebpf::syscalls;

use super::facts::{LockFacts, LockFor};
use crate::{
    locks::{Doing, Holder, Lock, LockKind, Locks, Place},
    observe::Observation,
    units::fmt_percent,
};

/// Locks that are told one by one; the others by what they are for.
const MOST: usize = 48;
/// Share of a holder's time from which on it is told what it did in it.
const MOSTLY: f64 = 0.5;

/// The locks that requests waited for, most time first.
pub(super) fn lock_facts(locks: &Locks) -> Vec<LockFacts> {
    let mut ranked: Vec<&Lock> = locks.iter().collect();
    ranked.sort_by(|a, b| b.request_ns().total_cmp(&a.request_ns()).then_with(|| a.key().cmp(&b.key())));
    let mut facts: Vec<LockFacts> =
        ranked.iter().take(MOST).map(|lock| fact(lock, locks.request_ns())).collect();
    let mut rest: BTreeMap<LockKind, LockFacts> = BTreeMap::new();
    for lock in ranked.iter().skip(MOST) {
        let one = fact(lock, locks.request_ns());
        let all = rest.entry(lock.kind()).or_insert_with(|| LockFacts {
            of: one.of,
            name: "others".to_owned(),
            ..LockFacts::default()
        });
        let waited = all.mean_us * all.waits as f64 + one.mean_us * one.waits as f64;
        all.share += one.share;
        all.waits += one.waits;
        all.mean_us = waited / all.waits as f64;
        all.worst_us = all.worst_us.max(one.worst_us);
        all.waiters = all.waiters.max(one.waiters);
    }
    facts.extend(rest.into_values());
    facts
}

fn fact(lock: &Lock, request_ns: f64) -> LockFacts {
    LockFacts {
        of: purpose(lock.kind()),
        name: name(lock),
        share: if request_ns > 0.0 { lock.request_ns() / request_ns } else { 0.0 },
        waits: lock.waits(),
        mean_us: lock.waited_ns() as f64 / lock.waits().max(1) as f64 / 1e3,
        worst_us: lock.worst_ns() as f64 / 1e3,
        waiters: lock.waiters(),
        holder: holder(&lock.held()),
    }
}

fn purpose(kind: LockKind) -> LockFor {
    match kind {
        LockKind::Exclusion | LockKind::Semaphore | LockKind::Unknown => LockFor::Exclusion,
        LockKind::Work => LockFor::Work,
        LockKind::Join => LockFor::Join,
        LockKind::File => LockFor::File,
        LockKind::Gil => LockFor::Gil,
    }
}

/// What a lock is called; where it is, when that is all that is known.
pub fn name(lock: &Lock) -> String {
    if let Some(name) = lock.name() {
        return name.text.clone();
    }
    match lock.key().place {
        Place::Futex(address) => format!("{address:#x}"),
        Place::Semaphores(id) => format!("semaphores {id}"),
        Place::File(descriptor) => format!("descriptor {descriptor} of process {}", lock.pid()),
    }
}

/// `blocked in clock_nanosleep for 97 % of the time (requests for GET /report)`
fn holder(held: &Holder) -> String {
    let Doing { on_cpu, runnable, blocked, longest, blocked_in } = held.doing;
    let total = held.doing.total();
    if total == 0 {
        return String::new();
    }
    let share = |nanos: u64| nanos as f64 / total as f64;
    let doing = if share(longest) >= MOSTLY {
        format!("blocked in {} for {} of the time", call(blocked_in), fmt_percent(share(longest)))
    } else if share(on_cpu) >= MOSTLY {
        format!("on a CPU for {} of the time", fmt_percent(share(on_cpu)))
    } else if share(runnable) >= MOSTLY {
        format!("ready to run, without a CPU, for {} of the time", fmt_percent(share(runnable)))
    } else {
        format!(
            "on a CPU for {}, without one for {}, and blocked for {} of the time",
            fmt_percent(share(on_cpu)),
            fmt_percent(share(runnable)),
            fmt_percent(share(blocked))
        )
    };
    let route = held.routes.first().filter(|(_, nanos)| share(*nanos) >= MOSTLY);
    route.map_or_else(|| doing.clone(), |(route, _)| format!("{doing} (with a request for {route} in hand)"))
}

/// Name of a system call in which a thread is blocked.
pub fn call(number: i32) -> String {
    if number < 0 {
        return "a page fault".to_owned();
    }
    syscalls::name(number).map_or_else(|| format!("system call {number}"), str::to_owned)
}

/// Kernel locks by name, with shares of the time in `kernel_lock`, most first.
pub(super) fn kernel_locks(observation: &Observation) -> Vec<(String, f64)> {
    let kernel = observation.pipeline.locks().kernel();
    let told = kernel.told(&observation.facts.kernel_locks);
    let total: u64 = told.iter().map(|lock| lock.total_ns).sum();
    let met_in = kernel.met_in();
    let met_in = met_in.first().filter(|(_, share)| *share >= MOSTLY);
    told.iter()
        .enumerate()
        .map(|(at, lock)| {
            let which = if lock.locks > 1 {
                format!("{} locks, each {}", lock.locks, lock.name)
            } else {
                lock.name.clone()
            };
            let which = match met_in {
                Some((call, _)) if at == 0 => format!("{which}, met in {call}"),
                _ => which,
            };
            (which, lock.total_ns as f64 / total.max(1) as f64)
        })
        .collect()
}
