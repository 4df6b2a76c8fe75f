//! What is too dear to measure all the time is measured for a slice of the run: the number of system calls, and the time that
//! the programs themselves take.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::pipeline::Pipeline;
use crate::{
    platform::clock::monotonic,
    probe::{RunStats, Session},
    units::Ns,
};

/// The slice begins at this share of the run…
const BEGINS: f64 = 0.4;
/// …and takes this share of it…
const SHARE: f64 = 0.05;
/// …but no less than this…
const SHORTEST: Duration = Duration::from_millis(100);
/// …and no more than this.
const LONGEST: Duration = Duration::from_millis(500);

/// A stage of the slice.
enum Stage {
    Before,
    Within { stats: Option<RunStats>, runs: u64, time: Duration, calls: u64, began: Instant },
    After,
}

/// What the slice found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Findings {
    /// Program runs in the slice, and nanoseconds that they took; `None` where the kernel does not tell.
    pub runs: Option<(u64, u64)>,
    /// System calls in the slice; `None` where they could not be counted.
    pub syscalls: Option<u64>,
    /// Its length.
    pub length: Duration,
    /// From when to when requests count for it.
    pub span: Option<(Ns, Ns)>,
}

/// The slice of a run.
pub struct Slice {
    begins: Duration,
    length: Duration,
    stage: Stage,
    findings: Findings,
}

impl Slice {
    /// The slice of a run of this length; a run without an end has it after the first two seconds.
    pub fn of(run: Option<Duration>) -> Self {
        let run = run.unwrap_or(Duration::from_secs(5));
        let length = run.mul_f64(SHARE).clamp(SHORTEST, LONGEST);
        let begins = run.mul_f64(BEGINS);
        Self { begins, length, stage: Stage::Before, findings: Findings::default() }
    }

    /// Called now and then with the time since the run began.
    pub fn tick(&mut self, session: &mut Session, pipeline: &mut Pipeline, elapsed: Duration) {
        match &self.stage {
            Stage::Before if elapsed >= self.begins => {
                let stats = RunStats::enable().ok();
                let counts = session.count_syscalls().is_ok();
                self.findings.syscalls = counts.then_some(0);
                let (runs, time) = session.run_stats();
                let calls = calls(session);
                // Attaching takes long on a busy machine: the slice begins when that is done.
                self.stage = Stage::Within { stats, runs, time, calls, began: Instant::now() };
                self.requests(pipeline, monotonic(), Ns(u64::MAX));
            }
            Stage::Within { began, .. } if began.elapsed() >= self.length => self.end(session, pipeline),
            _ => {}
        }
    }

    /// Ends the slice, if it is not over.
    pub fn end(&mut self, session: &mut Session, pipeline: &mut Pipeline) {
        let before = std::mem::replace(&mut self.stage, Stage::After);
        let Stage::Within { stats, runs, time, calls: calls_before, began } = before else {
            return;
        };
        if let Some((from, _)) = self.findings.span {
            self.requests(pipeline, from, monotonic());
        }
        self.findings.length = began.elapsed();
        let (runs_now, time_now) = session.run_stats();
        if stats.is_some() {
            let nanos = u64::try_from((time_now.saturating_sub(time)).as_nanos()).unwrap_or(u64::MAX);
            self.findings.runs = Some((runs_now.saturating_sub(runs), nanos));
        }
        if self.findings.syscalls.is_some() {
            self.findings.syscalls = Some(calls(session).saturating_sub(calls_before));
        }
        session.stop_counting_syscalls();
    }

    fn requests(&mut self, pipeline: &mut Pipeline, from: Ns, to: Ns) {
        self.findings.span = Some((from, to));
        pipeline.count_between(from, to);
    }

    /// What it found.
    pub fn findings(&self) -> Findings {
        self.findings
    }
}

fn calls(session: &Session) -> u64 {
    session.syscalls().map_or(0, |counts| counts.iter().map(|count| count.count).sum())
}
