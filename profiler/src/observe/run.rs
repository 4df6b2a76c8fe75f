//! Attach, watch, detach.

use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;
use thiserror::Error;

use super::{
    beside::Beside,
    facts::Facts,
    observation::Observation,
    outlet::{Outlet, Sources, causes_so_far},
    pipeline::{Pipeline, Sink, together},
    record::{RecordPlan, Recording},
    slice::Slice,
};
use crate::{
    locks::LockNames,
    outlet::Outlets,
    platform::{
        cgroup,
        clock::monotonic,
        proc,
        signals::StopFlag,
        target::{Resolved, TargetSpec},
        yielding::never_preempt,
    },
    probe::{AttachError, Options, Session},
    recording::RecordError,
    ring::{Batch, Reader, ReaderError},
    stacks::NameTable,
    symbols::Symbols,
    units::{Ns, Pid},
};

/// How often losses, the clock on the wall and the target are looked at.
const TICK: Duration = Duration::from_millis(50);
/// Nothing has come for this long: nothing is on its way, for the reader hands on what there is within a fraction of it.
pub(super) const IDLE: Duration = Duration::from_secs(1);
/// How long a command that whywait started is given to end.
pub(super) const GRACE: Duration = Duration::from_secs(3);

/// What to watch, and for how long.
pub struct Plan {
    /// The target as the user named it.
    pub spec: TargetSpec,
    /// How to attach.
    pub options: Options,
    /// How long; `None`: until stopped, or until the target ends.
    pub duration: Option<Duration>,
    /// For how long of it the target is busy, from the beginning on; `None`: all the time.
    pub busy: Option<Duration>,
    /// Called once, when everything is attached.
    pub attached: Box<dyn FnOnce(&Resolved)>,
    /// Is told what happens.
    pub sink: Option<Sink>,
    /// How the run is recorded, if it is.
    pub record: Option<RecordPlan>,
    /// Who else hears of it while it goes on.
    pub outlets: Option<Outlets>,
}

/// Why a run failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ObserveError {
    /// The programs could not be attached.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// The ring could not be read.
    #[error(transparent)]
    Reader(#[from] ReaderError),
    /// The command could not be started.
    #[error(transparent)]
    Launch(#[from] crate::platform::launch::LaunchError),
    /// It could not be recorded.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The target ended while whywait attached.
    #[error(
        "process {pid} ended while whywait attached to it; start it again, or let whywait start it: `whywait explain -- COMMAND`"
    )]
    Ended {
        /// The process.
        pid: Pid,
    },
}

/// A run while it goes on.
struct Run {
    spec: TargetSpec,
    target: Resolved,
    session: Session,
    pipeline: Pipeline,
    symbols: Symbols,
    slice: Slice,
    beside: Beside,
    recording: Option<Recording>,
    outlet: Option<Outlet>,
    known_loss: u64,
    target_ended: bool,
    /// When the window began.
    began: Instant,
    /// What the programs had counted by then.
    before: Facts,
}

/// Watches a target.
///
/// # Errors
/// When the programs cannot be attached, the command cannot be started, or the file not be written. Nothing stays attached then.
pub fn observe(mut target: Resolved, plan: Plan, stop: &StopFlag) -> Result<Observation, ObserveError> {
    never_preempt();
    // Before anything is attached: a file that cannot be written must not be found out later.
    let recording = plan.record.map(|plan| Recording::start(plan, &target)).transpose()?;
    let (session, reader) = attach(&mut target, plan.options, plan.spec.children)?;
    if let Some(gone) = target.pids.iter().find(|pid| !proc::process_exists(**pid))
        && target.pids.iter().all(|pid| !proc::process_exists(*pid))
    {
        return Err(ObserveError::Ended { pid: *gone });
    }
    let first = monotonic();
    let outlets = plan.outlets;
    let sinks = plan.sink.into_iter().chain(outlets.as_ref().map(Outlets::sink));
    let mut pipeline = Pipeline::new(first, together(sinks));
    if outlets.as_ref().is_some_and(Outlets::wants_paths) {
        pipeline.keep_paths();
    }
    if recording.as_ref().is_some_and(Recording::has_several_files) {
        pipeline.keep_present();
    }
    if let Some(command) = &mut target.launched {
        command.go()?;
    }
    (plan.attached)(&target);
    if let Some(outlets) = &outlets {
        outlets.announce();
    }
    let beside = Beside::new(first, &target.pids);
    let mut run = Run {
        spec: plan.spec,
        target,
        session,
        pipeline,
        symbols: Symbols::new(),
        slice: Slice::of(plan.busy.or(plan.duration)),
        beside,
        recording,
        outlet: outlets.map(Outlet::new),
        known_loss: 0,
        target_ended: false,
        began: Instant::now(),
        before: Facts { end: first, ..Facts::default() },
    };
    let began = run.began;
    let (mut next_tick, mut heard) = (began + TICK, began);
    loop {
        let until = next_tick.saturating_duration_since(Instant::now());
        match reader.batches().recv_timeout(until) {
            Ok(batch) => {
                heard = Instant::now();
                run.take(batch);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if Instant::now() < next_tick {
            continue;
        }
        next_tick = Instant::now() + TICK;
        if run.outlet.is_some() && heard.elapsed() >= IDLE {
            run.pipeline.idle();
        }
        let over = plan.duration.is_some_and(|duration| began.elapsed() >= duration);
        if run.tick()? || stop.is_set() || over {
            break;
        }
    }
    run.slice.end(&mut run.session, &mut run.pipeline);
    run.session.flush()?;
    let end = monotonic();
    reader.stop();
    while let Ok(batch) = reader.batches().recv() {
        run.take(batch);
    }
    run.finish(end, stop)
}

impl Run {
    /// Takes records, which are written where the run is recorded.
    fn take(&mut self, batch: Batch) {
        match &mut self.recording {
            Some(recording) => recording.records(batch, &mut self.pipeline, &mut self.symbols),
            None => self.pipeline.records(&batch, &mut self.symbols),
        }
    }

    /// What is looked at now and then; whether the run is over.
    fn tick(&mut self) -> Result<bool, ObserveError> {
        self.look_at_losses()?;
        self.slice.tick(&mut self.session, &mut self.pipeline, self.began.elapsed());
        self.beside.tick(&self.pipeline.fresh_takers(), &self.pipeline);
        join_late(&self.spec, &mut self.target, &mut self.session)?;
        self.target_ended = ended(&mut self.target);
        self.tell_outlet()?;
        let Some(recording) = &self.recording else { return Ok(self.target_ended) };
        if recording.is_full() {
            if !recording.has_several_files() {
                return Ok(true);
            }
            self.turn()?;
        } else if recording.is_due() {
            let began = Instant::now();
            let facts = self.facts(monotonic(), LockNames::look_up(self.pipeline.locks()))?;
            if let Some(recording) = &mut self.recording {
                recording.facts(facts.since(&self.before), began.elapsed(), &mut self.symbols);
            }
        }
        Ok(self.target_ended || self.recording.as_ref().is_some_and(Recording::has_failed))
    }

    /// Tells those who hear of the run while it goes on.
    fn tell_outlet(&mut self) -> Result<(), AttachError> {
        let Some(outlet) = self.outlet.as_ref().filter(|outlet| outlet.is_due()) else { return Ok(()) };
        if outlet.wants_causes() && self.pipeline.window().count() > 0 {
            let began = Instant::now();
            let facts =
                self.facts(monotonic(), LockNames::look_up(self.pipeline.locks()))?.since(&self.before);
            let found = causes_so_far(&mut self.pipeline, facts);
            if let Some(outlet) = &mut self.outlet {
                outlet.found(found, None, began.elapsed());
            }
        }
        let Self { outlet, session, target, pipeline, target_ended, .. } = self;
        let sources = Sources { session, target, pipeline, up: !*target_ended };
        outlet.as_mut().map_or(Ok(()), |outlet| outlet.tick(&sources))
    }

    /// Records that found no room. A replay hears of it at the same place among the records.
    fn look_at_losses(&mut self) -> Result<(), AttachError> {
        let total = self.session.loss()?.total();
        if total > self.known_loss {
            if let Some(recording) = &mut self.recording {
                recording.lost(total - self.known_loss);
            }
            self.pipeline.loss();
            self.known_loss = total;
        }
        Ok(())
    }

    /// What is known beside the records, since the programs were attached.
    fn facts(&self, end: Ns, lock_names: LockNames) -> Result<Facts, AttachError> {
        Ok(Facts {
            slice: self.slice.findings(),
            lock_names,
            target_ended: self.target_ended,
            unwritten: self.recording.as_ref().map_or(0, Recording::unwritten),
            ..self.beside.facts(&self.session, &self.target, end)?
        })
    }

    /// Ends a file, and begins the next with a window of its own.
    fn turn(&mut self) -> Result<(), AttachError> {
        self.slice.end(&mut self.session, &mut self.pipeline);
        let now = monotonic();
        let mut past = self.pipeline.turn(now);
        self.beside.last_look(&past.fresh_takers(), &past);
        let facts = self.facts(now, LockNames::look_up(past.locks()))?;
        if let Some(recording) = &mut self.recording {
            let told = facts.clone().since(&self.before);
            recording.turn(told, self.pipeline.present(), &mut self.symbols, &self.target);
        }
        self.slice = Slice::of(None);
        self.beside.turn(now, &self.target.pids);
        self.began = Instant::now();
        self.before = facts.counted_so_far();
        Ok(())
    }

    /// What came of the run.
    fn finish(mut self, end: Ns, stop: &StopFlag) -> Result<Observation, ObserveError> {
        self.look_at_losses()?;
        self.pipeline.finish(end);
        self.target.ports = current_ports(&self.target);
        self.beside.last_look(&self.pipeline.fresh_takers(), &self.pipeline);
        let lock_names = LockNames::look_up(self.pipeline.locks());
        let facts = self.facts(end, lock_names)?.since(&self.before);
        let Self { mut target, pipeline, session, mut symbols, mut recording, outlet, target_ended, .. } =
            self;
        let sources = Sources { session: &session, target: &target, pipeline: &pipeline, up: !target_ended };
        let last = outlet.map(|outlet| outlet.last(&sources)).transpose()?;
        if let Some(recording) = &mut recording {
            recording.facts(facts.clone(), Duration::ZERO, &mut symbols);
        }
        drop(session);
        if let Some((outlets, vitals)) = last {
            outlets.finish(vitals);
        }
        // After the run, when nothing is measured any more; a process that is still there is the best source of its names.
        let (observation, recorded) = match recording {
            Some(recording) => {
                // A name that is looked up twice may be two: the recording has those that are told.
                let names = recording.names(&mut symbols);
                let observation = Observation::new(pipeline, facts, &mut NameTable::new(names.clone()));
                (observation, recording.finish(names).map(|_| ()))
            }
            None => (Observation::new(pipeline, facts, &mut symbols), Ok(())),
        };
        if let Some(command) = &mut target.launched {
            if recorded.is_err() {
                // A recording that fails ends, and the command goes on.
                while !stop.wait_timeout(TICK) && command.try_wait().is_none() {}
            }
            command.terminate(GRACE);
        }
        recorded?;
        Ok(observation)
    }
}

/// Attaches to a target, and begins to read what the programs send.
pub(super) fn attach(
    target: &mut Resolved,
    options: Options,
    children: bool,
) -> Result<(Session, Reader), ObserveError> {
    let mut session = Session::attach(options)?;
    let reader = Reader::start(session.take_ring()?)?;
    session.add(&target.pids)?;
    if children {
        add_children(target, &mut session)?;
    }
    Ok((session, reader))
}

/// Processes that were created between looking for them and attaching. A child that is created later is seen by the probes.
pub(super) fn add_children(target: &mut Resolved, session: &mut Session) -> Result<(), AttachError> {
    let own = std::process::id();
    loop {
        let mut new: Vec<Pid> =
            target.pids.iter().flat_map(|pid| proc::descendants_but(*pid, Some(Pid(own)))).collect();
        new.sort_unstable();
        new.dedup();
        new.retain(|pid| !target.pids.contains(pid));
        if new.is_empty() {
            return Ok(());
        }
        session.add(&new)?;
        target.pids.extend(new);
    }
}

/// Processes that have entered the control group since.
pub(super) fn join_late(
    spec: &TargetSpec,
    target: &mut Resolved,
    session: &mut Session,
) -> Result<(), AttachError> {
    let Some(path) = &spec.cgroup else { return Ok(()) };
    let Ok(members) = cgroup::cgroup_members(path) else { return Ok(()) };
    let own = std::process::id();
    let new: Vec<Pid> =
        members.into_iter().filter(|pid| pid.0 != own && !target.pids.contains(pid)).collect();
    if !new.is_empty() {
        session.add(&new)?;
        target.pids.extend(new);
    }
    Ok(())
}

/// Whether nothing of the target is left that was named.
pub(super) fn ended(target: &mut Resolved) -> bool {
    if let Some(command) = &mut target.launched {
        return command.try_wait().is_some();
    }
    target.pids.iter().all(|pid| !proc::is_running(*pid))
}

/// Ports as they are now: a command that was started for this listens on none before.
pub(super) fn current_ports(target: &Resolved) -> Vec<u16> {
    if target.launched.is_none() {
        return target.ports.clone();
    }
    let mut pids = target.pids.clone();
    for pid in &target.pids {
        pids.extend(proc::descendants(*pid));
    }
    crate::platform::sockets::listening_ports(&pids).unwrap_or_default()
}
