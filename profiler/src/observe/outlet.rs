//! What a run tells its outlets, beside its requests.

use std::time::{Duration, Instant};

use whywait_ebpf::abi::kind;

use super::{facts::Facts, observation::Observation, pipeline::Pipeline};
use crate::{
    explain::{Id as FindingId, findings, gather},
    outlet::{LockTotals, Outlets, Vitals},
    platform::{clock::monotonic, proc, target::Resolved},
    probe::{AttachError, Counters, LockWaits, Loss, Session},
    stacks::NameTable,
};

/// How often is looked for causes in a window that goes on, and how often the tables of locks are read.
const SELDOM: Duration = Duration::from_secs(5);
/// Looking for causes may take this part of the time.
const SHARE: u32 = 200;
/// Causes that were found this long ago are out of date: nothing has been explained since, for want of requests.
const OUT_OF_DATE: Duration = Duration::from_secs(15);

/// What is told from.
pub struct Sources<'a> {
    /// The programs.
    pub session: &'a Session,
    /// Whom they watch.
    pub target: &'a Resolved,
    /// What came of the records so far.
    pub pipeline: &'a Pipeline,
    /// The target runs and is watched.
    pub up: bool,
}

/// The outlets of a run, and what was told last.
pub struct Outlet {
    outlets: Outlets,
    found: Option<(Instant, Vec<(FindingId, f64)>)>,
    model: Option<String>,
    next_causes: Instant,
    locks: [LockTotals; 2],
    next_locks: Instant,
}

impl Outlet {
    /// Nothing is told yet.
    pub fn new(outlets: Outlets) -> Self {
        let now = Instant::now();
        Self {
            outlets,
            found: None,
            model: None,
            next_causes: now + SELDOM,
            locks: Default::default(),
            next_locks: now,
        }
    }

    /// Whether something is to be told.
    pub fn is_due(&self) -> bool {
        self.outlets.is_due()
    }

    /// Whether causes are to be looked for, where nobody else does.
    pub fn wants_causes(&self) -> bool {
        Instant::now() >= self.next_causes
    }

    /// Causes with the shares that they explain, and the concurrency model where it is known; it took so long to find them.
    pub fn found(&mut self, found: Vec<(FindingId, f64)>, model: Option<String>, took: Duration) {
        let now = Instant::now();
        self.next_causes = now + SELDOM.max(took * SHARE);
        self.found = Some((now, found));
        self.model = model;
    }

    /// Tells what there is now.
    ///
    /// # Errors
    /// When the programs' maps cannot be read.
    pub fn tick(&mut self, sources: &Sources<'_>) -> Result<(), AttachError> {
        let vitals = self.vitals(sources)?;
        self.outlets.publish(vitals);
        Ok(())
    }

    /// The last that is to be told, and whom: a receiver may take its time, in which nothing need be attached any more.
    ///
    /// # Errors
    /// When the programs' maps cannot be read.
    pub fn last(mut self, sources: &Sources<'_>) -> Result<(Outlets, Vitals), AttachError> {
        let vitals = self.vitals(sources)?;
        Ok((self.outlets, vitals))
    }

    fn vitals(&mut self, sources: &Sources<'_>) -> Result<Vitals, AttachError> {
        let Sources { session, target, pipeline, up } = sources;
        if Instant::now() >= self.next_locks {
            self.next_locks = Instant::now() + SELDOM;
            let read = [
                totals(session.futexes()?.iter()),
                totals(session.kernel_locks()?.iter().map(|lock| &lock.waits)),
            ];
            for (known, read) in self.locks.iter_mut().zip(read) {
                // The tables forget locks that nobody has waited for in a long time.
                *known =
                    LockTotals { count: known.count.max(read.count), nanos: known.nanos.max(read.nanos) };
            }
        }
        let (in_flight, oldest) = pipeline.in_flight();
        let (counters, tally) = (session.counters()?, pipeline.tally());
        let found = self.found.as_ref().map(|(at, found)| {
            if at.elapsed() < OUT_OF_DATE.max(self.next_causes.saturating_duration_since(*at) * 2) {
                found.clone()
            } else {
                Vec::new()
            }
        });
        Ok(Vitals {
            command: target.command.clone(),
            pid: target.pids.first().copied(),
            ports: target.ports.clone(),
            up: *up,
            in_flight,
            oldest_ns: oldest.map_or(0, |since| monotonic().since(since)),
            unanswered: tally.unanswered,
            records: counters.sent,
            lost: lost(&session.loss()?, &counters, pipeline),
            missing: tally.missing,
            late: pipeline.late(),
            run_queue: session.run_queue_histogram()?,
            locks: self.locks,
            own_cpu_ns: proc::self_cpu_ns(),
            model: self.model.clone(),
            found,
        })
    }
}

/// Records that were lost, by kind, also those of which none were; and otherwise.
fn lost(no_room: &Loss, counters: &Counters, pipeline: &Pipeline) -> Vec<(&'static str, u64)> {
    let of_kind = |number| {
        let name = kind::name(number);
        (name, no_room.by_kind().find(|(known, _)| *known == name).map_or(0, |(_, count)| count))
    };
    let mut lost: Vec<_> = (1..kind::COUNT).map(of_kind).collect();
    lost.extend([
        ("unreadable", pipeline.unreadable()),
        ("no_state", counters.no_state),
        ("unseen_switch", counters.unseen_switches),
    ]);
    lost
}

fn totals<'a>(waits: impl Iterator<Item = &'a LockWaits>) -> LockTotals {
    waits.fold(LockTotals::default(), |sum, waits| LockTotals {
        count: sum.count + waits.count,
        nanos: sum.nanos + waits.total_ns,
    })
}

/// Causes of waiting in a window that goes on, each with its share, found without changing anything in it.
pub fn causes_so_far(pipeline: &mut Pipeline, facts: Facts) -> Vec<(FindingId, f64)> {
    // Naming locks puts some together, which must happen only once, at the end.
    let locks = pipeline.locks().clone();
    let stand_in = Pipeline::new(facts.end, None);
    let observation =
        Observation::new(std::mem::replace(pipeline, stand_in), facts, &mut NameTable::new(Vec::new()));
    let found =
        findings(&gather(&observation)).into_iter().map(|finding| (finding.id, finding.share)).collect();
    *pipeline = observation.pipeline;
    *pipeline.locks_mut() = locks;
    found
}
