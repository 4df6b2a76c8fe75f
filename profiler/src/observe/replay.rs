//! What came of a run, from its recording: the same records and the same facts through the same pipeline.

use std::{
    fs::File,
    io::{self, Read, Seek},
    path::{Path, PathBuf},
};

use thiserror::Error;

use super::{
    facts::Facts,
    observation::Observation,
    pipeline::{Pipeline, Sink},
};
use crate::{
    decode::LATEST,
    recording::{BlockKind, Entry, OpenError, Preamble, ReadError, Recording},
    stacks::{NameTable, Named},
    units::Ns,
};

/// A recording that cannot be replayed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// It cannot be opened.
    #[error("cannot open {path}: {cause}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// It is no recording, or none that can be read.
    #[error("cannot replay {path}: {cause}")]
    NoRecording {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: OpenError,
    },
    /// It cannot be read any more.
    #[error("cannot replay {path}: {cause}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: ReadError,
    },
    /// It is played by several threads.
    #[error("cannot start a thread to replay with: {0}")]
    Thread(io::Error),
}

/// What a recording tells.
pub struct Replayed {
    /// What came of the run.
    pub observation: Observation,
    /// Where the recording comes from.
    pub preamble: Preamble,
    /// Names of functions.
    pub names: NameTable,
    /// What is missing in it, a sentence for each.
    pub missing: Vec<String>,
}

/// Replays a recording, whole or not.
///
/// # Errors
/// When it is no recording, or cannot be read at all.
pub fn replay(path: &Path) -> Result<Replayed, ReplayError> {
    open(path, None)
}

/// Replays a recording and tells somebody, with the paths of requests, until that one has enough. `sink` makes that one, given when the run began.
///
/// # Errors
/// When it is no recording, or cannot be read at all.
pub fn replay_to(
    path: &Path,
    sink: impl FnOnce(Ns) -> Sink,
    enough: &dyn Fn() -> bool,
) -> Result<Replayed, ReplayError> {
    open(path, Some((Box::new(sink), enough)))
}

/// Who is told, and whether that one has enough.
pub(crate) type Told<'a> = (Box<dyn FnOnce(Ns) -> Sink + 'a>, &'a dyn Fn() -> bool);

fn open(path: &Path, told: Option<Told<'_>>) -> Result<Replayed, ReplayError> {
    replayed(recording(path)?, told).map_err(|cause| ReplayError::Read { path: path.to_owned(), cause })
}

/// Opens the file.
fn recording(path: &Path) -> Result<Recording<File>, ReplayError> {
    let path = || path.to_owned();
    let file = File::open(path()).map_err(|cause| ReplayError::Open { path: path(), cause })?;
    Recording::open(file).map_err(|cause| ReplayError::NoRecording { path: path(), cause })
}

/// The same of an open recording.
pub(crate) fn replayed<R: Read + Seek>(
    recording: Recording<R>,
    told: Option<Told<'_>>,
) -> Result<Replayed, ReadError> {
    let mut source = Source::new(recording)?;
    let facts = source.facts.clone();
    let (sink, enough) = told.unzip();
    let mut pipeline = Pipeline::new(facts.begin, sink.map(|make| make(facts.begin)));
    if enough.is_some() {
        pipeline.keep_paths();
    }
    if let Some((from, to)) = facts.slice.span {
        pipeline.count_between(from, to);
    }
    while !enough.is_some_and(|enough| enough())
        && let Some(part) = source.next()?
    {
        if let Part::Records { content, is_whole } = part {
            // Callers were found when the stacks were taken.
            pipeline.records(&content, &mut ());
            if !is_whole {
                pipeline.loss();
            }
        }
    }
    pipeline.finish(facts.end);
    let mut names = source.names()?;
    Ok(Replayed {
        observation: Observation::new(pipeline, facts, &mut names),
        preamble: source.recording.preamble().clone(),
        names,
        missing: source.missing,
    })
}

/// A part of a recording.
pub(super) enum Part {
    /// Records, one after the other.
    Records {
        /// The records; none, where they cannot be read.
        content: Vec<u8>,
        /// Whether nothing is missing among them.
        is_whole: bool,
    },
    /// What was known beside the records up to here.
    Facts(Entry),
}

/// A recording, part by part.
pub(super) struct Source<R> {
    /// The file.
    pub recording: Recording<R>,
    /// The newest facts.
    pub facts: Facts,
    /// What is known to be missing so far, a sentence for each.
    pub missing: Vec<String>,
    next: usize,
}

impl Source<File> {
    /// Opens a recording, whole or not.
    ///
    /// # Errors
    /// When it is no recording, or cannot be read at all.
    pub fn open(path: &Path) -> Result<Self, ReplayError> {
        Self::new(recording(path)?).map_err(|cause| ReplayError::Read { path: path.to_owned(), cause })
    }
}

impl<R: Read + Seek> Source<R> {
    fn new(mut recording: Recording<R>) -> Result<Self, ReadError> {
        let mut facts = recording.facts::<Facts>()?.unwrap_or_else(|| only(recording.preamble()));
        facts.begin = facts.begin.min(LATEST);
        facts.end = facts.end.min(LATEST).max(facts.begin);
        let mut missing = Vec::new();
        if !recording.is_complete() {
            let last = Ns(recording.span().map_or(0, |(_, last)| last));
            missing.push(
                "the recording was cut off before its end: what came last, and names of functions that were new in it, are missing"
                    .to_owned(),
            );
            facts.end = facts.end.max(last);
        }
        missing.extend(
            recording
                .damage()
                .iter()
                .map(|part| format!("bytes {} to {} of the file cannot be read", part.from, part.to)),
        );
        if facts.unwritten > 0 {
            missing.push(format!(
                "{} records were not written, because the disk was too slow for them",
                facts.unwritten
            ));
        }
        Ok(Self { recording, facts, missing, next: 0 })
    }

    /// Names of functions.
    pub fn names(&mut self) -> Result<NameTable, ReadError> {
        Ok(NameTable::new(self.recording.names::<Named>()?))
    }

    /// Begins anew.
    pub fn rewind(&mut self) {
        self.next = 0;
    }

    /// The next part; `None` at the end.
    pub fn next(&mut self) -> Result<Option<Part>, ReadError> {
        while let Some(entry) = self.recording.entries().get(self.next).copied() {
            self.next += 1;
            match entry.kind {
                BlockKind::Records => {}
                BlockKind::Facts => return Ok(Some(Part::Facts(entry))),
                _ => continue,
            }
            let part = match self.recording.block(&entry) {
                Ok(block) => Part::Records { content: block.content, is_whole: entry.dropped == 0 },
                Err(error @ ReadError::Block { .. }) => {
                    let error = error.to_string();
                    // It has been met before when the recording is gone through once more.
                    if !self.missing.contains(&error) {
                        self.missing.push(error);
                    }
                    Part::Records { content: Vec::new(), is_whole: false }
                }
                Err(error) => return Err(error),
            };
            return Ok(Some(part));
        }
        Ok(None)
    }
}

/// What is known where no facts can be read.
fn only(preamble: &Preamble) -> Facts {
    Facts {
        begin: Ns(preamble.began_monotonic_ns),
        end: Ns(preamble.began_monotonic_ns),
        pids: preamble.pids.iter().map(|pid| (*pid).into()).collect(),
        command: preamble.command.clone(),
        ports: preamble.ports.clone(),
        machine_cpus: preamble.cpus,
        ..Facts::default()
    }
}
