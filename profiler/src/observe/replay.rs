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
    recording::{BlockKind, OpenError, Preamble, ReadError, Recording},
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
}

/// What a recording tells.
pub struct Replayed {
    /// What came of the run.
    pub observation: Observation,
    /// Where the recording comes from.
    pub preamble: Preamble,
    /// What is missing in it, a sentence for each.
    pub missing: Vec<String>,
}

/// Replays a recording, whole or not.
///
/// # Errors
/// When it is no recording, or cannot be read at all.
pub fn replay(path: &Path) -> Result<Replayed, ReplayError> {
    with(path, &mut |_| None)
}

/// The same; a sink that `take` makes, given when the run began, takes each finished request with its path.
///
/// # Errors
/// As those of [`replay`].
pub fn replay_into(path: &Path, take: impl FnOnce(Ns) -> Sink) -> Result<Replayed, ReplayError> {
    let mut take = Some(take);
    with(path, &mut |begin| take.take().map(|take| take(begin)))
}

/// Makes what takes the requests of a run that began then, if anything does.
type MakeSink<'a> = &'a mut dyn FnMut(Ns) -> Option<Sink>;

fn with(path: &Path, sink: MakeSink) -> Result<Replayed, ReplayError> {
    let path = || path.to_owned();
    let file = File::open(path()).map_err(|cause| ReplayError::Open { path: path(), cause })?;
    let recording =
        Recording::open(file).map_err(|cause| ReplayError::NoRecording { path: path(), cause })?;
    replayed(recording, sink).map_err(|cause| ReplayError::Read { path: path(), cause })
}

/// The same of an open recording.
fn replayed<R: Read + Seek>(mut recording: Recording<R>, sink: MakeSink) -> Result<Replayed, ReadError> {
    let mut facts = recording.facts::<Facts>()?.unwrap_or_else(|| only(recording.preamble()));
    let mut missing = Vec::new();
    if !recording.is_complete() {
        let last = Ns(recording.span().map_or(0, |(_, last)| last));
        missing.push(
            "the recording was cut off before its end: what came last, and the names of functions, are missing"
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
    let sink = sink(facts.begin);
    let keep_paths = sink.is_some();
    let mut pipeline = Pipeline::new(facts.begin, sink);
    if keep_paths {
        pipeline.keep_paths();
    }
    if let Some((from, to)) = facts.slice.span {
        pipeline.count_between(from, to);
    }
    for entry in recording.entries().to_vec() {
        if entry.kind != BlockKind::Records {
            continue;
        }
        let whole = match recording.block(&entry) {
            Ok(block) => {
                // Callers were found when the stacks were taken.
                pipeline.records(&block.content, &mut ());
                true
            }
            Err(error @ ReadError::Block { .. }) => {
                missing.push(error.to_string());
                false
            }
            Err(error) => return Err(error),
        };
        if entry.dropped > 0 || !whole {
            pipeline.loss();
        }
    }
    if facts.unwritten > 0 {
        missing.push(format!(
            "{} records were not written, because the disk was too slow for them",
            facts.unwritten
        ));
    }
    pipeline.finish(facts.end);
    let mut names = NameTable::default();
    for named in recording.names::<Named>()? {
        names.add(named);
    }
    Ok(Replayed {
        observation: Observation::new(pipeline, facts, &mut names),
        preamble: recording.preamble().clone(),
        missing,
    })
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
