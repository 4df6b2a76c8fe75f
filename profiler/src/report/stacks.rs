//! Stacks, as the contract has them.

use serde::Serialize;

use super::explanation::round;
use crate::{
    decode::End,
    observe::Observation,
    stacks::{Frame, Hot, KnownWait, StateStacks, brief, known_wait},
};

/// Profiles that are told; those of all requests come first.
const MOST_PROFILES: usize = 48;
/// Stacks of each.
const MOST_STACKS: usize = 5;
/// Wakers that are told.
const MOST_WAKERS: usize = 16;

/// How many stacks were taken.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Taken {
    /// When threads left a CPU.
    pub off_cpu: u64,
    /// When samples were due.
    pub on_cpu: u64,
    /// When threads woke others.
    pub wakers: u64,
}

/// A stack, and the time that requests spent in it.
#[derive(Clone, Debug, Serialize)]
pub struct Stack {
    /// Microseconds of all requests together.
    pub time_us: f64,
    /// Of the state's time.
    pub share: f64,
    /// In few words, the program's innermost function first.
    pub brief: String,
    /// What is known to be waited for, by the functions of a runtime.
    pub wait: Option<&'static str>,
    /// How it ends: `root`, `too_deep`, `lost`.
    pub end: &'static str,
    /// Functions, innermost first; those of the kernel have `_[k]` behind their names.
    pub frames: Vec<String>,
}

/// Stacks of a state.
#[derive(Clone, Debug, Serialize)]
pub struct Profile {
    /// The state.
    pub state: &'static str,
    /// The route; `null` for all requests.
    pub route: Option<String>,
    /// Microseconds in the state.
    pub time_us: f64,
    /// Of these, those of which no stack is known.
    pub without_us: f64,
    /// Most time first.
    pub stacks: Vec<Stack>,
}

/// A stack that ended waits for a futex.
#[derive(Clone, Debug, Serialize)]
pub struct Waker {
    /// Process.
    pub pid: u32,
    /// Address of the futex, hexadecimal.
    pub address: String,
    /// Wake-ups of which the stack was taken.
    pub count: u64,
    /// In few words.
    pub brief: String,
    /// Functions, innermost first.
    pub frames: Vec<String>,
}

/// Where in the code requests spend their time.
#[derive(Clone, Debug, Serialize)]
pub struct Stacks {
    /// How many were taken.
    pub taken: Taken,
    /// Of the time that has stacks, the share of those whose callers could not be found.
    pub lost_share: f64,
    /// The same of those that are deeper than what was copied of them.
    pub too_deep_share: f64,
    /// By state and route, most time first, all requests before routes.
    pub profiles: Vec<Profile>,
    /// Who ended waits for futexes, most wake-ups first.
    pub wakers: Vec<Waker>,
}

/// The contract's words for a known wait.
fn wait_id(wait: KnownWait) -> &'static str {
    match wait {
        KnownWait::Gil => "gil",
        KnownWait::JavaMonitor => "java_monitor",
        KnownWait::JavaPark => "java_park",
        KnownWait::JavaSafepoint => "java_safepoint",
        KnownWait::Mutex => "mutex",
        KnownWait::Condition => "condition",
        KnownWait::Join => "join",
        KnownWait::Semaphore => "semaphore",
        KnownWait::GoIdle => "go_idle",
    }
}

fn texts(frames: &[Frame]) -> Vec<String> {
    frames.iter().map(Frame::folded).collect()
}

fn stack(hot: &Hot, of: &StateStacks) -> Stack {
    Stack {
        time_us: round(hot.time_us),
        share: round(if of.time_us > 0.0 { hot.time_us / of.time_us } else { 0.0 }),
        brief: brief(&hot.frames),
        wait: known_wait(&hot.frames).map(wait_id),
        end: match hot.end {
            End::Root => "root",
            End::TooDeep => "too_deep",
            End::Lost => "lost",
        },
        frames: texts(&hot.frames),
    }
}

/// What a run says about its stacks.
pub(super) fn stacks(observation: &Observation) -> Stacks {
    let stacks = &observation.stacks;
    let profiled: f64 =
        stacks.states.iter().filter(|of| of.route.is_none()).map(|of| of.time_us - of.without_us).sum();
    let share = |time: f64| round(if profiled > 0.0 { time / profiled } else { 0.0 });
    Stacks {
        taken: Taken {
            off_cpu: stacks.counts.off_cpu,
            on_cpu: stacks.counts.on_cpu,
            wakers: stacks.counts.wakers,
        },
        lost_share: share(stacks.lost_us),
        too_deep_share: share(stacks.too_deep_us),
        profiles: stacks
            .states
            .iter()
            .take(MOST_PROFILES)
            .map(|of| Profile {
                state: of.state.id(),
                route: of.route.clone(),
                time_us: round(of.time_us),
                without_us: round(of.without_us),
                stacks: of.stacks.iter().take(MOST_STACKS).map(|hot| stack(hot, of)).collect(),
            })
            .collect(),
        wakers: stacks
            .wakers
            .iter()
            .take(MOST_WAKERS)
            .map(|waker| Waker {
                pid: waker.pid.0,
                address: format!("{:#x}", waker.futex),
                count: waker.count,
                brief: brief(&waker.frames),
                frames: texts(&waker.frames),
            })
            .collect(),
    }
}
