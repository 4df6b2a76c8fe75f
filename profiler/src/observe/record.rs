//! A run that is written down while it goes on: its records as they come, its facts now and then, the names of its code at the end.

use std::{
    path::PathBuf,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use super::{facts::Facts, pipeline::Pipeline};
use crate::{
    decode::{End, RawStack, Unwind},
    platform::{clock::monotonic, kernel::KernelFacts, proc, target::Resolved},
    recording::{Callers, Limits, Preamble, RecordError, Recorder, Written},
    ring::Batch,
    stacks::{Addresses, Code},
    units::Pid,
};

/// How often facts are written, at most.
const OFTEN: Duration = Duration::from_secs(1);
/// Facts may take this part of the time: where they take long to gather they are written more rarely.
const SHARE: u32 = 200;

/// Where a run is recorded.
#[derive(Clone, Debug)]
pub struct RecordPlan {
    /// The file.
    pub path: PathBuf,
    /// When it is full.
    pub limits: Limits,
}

/// The recording of a run.
pub struct Recording {
    recorder: Recorder<Facts>,
    limits: Limits,
    began: Instant,
    callers: Vec<Callers>,
    addresses: Addresses,
    next: Instant,
}

impl Recording {
    /// Begins a file, with what is known of the target at this moment.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn start(plan: RecordPlan, target: &Resolved) -> Result<Self, RecordError> {
        let RecordPlan { path, limits } = plan;
        Ok(Self {
            recorder: Recorder::start(&path, &preamble(target), limits.keep)?,
            limits,
            began: Instant::now(),
            callers: Vec::new(),
            addresses: Addresses::default(),
            next: Instant::now(),
        })
    }

    /// Takes records and hands them to the pipeline, whose stacks are written as `unwind` finds them.
    pub fn records(&mut self, batch: Batch, pipeline: &mut Pipeline, unwind: &mut dyn Unwind) {
        let Self { callers, addresses, .. } = self;
        pipeline.records(&batch, &mut Noting { unwind, callers, addresses });
        self.recorder.records(batch, std::mem::take(&mut self.callers));
    }

    /// So many records found no room since. To be told before the pipeline is.
    pub fn lost(&mut self, records: u64) {
        self.recorder.lost(records);
    }

    /// Whether facts are due.
    pub fn is_due(&self) -> bool {
        Instant::now() >= self.next
    }

    /// Takes facts, and how long it took to gather them.
    pub fn facts(&mut self, facts: Facts, took: Duration) {
        self.next = Instant::now() + OFTEN.max(took * SHARE);
        self.recorder.facts(facts);
    }

    /// Whether the file is full.
    pub fn is_full(&self) -> bool {
        self.limits.are_met(self.recorder.bytes(), self.began.elapsed())
    }

    /// Whether another file follows a full one.
    pub fn has_several_files(&self) -> bool {
        self.limits.keep.is_some()
    }

    /// Ends the file, with these facts and with names of the code in its stacks, and begins the next.
    pub fn turn(&mut self, facts: Facts, code: &mut dyn Code, target: &Resolved) {
        let names = std::mem::take(&mut self.addresses).name(code);
        self.recorder.turn(facts, names, preamble(target));
        self.began = Instant::now();
        self.next = self.began;
    }

    /// Records that were not written because the disk was too slow.
    pub fn unwritten(&self) -> u64 {
        self.recorder.unwritten()
    }

    /// Whether it has ended early; [`Recording::finish`] tells why.
    pub fn has_failed(&self) -> bool {
        self.recorder.has_failed()
    }

    /// Ends the file, with names of the code in its stacks.
    ///
    /// # Errors
    /// When it could not all be written.
    pub fn finish(mut self, code: &mut dyn Code) -> Result<Written, RecordError> {
        if !self.has_failed() {
            self.recorder.names(self.addresses.name(code));
        }
        self.recorder.finish()
    }
}

/// Notes what the unwinder finds.
struct Noting<'a> {
    unwind: &'a mut dyn Unwind,
    callers: &'a mut Vec<Callers>,
    addresses: &'a mut Addresses,
}

impl Unwind for Noting<'_> {
    fn unwind(&mut self, pid: Pid, raw: &RawStack) -> (Vec<u64>, End) {
        let found = self.unwind.unwind(pid, raw);
        self.addresses.add(pid, &raw.kernel, &found.0);
        self.callers.push(found.clone());
        found
    }

    fn forked(&mut self, child: Pid, parent: Pid) {
        self.unwind.forked(child, parent);
    }

    fn executed(&mut self, pid: Pid) {
        self.unwind.executed(pid);
    }
}

/// Where the recording comes from.
fn preamble(target: &Resolved) -> Preamble {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Preamble {
        whywait: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: KernelFacts::read().map(|kernel| kernel.release).unwrap_or_default(),
        cpus: proc::cpu_count(),
        began_unix_ns: u64::try_from(unix.as_nanos()).unwrap_or(u64::MAX),
        began_monotonic_ns: monotonic().0,
        pids: target.pids.iter().map(|pid| pid.0).collect(),
        command: target.command.clone(),
        ports: target.ports.clone(),
        arguments: std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect(),
    }
}
