//! Explains windows on a thread of its own: it takes a while, and records do not wait.

use std::{
    sync::{Arc, mpsc},
    thread,
};

use super::{facts::Facts, observation::Observation, pipeline::Pipeline};
use whywait_ebpf::syscalls as call;

use crate::{
    clock::{State, WaitPlace},
    live::{KnownLock, Model, Release, Stack},
    locks::{Lock, LockKey, LockNames, Place},
    platform::yielding::never_preempt,
    report::{Explanation, explain, holders},
    ring::ReaderError,
    stacks::{Frame, Stacks},
    symbols::Symbols,
    units::Ns,
};

/// Locks that are told by name.
const LOCKS: usize = 32;
/// Stacks that are told.
const STACKS: usize = 512;

/// Stacks in which a lock was let go, and in which it was waited for, of each lock.
const STACKS_OF_LOCK: usize = 8;

/// What a window was found to be.
#[derive(Clone, Debug)]
pub struct Explained {
    /// When it ended.
    pub at: Ns,
    /// The explanation.
    pub explanation: Arc<Explanation>,
    /// The concurrency model, where it is known.
    pub model: Option<Model>,
    /// Locks that requests waited for.
    pub locks: Arc<Vec<KnownLock>>,
    /// Stacks in which they spent time.
    pub stacks: Arc<Vec<Stack>>,
}

/// The thread.
pub struct Explainer {
    windows: mpsc::SyncSender<(Pipeline, Facts)>,
    explained: mpsc::Receiver<Explained>,
}

impl Explainer {
    /// Starts it. It ends when this value is dropped.
    ///
    /// # Errors
    /// When no thread can be created.
    pub fn start() -> Result<Self, ReaderError> {
        let (windows, taken) = mpsc::sync_channel(1);
        let (found, explained) = mpsc::channel();
        thread::Builder::new().name("whywait-explain".to_owned()).spawn(move || {
            never_preempt();
            let mut symbols = Symbols::new();
            while let Ok((pipeline, facts)) = taken.recv() {
                if found.send(one(pipeline, facts, &mut symbols)).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self { windows, explained })
    }

    /// Has a window explained. While another one is in work and one waits, it is passed over.
    pub fn explain(&self, pipeline: Pipeline, facts: Facts) {
        if self.windows.try_send((pipeline, facts)).is_err() {
            log::info!("a window was not explained: the one before takes longer than it lasts");
        }
    }

    /// What has been explained since, newest last.
    pub fn explained(&self) -> impl Iterator<Item = Explained> + '_ {
        self.explained.try_iter()
    }
}

fn one(pipeline: Pipeline, facts: Facts, symbols: &mut Symbols) -> Explained {
    let lock_names = LockNames::look_up(pipeline.locks());
    Explained::of(&Observation::new(pipeline, Facts { lock_names, ..facts }, symbols))
}

impl Explained {
    /// What a window was found to be.
    pub fn of(observation: &Observation) -> Self {
        let explanation = explain(observation);
        let found = &explanation.model;
        let model = (found.confidence > 0.0).then(|| Model {
            id: found.id.id().to_owned(),
            confidence: found.confidence,
            evidence: found.evidence.clone(),
        });
        Self {
            at: observation.facts.end,
            model,
            locks: Arc::new(known(observation)),
            stacks: Arc::new(told(&observation.stacks)),
            explanation: Arc::new(explanation),
        }
    }
}

/// Stacks of all requests, as far as they are shown.
fn told(stacks: &Stacks) -> Vec<Stack> {
    let mut told = Vec::new();
    for state in stacks.states.iter().filter(|state| state.route.is_none()) {
        told.extend(state.stacks.iter().map(|hot| Stack {
            state: state.state,
            frames: hot.frames.iter().rev().map(Frame::text).collect(),
            micros: hot.time_us,
        }));
        if state.without_us > 0.0 {
            let frames = vec!["(no stack taken)".to_owned()];
            told.push(Stack { state: state.state, frames, micros: state.without_us });
        }
    }
    told.sort_by(|a, b| b.micros.total_cmp(&a.micros));
    told.truncate(STACKS);
    told
}

/// Where in the code a lock was let go.
fn releases(stacks: &Stacks, lock: &Lock) -> Vec<Release> {
    let is_its = |pid, futex| {
        let key = |pid| LockKey { pid, place: Place::Futex(futex) };
        lock.keys().any(|own| own == key(Some(pid)) || own == key(None))
    };
    let its = stacks.wakers.iter().filter(|waker| is_its(waker.pid, waker.futex));
    let told = its.take(STACKS_OF_LOCK).map(|waker| Release {
        count: waker.count,
        frames: waker.frames.iter().rev().map(Frame::text).collect(),
    });
    told.collect()
}

/// Where in the code requests waited for a lock. Semaphores, and files, are not told apart by stacks: they get those of all of their kind.
fn waiters(stacks: &Stacks, lock: &Lock) -> Vec<Stack> {
    let is_at = |at: &WaitPlace, key: LockKey| {
        key.pid.is_none_or(|pid| pid == at.pid)
            && match key.place {
                Place::Futex(address) => at.futex == address,
                Place::Semaphores(_) => matches!(at.syscall, call::SEMOP | call::SEMTIMEDOP),
                Place::File(_) => matches!(at.syscall, call::FLOCK | call::FCNTL),
                Place::Latches => false,
            }
    };
    let its = stacks.waiters.iter().filter(|waiter| lock.keys().any(|key| is_at(&waiter.place, key)));
    let mut told: Vec<Stack> = its
        .map(|waiter| Stack {
            state: State::Lock,
            frames: waiter.frames.iter().rev().map(Frame::text).collect(),
            micros: waiter.time_us,
        })
        .collect();
    told.sort_by(|a, b| b.micros.total_cmp(&a.micros));
    told.truncate(STACKS_OF_LOCK);
    told
}

/// Locks, as far as they are shown.
fn known(observation: &Observation) -> Vec<KnownLock> {
    let mut locks: Vec<_> =
        observation.pipeline.locks().iter().filter(|lock| lock.request_ns() > 0.0).collect();
    locks.sort_by(|a, b| b.request_ns().total_cmp(&a.request_ns()));
    let known = locks.into_iter().take(LOCKS).map(|lock| {
        let address = |key: LockKey| match key.place {
            Place::Futex(address) | Place::Semaphores(address) | Place::File(address) => address,
            Place::Latches => 0,
        };
        KnownLock {
            pid: lock.pid(),
            is_shared: lock.key().pid.is_none(),
            addresses: lock.keys().map(address).collect(),
            kind: lock.kind().id(),
            name: lock.name().map(|name| name.text.clone()),
            held: lock.held().doing,
            holders: holders(observation, lock),
            releases: releases(&observation.stacks, lock),
            waiters: waiters(&observation.stacks, lock),
        }
    });
    known.collect()
}
