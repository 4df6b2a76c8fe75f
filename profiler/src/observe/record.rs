//! A run that is written down while it goes on: its records as they come, its facts now and then, the names of its code at the end.

use std::{
    collections::VecDeque,
    path::PathBuf,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use super::{facts::Facts, pipeline::Pipeline};
use crate::{
    decode::{End, RawStack, Unwind},
    platform::{clock::monotonic, kernel::KernelFacts, proc, target::Resolved},
    recording::{Callers, Limits, Preamble, RecordError, Recorder, RingPlan, Written},
    ring::Batch,
    stacks::{Addresses, Code, Named},
    units::{Ns, Pid},
};

/// How often facts are written, at most.
const OFTEN: Duration = Duration::from_secs(1);
/// Facts that are held in memory at once; of more, every other is let go.
const MOST_FACTS: usize = 64;
/// How often functions are named, for a recording that is cut.
const NAMES: Duration = Duration::from_secs(5);
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
    named: Instant,
    /// Facts since the oldest record that is held in memory, if that is where records go.
    ring: Option<VecDeque<Facts>>,
}

impl Recording {
    /// Begins a file, with what is known of the target at this moment.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn start(plan: RecordPlan, target: &Resolved) -> Result<Self, RecordError> {
        let RecordPlan { path, limits } = plan;
        Ok(Self { limits, ..Self::new(Recorder::start(&path, &preamble(target), limits.keep)?) })
    }

    /// Holds the newest records in memory.
    ///
    /// # Errors
    /// When no thread can be created.
    pub fn ring(plan: RingPlan) -> Result<Self, RecordError> {
        Ok(Self { ring: Some(VecDeque::new()), ..Self::new(Recorder::ring(plan)?) })
    }

    fn new(recorder: Recorder<Facts>) -> Self {
        Self {
            recorder,
            limits: Limits::default(),
            began: Instant::now(),
            callers: Vec::new(),
            addresses: Addresses::default(),
            next: Instant::now(),
            named: Instant::now(),
            ring: None,
        }
    }

    /// Begins with the threads and connections that there are, as records.
    pub fn begin_with(&mut self, present: Vec<u8>) {
        self.recorder.records(present, Vec::new());
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

    /// Takes facts, and how long it took to gather them; `code` names functions in stacks that are new, now and then.
    pub fn facts(&mut self, facts: Facts, took: Duration, code: &mut dyn Code) {
        if self.ring.is_none() && self.named.elapsed() >= NAMES {
            self.recorder.names(self.addresses.name_fresh(code));
            self.named = Instant::now();
        }
        self.next = Instant::now() + OFTEN.max(took * SHARE);
        let Some(ring) = &mut self.ring else { return self.recorder.facts(facts) };
        ring.push_back(facts);
        let oldest = Ns(self.recorder.progress());
        while ring.len() > 1 && ring[1].end <= oldest {
            ring.pop_front();
        }
        if ring.len() > MOST_FACTS {
            let mut number = 0;
            ring.retain(|_| {
                number += 1;
                number % 2 == 1
            });
        }
    }

    /// Writes what is held in memory to a file, with what has changed up to these facts; [`Recording::results`] tells when it is done.
    pub fn write(&mut self, path: PathBuf, facts: Facts, code: &mut dyn Code, target: &Resolved) {
        let before = self.ring.as_ref().and_then(VecDeque::front).cloned().unwrap_or_default();
        let began = before.end.max(Ns(self.recorder.progress()).min(facts.end));
        let told = Facts { begin: began, ..facts.since(&before) };
        self.recorder.write(path, preamble(target), told, self.addresses.name(code));
    }

    /// Files that were written from memory since, or why they were not.
    pub fn results(&self) -> impl Iterator<Item = Result<PathBuf, RecordError>> + '_ {
        self.recorder.results()
    }

    /// Whether the file is full.
    pub fn is_full(&self) -> bool {
        self.limits.are_met(self.recorder.progress(), self.began.elapsed())
    }

    /// Whether another file follows a full one.
    pub fn has_several_files(&self) -> bool {
        self.limits.keep.is_some()
    }

    /// Ends the file, with these facts and with names of the code in its stacks, and begins the next.
    /// That begins with `present`: the threads and connections that there are, as records.
    pub fn turn(&mut self, facts: Facts, present: Vec<u8>, code: &mut dyn Code, target: &Resolved) {
        let names = std::mem::take(&mut self.addresses).name(code);
        self.recorder.turn(facts, names, preamble(target), present);
        self.began = Instant::now();
        self.next = self.began;
    }

    /// Waits for the files that are being written from memory.
    pub fn finish_writing(self) -> Vec<Result<PathBuf, RecordError>> {
        self.recorder.finish_writing()
    }

    /// Records that were not written because the disk was too slow.
    pub fn unwritten(&self) -> u64 {
        self.recorder.unwritten()
    }

    /// Whether it has ended early; [`Recording::finish`] tells why.
    pub fn has_failed(&self) -> bool {
        self.recorder.has_failed()
    }

    /// Names of the code in all stacks of the file.
    pub fn names(&self, code: &mut dyn Code) -> Vec<Named> {
        self.addresses.name(code)
    }

    /// Ends the file, with these names.
    ///
    /// # Errors
    /// When it could not all be written.
    pub fn finish(mut self, names: Vec<Named>) -> Result<Written, RecordError> {
        self.recorder.names(names);
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
