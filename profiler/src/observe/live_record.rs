//! Recordings of a run that is shown: begun and ended while it goes on, or held in memory until they are asked for.

use std::{
    path::PathBuf,
    sync::mpsc::Receiver,
    time::{Duration, Instant},
};

use super::{
    beside::Beside,
    facts::Facts,
    pipeline::Pipeline,
    record::{RecordPlan, Recording},
};
use crate::{
    locks::LockNames,
    platform::{clock::monotonic, target::Resolved},
    probe::{AttachError, Session},
    recording::{Limits, RecordError, RingPlan},
    ring::Batch,
    symbols::Symbols,
    units::Pid,
};

/// What is asked for while a run goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Begin to record to this file; what is recorded already ends.
    Begin(PathBuf),
    /// End the recording.
    End,
    /// Write what is held in memory to this file.
    Write(PathBuf),
}

/// How a run that is shown is recorded.
pub struct LiveRecord {
    /// What is asked for.
    pub commands: Receiver<Command>,
    /// What is held in memory from the beginning on; nothing can be recorded to a file meanwhile.
    pub ring: Option<RingPlan>,
    /// Is told of each file that has come to its end, or why it has not.
    pub told: Box<dyn FnMut(Result<PathBuf, RecordError>) + Send>,
}

/// A recording, and what is looked at for it.
struct Tape {
    /// Its file; none for what is held in memory.
    path: Option<PathBuf>,
    recording: Recording,
    beside: Beside,
    lock_names: LockNames,
    before: Facts,
}

/// Recordings of a run.
pub struct Tapes {
    plan: LiveRecord,
    tape: Option<Tape>,
}

/// What a recording is made of.
pub struct Sources<'a> {
    /// The programs.
    pub session: &'a Session,
    /// Whom they watch.
    pub target: &'a Resolved,
    /// What came of the records so far.
    pub pipeline: &'a Pipeline,
    /// Names of code.
    pub symbols: &'a mut Symbols,
}

impl Tapes {
    /// Begins with what is held in memory, if anything is.
    ///
    /// # Errors
    /// When no thread can be created.
    pub fn new(plan: LiveRecord, target: &Resolved) -> Result<Self, RecordError> {
        let ring = plan.ring.map(Recording::ring).transpose()?;
        let tape = ring.map(|recording| Tape::new(None, recording, target, Facts::default()));
        Ok(Self { plan, tape })
    }

    /// Takes records and hands them to the pipeline.
    pub fn records(&mut self, batch: Batch, pipeline: &mut Pipeline, symbols: &mut Symbols) {
        match &mut self.tape {
            Some(tape) => tape.recording.records(batch, pipeline, symbols),
            None => pipeline.records(&batch, symbols),
        }
    }

    /// So many records found no room since.
    pub fn lost(&mut self, records: u64) {
        if let Some(tape) = &mut self.tape {
            tape.recording.lost(records);
        }
    }

    /// Looks at what has changed; `fresh` are processes that have had a CPU for the first time.
    pub fn fresh(&mut self, fresh: &[Pid], pipeline: &Pipeline) {
        if let Some(tape) = &mut self.tape {
            tape.beside.tick(fresh, pipeline);
        }
    }

    /// Does what is asked for, and what is due.
    ///
    /// # Errors
    /// When the programs' maps cannot be read.
    pub fn tick(&mut self, sources: &mut Sources<'_>) -> Result<(), AttachError> {
        while let Ok(command) = self.plan.commands.try_recv() {
            match command {
                Command::Begin(path) => self.begin(path, sources)?,
                Command::End => self.end(sources)?,
                Command::Write(path) => self.write(path, sources)?,
            }
        }
        let Some(tape) = &mut self.tape else { return Ok(()) };
        if tape.recording.has_failed() {
            return self.end(sources);
        }
        if tape.recording.is_due() {
            let asked = Instant::now();
            let facts = tape.facts(sources)?;
            tape.recording.facts(facts, asked.elapsed(), sources.symbols);
        }
        for result in tape.recording.results() {
            (self.plan.told)(result);
        }
        Ok(())
    }

    fn begin(&mut self, path: PathBuf, sources: &mut Sources<'_>) -> Result<(), AttachError> {
        if self.plan.ring.is_some() {
            return Ok(());
        }
        self.end(sources)?;
        let plan = RecordPlan { path: path.clone(), limits: Limits::default() };
        match Recording::start(plan, sources.target) {
            Ok(mut recording) => {
                recording.begin_with(sources.pipeline.present());
                let mut tape = Tape::new(Some(path), recording, sources.target, Facts::default());
                tape.before = tape.facts(sources)?;
                self.tape = Some(tape);
            }
            Err(error) => (self.plan.told)(Err(error)),
        }
        Ok(())
    }

    /// Ends the recording to a file, if there is one.
    ///
    /// # Errors
    /// When the programs' maps cannot be read.
    pub fn end(&mut self, sources: &mut Sources<'_>) -> Result<(), AttachError> {
        let Some(mut tape) = self.tape.take() else { return Ok(()) };
        let Some(path) = tape.path.clone() else { return Ok(()) };
        let facts = tape.facts(sources)?;
        tape.recording.facts(facts, Duration::ZERO, sources.symbols);
        let names = tape.recording.names(sources.symbols);
        (self.plan.told)(tape.recording.finish(names).map(|_| path));
        Ok(())
    }

    fn write(&mut self, path: PathBuf, sources: &mut Sources<'_>) -> Result<(), AttachError> {
        if let Some(tape) = self.tape.as_mut().filter(|tape| tape.path.is_none()) {
            let facts = tape.facts(sources)?;
            tape.recording.write(path, facts, sources.symbols, sources.target);
        }
        Ok(())
    }

    /// Waits for what is still being written, and ends everything.
    ///
    /// # Errors
    /// When the programs' maps cannot be read.
    pub fn finish(&mut self, sources: &mut Sources<'_>) -> Result<(), AttachError> {
        self.tick(sources)?;
        let in_memory = self.tape.take_if(|tape| tape.path.is_none());
        if let Some(tape) = in_memory {
            for result in tape.recording.finish_writing() {
                (self.plan.told)(result);
            }
        }
        self.end(sources)
    }
}

impl Tape {
    fn new(path: Option<PathBuf>, recording: Recording, target: &Resolved, before: Facts) -> Self {
        let beside = Beside::new(monotonic(), &target.pids);
        Self { path, recording, beside, lock_names: LockNames::default(), before }
    }

    /// What is known beside the records, since the recording began.
    fn facts(&mut self, sources: &Sources<'_>) -> Result<Facts, AttachError> {
        // The window of a run that is shown is short: locks are named as they come.
        self.lock_names.add(LockNames::look_up(sources.pipeline.locks()));
        let facts = Facts {
            lock_names: self.lock_names.clone(),
            unwritten: self.recording.unwritten(),
            ..self.beside.facts(sources.session, sources.target, monotonic())?
        };
        // What is held in memory is told from its own oldest facts on, when it is written.
        Ok(if self.path.is_some() && self.before.end.0 > 0 { facts.since(&self.before) } else { facts })
    }
}
