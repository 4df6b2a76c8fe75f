//! Attach, watch, detach.

use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;
use thiserror::Error;

use super::{
    neighbours,
    outside::Onlooker,
    pipeline::{Pipeline, Sink},
    slice::{self, Slice},
};
use crate::{
    cpu::CpuFacts,
    fingerprint::Fingerprint,
    locks::Names,
    platform::{
        cgroup,
        clock::monotonic,
        proc,
        signals::StopFlag,
        target::{Resolved, TargetSpec},
        yielding::never_preempt,
    },
    probe::{
        AttachError, Capability, Counters, KernelLockWaits, LockWaits, Loss, Mode, Options, Session,
        SyscallCount,
    },
    ring::{Reader, ReaderError},
    stacks::Stacks,
    symbols::Symbols,
    units::Pid,
};

/// How often losses, the clock on the wall and the target are looked at.
const TICK: Duration = Duration::from_millis(50);
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
    /// Called once, when everything is attached.
    pub attached: Box<dyn FnOnce(&Resolved)>,
    /// Is told what happens.
    pub sink: Option<Sink>,
}

/// What came of a run.
pub struct Observation {
    /// Processes that were named.
    pub pids: Vec<Pid>,
    /// The target's name.
    pub command: String,
    /// Ports that it listens on.
    pub ports: Vec<u16>,
    /// The window, and what the clock counted.
    pub pipeline: Pipeline,
    /// The concurrency model.
    pub fingerprint: Fingerprint,
    /// Why threads waited for a CPU.
    pub cpu: CpuFacts,
    /// Records that found no room.
    pub loss: Loss,
    /// The programs' counters.
    pub counters: Counters,
    /// What the slice found.
    pub slice: slice::Findings,
    /// Every program, attached or not.
    pub capabilities: Vec<Capability>,
    /// How the kernel was asked.
    pub mode: Mode,
    /// System calls, where they were traced.
    pub syscalls: Vec<SyscallCount>,
    /// Waits by futex.
    pub futexes: Vec<LockWaits>,
    /// Waits by kernel lock and the system call that met it.
    pub kernel_locks: Vec<KernelLockWaits>,
    /// Run-queue delays by the buckets of [`whywait_ebpf::hist`].
    pub run_queue: Vec<u64>,
    /// CPU time of whywait itself in nanoseconds.
    pub own_cpu_ns: u64,
    /// Where in the code requests spent their time.
    pub stacks: Stacks,
    /// The target ended before the time was over.
    pub target_ended: bool,
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
    /// The target ended while whywait attached.
    #[error(
        "process {pid} ended while whywait attached to it; start it again, or let whywait start it: `whywait explain -- COMMAND`"
    )]
    Ended {
        /// The process.
        pid: Pid,
    },
}

/// Watches a target.
///
/// # Errors
/// When the programs cannot be attached, or the command cannot be started. Nothing stays attached then.
pub fn observe(mut target: Resolved, plan: Plan, stop: &StopFlag) -> Result<Observation, ObserveError> {
    never_preempt();
    let (mut session, reader) = attach(&mut target, plan.options, plan.spec.children)?;
    if let Some(gone) = target.pids.iter().find(|pid| !proc::process_exists(**pid))
        && target.pids.iter().all(|pid| !proc::process_exists(*pid))
    {
        return Err(ObserveError::Ended { pid: *gone });
    }
    let mut symbols = Symbols::new();
    let mut pipeline = Pipeline::new(monotonic(), plan.sink);
    if let Some(command) = &mut target.launched {
        command.go()?;
    }
    (plan.attached)(&target);
    let own_cpu = proc::self_cpu_ns();

    let mut slice = Slice::of(plan.duration);
    let mut onlooker = Onlooker::default();
    let mut neighbours = neighbours::Onlooker::new(&target.pids);
    let mut known_loss = 0;
    let mut target_ended = false;
    let began = Instant::now();
    let mut next_tick = began + TICK;
    loop {
        let until = next_tick.saturating_duration_since(Instant::now());
        match reader.batches().recv_timeout(until) {
            Ok(batch) => pipeline.records(&batch, &mut symbols),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if Instant::now() < next_tick {
            continue;
        }
        next_tick = Instant::now() + TICK;
        let elapsed = began.elapsed();
        let total = session.loss()?.total();
        if total > known_loss {
            known_loss = total;
            pipeline.loss();
        }
        slice.tick(&mut session, &mut pipeline, elapsed);
        onlooker.tick(pipeline.behaviour());
        neighbours.tick(&mut pipeline);
        join_late(&plan.spec, &mut target, &mut session)?;
        target_ended = ended(&mut target);
        if stop.is_set() || target_ended || plan.duration.is_some_and(|duration| elapsed >= duration) {
            break;
        }
    }
    slice.end(&mut session, &mut pipeline);
    session.flush()?;
    let end = monotonic();
    reader.stop();
    while let Ok(batch) = reader.batches().recv() {
        pipeline.records(&batch, &mut symbols);
    }
    let loss = session.loss()?;
    if loss.total() > known_loss {
        pipeline.loss();
    }
    pipeline.finish(end);
    Names::default().give(pipeline.locks_mut());
    let cpu = neighbours.finish(&mut pipeline, end);
    let fingerprint = pipeline.behaviour().fingerprint(onlooker.outside());
    let mut observation = Observation {
        command: target.command.clone(),
        ports: current_ports(&target),
        pids: target.pids.clone(),
        pipeline,
        fingerprint,
        cpu,
        loss,
        counters: session.counters()?,
        slice: slice.findings(),
        capabilities: session.capabilities().to_vec(),
        mode: session.mode(),
        syscalls: session.syscalls()?,
        futexes: session.futexes()?,
        kernel_locks: session.kernel_locks()?,
        run_queue: session.run_queue_histogram()?,
        own_cpu_ns: proc::self_cpu_ns().saturating_sub(own_cpu),
        stacks: Stacks::default(),
        target_ended,
    };
    drop(session);
    // After the run, when nothing is measured any more; a process that is still there is the best source of its names.
    let (profile, traces) = (observation.pipeline.profile(), observation.pipeline.traces());
    observation.stacks = Stacks::new(profile, traces, &mut symbols);
    if let Some(command) = &mut target.launched {
        command.terminate(GRACE);
    }
    Ok(observation)
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
