//! A recording as tables: of requests, their states, what threads did, threads, locks, samples of stacks, and the stacks.
//!
//! Every time stands twice: as a moment of the clock on the wall, for people and for other sources, and as nanoseconds of the clock of the
//! records (`CLOCK_MONOTONIC`), exact for joins. The columns are described in `docs/export.md`.

mod csv;
mod parquet;
mod rows;
mod schema;

#[cfg(test)]
mod tests;

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::PathBuf,
};

pub use schema::{Column, Kind, Table, Value};

use self::{csv::CsvWriter, parquet::ParquetWriter};
use super::{End, ExportError, Exporter, Stretches, WallClock};
use crate::{
    clock::{Request, RequestId},
    decode::{Event, What},
};

/// How tables are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Comma-separated values, RFC 4180.
    Csv,
    /// Apache Parquet.
    Parquet,
}

impl Encoding {
    /// Ending of a file's name.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        }
    }
}

/// Where tables go.
pub enum Destination {
    /// All of them, each in a file of its name in this folder, which is made.
    Folder(PathBuf),
    /// This one.
    One(Table, Box<dyn Write + Send>),
}

/// Writes the rows of a table.
trait TableWriter: Send {
    fn row(&mut self, values: &[Value<'_>]) -> Result<(), ExportError>;
    fn finish(self: Box<Self>) -> Result<(), ExportError>;
}

/// Writes tables.
pub struct Tables {
    clock: WallClock,
    stretches: Stretches,
    writers: [Option<Box<dyn TableWriter>>; Table::ALL.len()],
}

impl Tables {
    /// Begins tables.
    ///
    /// # Errors
    /// When the folder or a file cannot be made.
    pub fn begin(clock: WallClock, encoding: Encoding, to: Destination) -> Result<Self, ExportError> {
        let mut writers = [const { None }; Table::ALL.len()];
        match to {
            Destination::One(table, out) => writers[table as usize] = Some(writer(encoding, table, out)?),
            Destination::Folder(folder) => {
                fs::create_dir_all(&folder).map_err(|cause| ExportError::at(&folder, cause))?;
                for table in Table::ALL {
                    let path = folder.join(table.name()).with_extension(encoding.extension());
                    let file = File::create(&path).map_err(|cause| ExportError::at(&path, cause))?;
                    writers[table as usize] = Some(writer(encoding, table, Box::new(BufWriter::new(file)))?);
                }
            }
        }
        Ok(Self { clock, stretches: Stretches::default(), writers })
    }

    fn wants(&self, table: Table) -> bool {
        self.writers[table as usize].is_some()
    }

    fn row(&mut self, table: Table, values: &[Value<'_>]) -> Result<(), ExportError> {
        debug_assert_eq!(values.len(), table.columns().len(), "{table:?}");
        self.writers[table as usize].as_mut().map_or(Ok(()), |writer| writer.row(values))
    }
}

fn writer(
    encoding: Encoding,
    table: Table,
    out: Box<dyn Write + Send>,
) -> Result<Box<dyn TableWriter>, ExportError> {
    Ok(match encoding {
        Encoding::Csv => Box::new(CsvWriter::begin(table, out)?),
        Encoding::Parquet => Box::new(ParquetWriter::begin(table, out)?),
    })
}

impl Exporter for Tables {
    fn event(&mut self, event: &Event, serving: Option<RequestId>) -> Result<(), ExportError> {
        if self.wants(Table::Intervals) {
            for stretch in self.stretches.event(event, serving) {
                let row = rows::interval(self.clock, &stretch);
                self.row(Table::Intervals, &row)?;
            }
        }
        if let What::Stack(stack) = &event.what
            && self.wants(Table::Samples)
            && let Some(row) = rows::sample(self.clock, event, stack, serving)
        {
            self.row(Table::Samples, &row)?;
        }
        Ok(())
    }

    fn request(&mut self, request: &Request) -> Result<(), ExportError> {
        if self.wants(Table::Requests) {
            self.row(Table::Requests, &rows::request(self.clock, request))?;
        }
        if self.wants(Table::States) {
            for piece in &request.path {
                self.row(Table::States, &rows::state(self.clock, request, piece))?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, end: End<'_>) -> Result<(), ExportError> {
        let pipeline = end.pipeline;
        for stretch in std::mem::take(&mut self.stretches).finish(pipeline.window().span().1) {
            let row = rows::interval(self.clock, &stretch);
            self.row(Table::Intervals, &row)?;
        }
        for (tid, usage) in pipeline.window().threads().iter() {
            self.row(Table::Threads, &rows::thread(tid, usage))?;
        }
        for lock in pipeline.locks().iter() {
            self.row(Table::Locks, &rows::lock(lock))?;
        }
        if self.wants(Table::Stacks) {
            for (id, trace) in pipeline.traces().iter() {
                let frames = end.code.frames(trace);
                self.row(Table::Stacks, &rows::stack(id, trace, &frames))?;
            }
        }
        self.writers.into_iter().flatten().try_for_each(TableWriter::finish)
    }
}
