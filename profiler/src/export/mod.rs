//! A recording in the formats of other tools. Each exporter writes while the recording is read, and keeps no more than it must.
//!
//! An [`Exporter`] is fed with what goes through a pipeline: events in order and finished requests. What only the end of a recording
//! tells (locks, names of functions) comes with [`Exporter::finish`].

mod firefox;
mod jsonl;
pub(crate) mod otlp;
mod perfetto;
mod pprof;
mod profiles;
mod relay;
mod stretches;
mod svg;
mod tables;
mod wall;

#[cfg(test)]
pub(crate) mod testing;

use std::{
    io,
    path::{Path, PathBuf},
};

use parquet::errors::ParquetError;
use thiserror::Error;

pub use firefox::Firefox;
pub use jsonl::JsonLines;
pub use otlp::{Otlp, Receiver};
pub use perfetto::Perfetto;
pub use pprof::Pprof;
pub use profiles::{Form, Profiles};
pub use relay::Export;
pub use stretches::{Stretch, Stretches};
pub use tables::{Destination, Encoding, Table, Tables};
pub use wall::WallClock;

use crate::{
    clock::{Request, RequestId},
    decode::Event,
    observe::Pipeline,
    recording::{BlockKind, Entry},
    stacks::{Code, Stacks, StateStacks},
    units::Ns,
};

/// Writes a recording in a format.
pub trait Exporter: Send {
    /// Takes an event; `serving` is the request that its thread works for by what is known before it.
    ///
    /// # Errors
    /// When the output cannot be written.
    fn event(&mut self, _event: &Event, _serving: Option<RequestId>) -> Result<(), ExportError> {
        Ok(())
    }

    /// Takes a finished request.
    ///
    /// # Errors
    /// When the output cannot be written.
    fn request(&mut self, _request: &Request) -> Result<(), ExportError> {
        Ok(())
    }

    /// Writes what the end tells, and ends the output.
    ///
    /// # Errors
    /// When the output cannot be written.
    fn finish(self: Box<Self>, end: End<'_>) -> Result<(), ExportError>;
}

/// What the end of a recording tells.
pub struct End<'a> {
    /// Through which it went.
    pub pipeline: &'a Pipeline,
    /// Where in the code requests spent their time.
    pub stacks: &'a Stacks,
    /// Where records found no room in the ring.
    pub lost: &'a [Lost],
    /// Names functions.
    pub code: &'a mut dyn Code,
    /// The route that alone is exported, or all.
    pub route: Option<&'a str>,
}

impl End<'_> {
    /// Profiles of the routes that are exported; of all requests together where no route is known.
    fn stacks_of_routes(&self) -> Stacks {
        let by_route = self.stacks.states.iter().any(|state| state.route.is_some());
        let wanted = |state: &&StateStacks| {
            state.route.is_some() == by_route
                && self
                    .route
                    .is_none_or(|wanted| state.route.as_deref().is_some_and(|route| is_route(route, wanted)))
        };
        Stacks { states: self.stacks.states.iter().filter(wanted).cloned().collect(), ..Stacks::default() }
    }
}

/// Whether a route is the one that is asked for, by its whole name or by its path alone.
fn is_route(route: &str, wanted: &str) -> bool {
    route == wanted || route.split_once(' ').is_some_and(|(_, path)| path == wanted)
}

/// Records that found no room in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// They were lost between this moment…
    pub from: Ns,
    /// …and this one.
    pub to: Ns,
    /// How many.
    pub records: u64,
}

impl Lost {
    /// The losses in these blocks of a recording: each is told with the block that was written after it.
    pub fn of(entries: &[Entry]) -> Vec<Self> {
        let mut before = None;
        let mut all = Vec::new();
        for entry in entries.iter().filter(|entry| entry.kind == BlockKind::Records) {
            // A block that holds nothing but the number of a loss has no times of its own.
            let to = if entry.records > 0 { entry.last } else { before.unwrap_or(0) };
            if entry.dropped > 0 {
                let from = before.unwrap_or(entry.first).min(to);
                all.push(Self { from: Ns(from), to: Ns(to), records: entry.dropped });
            }
            before = Some(to);
        }
        all
    }
}

/// An export that cannot go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The output cannot be written.
    #[error(transparent)]
    Output(#[from] io::Error),
    /// A file of it cannot be made.
    #[error("cannot make {}: {cause}", path.display())]
    File {
        /// The file, or folder.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// No request has the route that was asked for.
    #[error("no request has the route {route}: `whywait report` lists those that there are")]
    NoSuchRoute {
        /// The route.
        route: String,
    },
    /// The receiver of the spans cannot be reached, or does not take them.
    #[error("cannot send spans to {url}: {cause}; is a collector listening there for OTLP by HTTP?")]
    Endpoint {
        /// Its address.
        url: String,
        /// Why.
        cause: String,
    },
    /// A table cannot be written.
    #[error(transparent)]
    Parquet(#[from] ParquetError),
}

impl ExportError {
    fn at(path: &Path, cause: io::Error) -> Self {
        Self::File { path: path.to_owned(), cause }
    }
}
