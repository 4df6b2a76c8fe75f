//! A run without an end, for a screen: the last minutes as a snapshot, several times a second.
//!
//! It runs on a thread of its own. A snapshot is handed over, never waited for: a slow terminal makes the screen old, and
//! nothing else.

use std::{
    sync::{Arc, mpsc::Receiver},
    time::{Duration, Instant},
};

use crossbeam_channel::RecvTimeoutError;
use whywait_ebpf::abi::{OffCpu, off_cpu};

use super::{
    backlogs::AcceptQueues,
    beside::Beside,
    explainer::Explainer,
    facts::Facts,
    live_record::{LiveRecord, Sources, Tapes},
    outlet::{self, Outlet},
    pipeline::Pipeline,
    run::{GRACE, IDLE, ObserveError, add_children, attach, ended, join_late},
    shown::{self, SETTLED, WINDOW},
};
use crate::{
    live::{Health, History, Note, Snapshot, Status, Target, Told, Turnover},
    outlet::{Outlets, Vitals},
    platform::{
        clock::monotonic,
        proc,
        signals::StopFlag,
        sockets,
        target::{Resolved, TargetSpec},
        yielding::never_preempt,
    },
    probe::{AttachError, Options, Outcome, Session},
    symbols::Symbols,
    units::{Ns, Pid},
};

/// How often losses, the target and what is silent are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Between two notes of processes that were forked or ended is at least this much time.
const TURNOVER: Duration = Duration::from_secs(30);
/// How often somebody new is looked for while the target is gone.
const SEEK: Duration = Duration::from_millis(250);
/// How often the target's ports are looked up once they are known.
const PORTS: Duration = Duration::from_secs(30);
/// Threads that are looked at one by one because nothing is heard of them.
const SILENT: usize = 64;
/// A thread that has sent nothing for this long, in nanoseconds, is looked at.
const SILENCE: u64 = 1_000_000_000;
/// A record is up to this old when it is taken in, in nanoseconds: the reader waits 50 ms, and a picture as long again and more.
const USUAL_AGE: u64 = 300_000_000;

/// What to watch.
pub struct LivePlan {
    /// The target as the user named it.
    pub spec: TargetSpec,
    /// How to attach.
    pub options: Options,
    /// When the target has ended, processes of this name are the target.
    pub follow: Option<String>,
    /// Snapshots a second.
    pub fps: u32,
    /// Who the next target is, in words, where it is told when the last one has ended ([`Told::Target`]).
    pub next: Option<String>,
    /// What is told while the run goes on.
    pub told: Receiver<Told>,
    /// Takes each snapshot.
    pub publish: Box<dyn FnMut(Arc<Snapshot>) + Send>,
    /// Called once, when everything is attached.
    pub attached: Box<dyn FnOnce() + Send>,
    /// How the run is recorded.
    pub record: LiveRecord,
    /// Who else hears of it.
    pub outlets: Option<Outlets>,
}

/// What goes on during the run.
struct Run {
    spec: TargetSpec,
    follow: Option<String>,
    next: Option<String>,
    target: Resolved,
    session: Session,
    pipeline: Pipeline,
    status: Status,
    shown: Snapshot,
    known_loss: u64,
    cost: Cost,
    beside: Beside,
    backlogs: AcceptQueues,
    found: Vec<&'static str>,
    symbols: Symbols,
    explainer: Explainer,
    /// Since when this target is the one.
    watched: Ns,
    /// What had been counted when the last window ended.
    before: Facts,
    tapes: Tapes,
    outlet: Option<Outlet>,
    /// When its listening sockets were looked up last.
    ports_at: Option<Instant>,
    /// What became of processes since that was told last, and when it was.
    turnover: Turnover,
    turnover_at: Option<Instant>,
}

/// CPU time of whywait itself.
struct Cost {
    at: Instant,
    cpu_ns: u64,
}

/// Watches a target until it is told to stop.
///
/// # Errors
/// When the programs cannot be attached, or the command cannot be started. Nothing stays attached then.
pub fn live(mut target: Resolved, plan: LivePlan, stop: &StopFlag) -> Result<(), ObserveError> {
    never_preempt();
    let mut publish = plan.publish;
    let mut shown = Snapshot { target: shown_target(&target), ..Snapshot::default() };
    publish(Arc::new(shown.clone()));
    let (session, reader) = attach(&mut target, plan.options, plan.spec.children)?;
    let began = monotonic();
    let mut pipeline = Pipeline::new(began, plan.outlets.as_ref().map(Outlets::sink));
    pipeline.keep_history(History::new(began));
    if let Some(command) = &mut target.launched {
        command.go()?;
    }
    (plan.attached)();
    log::info!("attached to {}", shown.target.command);
    if let Some(outlets) = &plan.outlets {
        outlets.announce();
    }
    shown.health.capabilities = shown::capabilities(session.capabilities().iter().map(Outcome::from));
    shown.health.syscalls = session.mode().syscalls;
    shown.health.sockets_by_syscall = session.mode().sockets_by_syscall;
    for (hook, gives, why) in &shown.health.capabilities {
        if let Some(why) = why {
            log::warn!("without {hook}: {gives} ({why})");
        }
    }
    let cost = Cost { at: Instant::now(), cpu_ns: proc::self_cpu_ns() };
    let beside = Beside::new(began, &target.pids);
    let tapes = Tapes::new(plan.record, &target)?;
    let status = Status::Watching;
    let mut run = Run {
        spec: plan.spec,
        follow: plan.follow,
        next: plan.next,
        target,
        session,
        pipeline,
        status,
        shown,
        known_loss: 0,
        cost,
        beside,
        backlogs: AcceptQueues::default(),
        found: Vec::new(),
        symbols: Symbols::new(),
        explainer: Explainer::start()?,
        watched: began,
        before: Facts { end: began, ..Facts::default() },
        tapes,
        outlet: plan.outlets.map(Outlet::new),
        ports_at: None,
        turnover: Turnover::default(),
        turnover_at: None,
    };
    let frame = Duration::from_secs(1) / plan.fps.max(1);
    let (mut next_frame, mut next_look, mut heard) = (Instant::now(), Instant::now(), Instant::now());
    while !stop.is_set() {
        match reader.batches().recv_timeout(next_frame.saturating_duration_since(Instant::now())) {
            Ok(batch) => {
                heard = Instant::now();
                run.tapes.records(batch, &mut run.pipeline, &mut run.symbols);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        let now = Instant::now();
        if now < next_frame {
            continue;
        }
        next_frame = now + frame;
        run.record()?;
        if heard.elapsed() >= IDLE {
            run.pipeline.idle();
        }
        for told in plan.told.try_iter() {
            run.told(told)?;
        }
        if now >= next_look {
            next_look = now + if matches!(run.status, Status::Waiting { .. }) { SEEK } else { LOOK };
            run.look()?;
        }
        run.tell_outlet()?;
        let behind = !reader.batches().is_empty();
        publish(Arc::new(run.snapshot(behind)));
    }
    reader.stop();
    let last = run.finish()?;
    drop(run.session);
    if let Some((outlets, vitals)) = last {
        outlets.finish(vitals);
    }
    if let Some(command) = &mut run.target.launched {
        command.terminate(GRACE);
    }
    Ok(())
}

impl Run {
    fn note(&mut self, note: Note) {
        if let Some(history) = self.pipeline.history() {
            history.note(note);
        }
    }

    fn told(&mut self, told: Told) -> Result<(), AttachError> {
        match told {
            Told::Note(note) => {
                log::info!("{}", note.title);
                self.note(note);
            }
            Told::Target { pid, command } if proc::is_running(pid) => {
                self.watch(vec![pid], Some(command))?;
                log::info!("watching {} (process {pid}) now", self.target.command);
            }
            Told::Target { pid, command } => log::warn!("{command} (process {pid}) has ended already"),
            Told::Models(models) => self.shown.models = Some(models),
        }
        Ok(())
    }

    /// Makes these processes the target. What was found out about the last one is not said of them.
    fn watch(&mut self, pids: Vec<Pid>, command: Option<String>) -> Result<(), AttachError> {
        self.session.add(&pids)?;
        let now = monotonic();
        // What it had in hand of the last target is explained to nobody.
        drop(self.pipeline.turn(now));
        self.before = self.beside.facts(&self.session, &self.target, now)?.counted_so_far();
        self.beside = Beside::new(now, &pids);
        self.watched = now;
        shown::forget_explained(&mut self.shown);
        let name = command.or_else(|| proc::command_name(*pids.first()?).ok());
        self.target.pids = pids;
        self.target.ports.clear();
        if self.spec.children {
            add_children(&mut self.target, &mut self.session)?;
        }
        if let Some(name) = name {
            self.target.command = name;
        }
        self.status = Status::Watching;
        Ok(())
    }

    fn say(&mut self, title: String, text: &str) {
        log::info!("{title}");
        self.note(Note { at: monotonic(), title, text: text.to_owned() });
    }

    /// Does what is asked of recordings.
    fn record(&mut self) -> Result<(), AttachError> {
        let Self { session, target, pipeline, symbols, tapes, .. } = self;
        tapes.tick(&mut Sources { session, target, pipeline, symbols })
    }

    /// Ends recordings; the last that outlets are to be told, and which.
    fn finish(&mut self) -> Result<Option<(Outlets, Vitals)>, AttachError> {
        self.pipeline.idle();
        let Self { session, target, pipeline, symbols, tapes, outlet, status, .. } = self;
        tapes.finish(&mut Sources { session, target, pipeline, symbols })?;
        let sources = outlet::Sources { session, target, pipeline, up: *status == Status::Watching };
        outlet.take().map(|outlet| outlet.last(&sources)).transpose()
    }

    /// Tells those who hear of the run while it goes on.
    fn tell_outlet(&mut self) -> Result<(), AttachError> {
        let Self { session, target, pipeline, outlet, status, .. } = self;
        let Some(outlet) = outlet.as_mut().filter(|outlet| outlet.is_due()) else { return Ok(()) };
        outlet.tick(&outlet::Sources { session, target, pipeline, up: *status == Status::Watching })
    }

    /// What is looked at now and then.
    fn look(&mut self) -> Result<(), ObserveError> {
        let now = monotonic();
        self.pipeline.settle(Ns(now.0.saturating_sub(SETTLED)));
        let (begin, _) = self.pipeline.window().span();
        if now.since(begin) >= WINDOW {
            self.explain(now)?;
        }
        let fresh = self.pipeline.fresh_takers();
        self.beside.tick(&fresh, &self.pipeline);
        self.tapes.fresh(&fresh, &self.pipeline);
        self.look_at_losses()?;
        join_late(&self.spec, &mut self.target, &mut self.session)?;
        self.look_at_processes();
        self.look_at_target()?;
        self.look_at_silent(now);
        self.look_at_cost();
        self.take_explained();
        if let Some(history) = self.pipeline.history() {
            self.shown.health.history_bytes = history.bytes();
        }
        if self.session.mode().syscalls {
            let counts = self.session.syscalls()?;
            if let Some(history) = self.pipeline.history() {
                history.traced(&counts);
            }
        }
        Ok(())
    }

    /// Has the window explained, and begins the next.
    fn explain(&mut self, now: Ns) -> Result<(), AttachError> {
        let mut pipeline = self.pipeline.turn(now);
        let fresh = pipeline.fresh_takers();
        self.beside.last_look(&fresh, &pipeline);
        self.tapes.fresh(&fresh, &pipeline);
        let facts = self.beside.facts(&self.session, &self.target, now)?;
        if pipeline.window().count() > 0 {
            self.explainer.explain(pipeline, facts.clone().since(&self.before));
        }
        self.before = facts.counted_so_far();
        self.beside.turn(now, &self.target.pids);
        Ok(())
    }

    /// Takes what has been explained since.
    fn take_explained(&mut self) {
        let Some(new) = self.explainer.explained().filter(|new| new.at > self.watched).last() else { return };
        let found: Vec<&str> = new.explanation.findings.iter().map(|finding| finding.id.id()).collect();
        if found != self.found {
            log::info!("found: {}", if found.is_empty() { "nothing".to_owned() } else { found.join(", ") });
            self.found = found;
        }
        if let Some(outlet) = &mut self.outlet {
            let shares = new.explanation.findings.iter().map(|finding| (finding.id, finding.share)).collect();
            outlet.found(shares, new.model.as_ref().map(|model| model.id.clone()), Duration::ZERO);
        }
        shown::take_explained(&mut self.shown, new);
    }

    fn look_at_losses(&mut self) -> Result<(), AttachError> {
        let loss = self.session.loss()?;
        let counters = self.session.counters()?;
        let total = loss.total();
        if total > self.known_loss {
            log::warn!("{} records found no room", total - self.known_loss);
            self.tapes.lost(total - self.known_loss);
            self.known_loss = total;
            self.pipeline.loss();
        }
        self.shown.health.lost = shown::lost(&loss, &counters, &self.pipeline);
        self.shown.health.records = counters.sent;
        Ok(())
    }

    /// Processes are forked, end, execute other programs.
    fn look_at_processes(&mut self) {
        let Some(history) = self.pipeline.history() else { return };
        self.turnover.merge(history.turnover());
        for (pid, name) in std::mem::take(&mut self.turnover.executed) {
            if *name == *self.target.command || !self.target.pids.contains(&pid) {
                continue;
            }
            let before = if self.target.pids.first() == Some(&pid) {
                self.ports_at = None;
                std::mem::replace(&mut self.target.command, name.to_string())
            } else {
                "a process".to_owned()
            };
            self.say(format!("{before} ({pid}) executes {name} now"), "");
        }
        // A server with a process for each request does so all the time.
        if self.turnover_at.is_none_or(|at| at.elapsed() >= TURNOVER)
            && let Some(words) = std::mem::take(&mut self.turnover).words()
        {
            self.turnover_at = Some(Instant::now());
            self.say(words, "");
        }
    }

    /// All that were named have ended, as those do that fork a server and leave it alone. Whether others of their processes go on: they are
    /// the target now.
    fn goes_on_in_others(&mut self) -> bool {
        let Some(history) = self.pipeline.history().filter(|_| self.spec.children) else { return false };
        let mut heirs = history.processes();
        heirs.retain(|pid| proc::is_running(*pid));
        let Some(first) = heirs.first().copied() else { return false };
        if !self.target.pids.iter().any(|pid| proc::is_running(*pid)) {
            let before = self.target.command.clone();
            if let Ok(name) = proc::command_name(first) {
                self.target.command = name;
            }
            self.target.pids = heirs;
            self.ports_at = None;
            self.say(format!("{before} has ended; {} (process {first}) goes on", self.target.command), "");
            self.shown.target = shown_target(&self.target);
        }
        true
    }

    /// The target may have ended, or somebody may have taken its place.
    fn look_at_target(&mut self) -> Result<(), ObserveError> {
        match &self.status {
            Status::Watching if ended(&mut self.target) => {
                if self.goes_on_in_others() {
                    return Ok(());
                }
                let whom = match (&self.follow, self.spec.port, &self.spec.cgroup) {
                    (Some(name), _, _) => Some(format!("a process named {name}")),
                    (None, Some(port), _) => Some(format!("somebody on port {port}")),
                    (None, None, Some(path)) => Some(format!("a process in {}", path.display())),
                    (None, None, None) => self.next.clone(),
                };
                self.status = whom.map_or(Status::Ended, |whom| Status::Waiting { whom });
                self.say(format!("{} has ended", self.target.command), "");
            }
            Status::Waiting { .. } => {
                let found = self.seek();
                if let Some(first) = found.first().copied() {
                    self.watch(found, None)?;
                    self.say(format!("{} runs again as process {first}", self.target.command), "");
                }
            }
            _ => {}
        }
        // Each look reads the table of all connections, which may be long.
        let known = !self.target.ports.is_empty() && self.ports_at.is_some_and(|at| at.elapsed() < PORTS);
        if self.status == Status::Watching && !known {
            self.ports_at = Some(Instant::now());
            let running = self.target.pids.iter().copied().filter(|pid| proc::is_running(*pid));
            let mut pids: Vec<Pid> = running.collect();
            if self.spec.children {
                // Instances that a process has started open their own sockets.
                let children: Vec<Pid> = pids.iter().flat_map(|pid| proc::descendants(*pid)).collect();
                pids.extend(children);
                pids.sort_unstable();
                pids.dedup();
            }
            self.target.ports = self.backlogs.seek(&pids);
        }
        self.shown.target = shown_target(&self.target);
        Ok(())
    }

    /// Who could be the target now.
    fn seek(&self) -> Vec<Pid> {
        let own = Pid(std::process::id());
        let mut found = if let Some(name) = &self.follow {
            named(name)
        } else if let Some(port) = self.spec.port {
            sockets::tcp_listeners(port).unwrap_or_default()
        } else {
            self.target.pids.clone()
        };
        found.retain(|pid| *pid != own && proc::is_running(*pid));
        found
    }

    /// A thread that waits or runs for long sends nothing meanwhile.
    fn look_at_silent(&mut self, now: Ns) {
        let Some(history) = self.pipeline.history() else { return };
        for (pid, tid) in history.silent(now, SILENCE, SILENT) {
            let Some(seen) = proc::thread_waits(pid, tid) else { continue };
            let busy = self.pipeline.is_busy(tid);
            let interval = seen.map(|(state, syscall, args)| OffCpu {
                flags: off_cpu::VOLUNTARY,
                state,
                syscall,
                args,
                ..OffCpu::default()
            });
            if let Some(history) = self.pipeline.history() {
                history.seen(tid, interval.as_ref(), busy);
            }
        }
    }

    fn look_at_cost(&mut self) {
        let (at, cpu_ns) = (Instant::now(), proc::self_cpu_ns());
        let wall = at.duration_since(self.cost.at).as_nanos() as f64;
        if wall > 0.0 {
            let percent = cpu_ns.saturating_sub(self.cost.cpu_ns) as f64 / wall * 100.0;
            self.shown.health.cpu_percent = percent;
        }
        self.cost = Cost { at, cpu_ns };
    }

    fn snapshot(&mut self, behind: bool) -> Snapshot {
        let now = monotonic();
        let newest = self.pipeline.window().span().1;
        shown::advance(&mut self.pipeline, now);
        let mut snapshot = shown::picture(&self.shown, &mut self.pipeline, now);
        snapshot.status.clone_from(&self.status);
        snapshot.backlogs = self.backlogs.look(now);
        snapshot.health = Health { lag: if behind { lag(now, newest) } else { 0 }, ..snapshot.health };
        snapshot
    }
}

/// How far behind; what the reader waits for anyway is not behind.
fn lag(now: Ns, newest: Ns) -> u64 {
    let age = now.since(newest);
    if age < USUAL_AGE { 0 } else { age }
}

/// Processes of this name, oldest first.
pub fn named(name: &str) -> Vec<Pid> {
    let is_named = |pid: &Pid| proc::command_name(*pid).is_ok_and(|command| command == name);
    proc::all_processes().into_iter().filter(is_named).collect()
}

fn shown_target(target: &Resolved) -> Target {
    Target { command: target.command.clone(), pids: target.pids.clone(), ports: target.ports.clone() }
}
