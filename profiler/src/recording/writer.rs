//! Writes a recording, block by block.

use std::{
    fs::File,
    io::{self, Write},
};

use serde::Serialize;
use thiserror::Error;
use whywait_ebpf::abi::Header;

use super::{
    block::{BlockHeader, BlockKind, HEADER, MOST},
    index::{self, Entry},
    preamble::Preamble,
    records,
};

/// Bytes of names in a block, about.
const NAMES: usize = 1 << 20;
/// Bytes of records in a block: large enough to compress well, small enough to lose.
const BLOCK: usize = 256 << 10;

/// The recording cannot go on. What has been written stays readable.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The file cannot be written.
    #[error("cannot write the recording after {written} bytes: {cause}; what is there can be read")]
    Output {
        /// Bytes of it that are whole.
        written: u64,
        /// Why.
        cause: io::Error,
    },
    /// The facts do not fit into a block.
    #[error("what is known of the target takes {0} bytes, and a block holds {MOST}")]
    Facts(usize),
}

/// How much has been written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Bytes of the file.
    pub bytes: u64,
    /// Records in it.
    pub records: u64,
    /// Bytes of these before compression.
    pub record_bytes: u64,
}

/// A recording that is being written.
pub struct Writer<W: Write> {
    out: W,
    block: Vec<u8>,
    records: u32,
    first: u64,
    last: u64,
    dropped: u64,
    entries: Vec<Entry>,
    written: Written,
}

impl<W: Write> Writer<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(mut out: W, preamble: &Preamble) -> Result<Self, WriteError> {
        let bytes = preamble.write(&mut out).map_err(|cause| WriteError::Output { written: 0, cause })?;
        Ok(Self {
            out,
            block: Vec::with_capacity(BLOCK),
            records: 0,
            first: u64::MAX,
            last: 0,
            dropped: 0,
            entries: Vec::new(),
            written: Written { bytes, ..Written::default() },
        })
    }

    /// Takes records one after the other, as the ring's reader hands them on. What is no record ends the batch.
    ///
    /// # Errors
    /// When a block is full and cannot be written.
    pub fn records(&mut self, batch: &[u8]) -> Result<(), WriteError> {
        records(batch).try_for_each(|(header, record)| self.record(&header, record))
    }

    /// Takes a record that begins with this header.
    ///
    /// # Errors
    /// When a block is full and cannot be written.
    pub fn record(&mut self, header: &Header, record: &[u8]) -> Result<(), WriteError> {
        if self.block.len() + record.len() > BLOCK {
            self.flush()?;
        }
        self.block.extend_from_slice(record);
        self.records += 1;
        self.first = self.first.min(header.ts);
        self.last = self.last.max(header.ts);
        Ok(())
    }

    /// Notes that so many records found no room in the ring.
    pub fn dropped(&mut self, records: u64) {
        self.dropped += records;
    }

    /// Writes the records that are in hand, so that they are safe.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        if self.records == 0 && self.dropped == 0 {
            return Ok(());
        }
        let content = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK));
        self.written.records += u64::from(self.records);
        self.written.record_bytes += content.len() as u64;
        self.put(BlockKind::Records, &content)?;
        (self.records, self.first, self.last, self.dropped) = (0, u64::MAX, 0, 0);
        Ok(())
    }

    /// Writes what is known besides the records; it takes the place of what was known before.
    ///
    /// # Errors
    /// When that is too much for a block, or cannot be written.
    pub fn facts(&mut self, facts: &impl Serialize) -> Result<(), WriteError> {
        self.flush()?;
        let json = serde_json::to_vec(facts).map_err(|error| self.failed(error.into()))?;
        if json.len() > MOST {
            return Err(WriteError::Facts(json.len()));
        }
        self.put(BlockKind::Facts, &json)
    }

    /// Writes names of code, in as many blocks as they take; they add to those that were written before.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn names(&mut self, names: &[impl Serialize]) -> Result<(), WriteError> {
        self.flush()?;
        let mut json = Vec::new();
        for name in names {
            let before = json.len();
            json.push(if before == 0 { b'[' } else { b',' });
            serde_json::to_writer(&mut json, name).map_err(|error| self.failed(error.into()))?;
            if json.len() >= MOST {
                // A name for which there is no room in any block.
                json.truncate(before);
            } else if json.len() >= NAMES {
                json.push(b']');
                self.put(BlockKind::Names, &json)?;
                json.clear();
            }
        }
        if !json.is_empty() {
            json.push(b']');
            self.put(BlockKind::Names, &json)?;
        }
        Ok(())
    }

    /// Ends the file with its index.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> Result<(W, Written), WriteError> {
        self.end()?;
        Ok((self.out, self.written))
    }

    /// Ends the file with its index; nothing may follow.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn end(&mut self) -> Result<(), WriteError> {
        self.flush()?;
        // An index that no reader would hold is left out: the file is then read from its beginning.
        let content = index::to_bytes(&self.entries);
        if content.len() <= MOST {
            let offset = self.written.bytes;
            self.put(BlockKind::Index, &content)?;
            self.write(&index::trailer(offset))?;
        }
        self.out.flush().map_err(|cause| self.failed(cause))
    }

    /// How much has been written; what is in hand is not among it.
    pub fn written(&self) -> Written {
        self.written
    }

    fn put(&mut self, kind: BlockKind, content: &[u8]) -> Result<(), WriteError> {
        let compressed = lz4_flex::block::compress(content);
        let smaller = compressed.len() < content.len();
        let stored = if smaller { compressed.as_slice() } else { content };
        let records = kind == BlockKind::Records;
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(|_| WriteError::Facts(bytes.len()));
        let header = BlockHeader {
            kind,
            compressed: smaller,
            number: self.entries.len() as u64,
            stored: length(stored)?,
            length: length(content)?,
            records: if records { self.records } else { 0 },
            checksum: crc32fast::hash(stored),
            first: if records && self.records > 0 { self.first } else { 0 },
            last: if records { self.last } else { 0 },
            dropped: if records { self.dropped } else { 0 },
        };
        let offset = self.written.bytes;
        let mut bytes = Vec::with_capacity(HEADER + stored.len());
        bytes.extend(header.to_bytes());
        bytes.extend_from_slice(stored);
        self.write(&bytes)?;
        self.entries.push(Entry::of(offset, &header));
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.out.write_all(bytes).map_err(|cause| self.failed(cause))?;
        self.written.bytes += bytes.len() as u64;
        Ok(())
    }

    fn failed(&self, cause: io::Error) -> WriteError {
        WriteError::Output { written: self.written.bytes, cause }
    }
}

impl Writer<File> {
    /// Has the disk hold what has been written, also when the power fails.
    ///
    /// # Errors
    /// When that cannot be.
    pub fn sync(&self) -> Result<(), WriteError> {
        self.out.sync_data().map_err(|cause| self.failed(cause))
    }
}
