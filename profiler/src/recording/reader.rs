//! Reads a recording, whole or not.

use std::io::{self, Read, Seek, SeekFrom};

use serde::de::DeserializeOwned;
use thiserror::Error;

use super::{
    block::{self, BlockHeader, BlockKind, HEADER},
    index::{self, Entry, TRAILER},
    preamble::{Preamble, read_up_to},
};

/// A file that is no recording, or none that can be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It is something else.
    #[error("it is no recording of whywait: those begin with the word WHYWAIT")]
    NoRecording,
    /// It is of a newer whywait.
    #[error("it is of version {found} of the format, and this whywait reads up to {known}: use a newer one")]
    Version {
        /// Its version.
        found: u32,
        /// The newest that is known.
        known: u32,
    },
    /// Its records have another layout.
    #[error("its records have layout {found}, and this whywait reads {known}: use the whywait that wrote it")]
    Layouts {
        /// Its layout.
        found: u32,
        /// What is known.
        known: u32,
    },
    /// Its beginning is damaged.
    #[error("its description, at byte 0, cannot be read: {0}")]
    Preamble(&'static str),
    /// It cannot be read at all.
    #[error(transparent)]
    Input(#[from] io::Error),
}

/// A block that cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// It is not what its header says.
    #[error("the block at byte {offset} cannot be read: {what}")]
    Block {
        /// Where it is.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The file cannot be read.
    #[error("the file cannot be read at byte {offset}: {cause}")]
    Input {
        /// Where.
        offset: u64,
        /// Why.
        cause: io::Error,
    },
}

/// A part of the file that is no block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where it begins.
    pub from: u64,
    /// Where the next block begins, or the file ends.
    pub to: u64,
}

/// A block and its content.
#[derive(Clone, Debug)]
pub struct Block {
    /// Where it is, and what is in it.
    pub entry: Entry,
    /// Its content.
    pub content: Vec<u8>,
}

/// A recording.
#[derive(Debug)]
pub struct Recording<R> {
    input: R,
    preamble: Preamble,
    entries: Vec<Entry>,
    damage: Vec<Damage>,
    complete: bool,
}

impl<R: Read + Seek> Recording<R> {
    /// Opens a recording: by its index, or, when its end is missing, by a look at every block's header.
    ///
    /// # Errors
    /// When it is none, or none that can be read. A damage behind the beginning is no error.
    pub fn open(mut input: R) -> Result<Self, OpenError> {
        let length = input.seek(SeekFrom::End(0))?;
        input.rewind()?;
        let (preamble, begin) = Preamble::read(&mut input)?;
        let mut recording =
            Self { input, preamble, entries: Vec::new(), damage: Vec::new(), complete: false };
        match recording.by_index(begin, length)? {
            Some(entries) => {
                recording.entries = entries;
                recording.complete = true;
            }
            None => recording.by_headers(begin, length)?,
        }
        Ok(recording)
    }

    /// Where it comes from.
    pub fn preamble(&self) -> &Preamble {
        &self.preamble
    }

    /// Its blocks, in the order of the file.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether its writing came to an end; else its last part may be missing.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Parts that are no blocks.
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// Records that it holds.
    pub fn records(&self) -> u64 {
        self.entries.iter().map(|entry| u64::from(entry.records)).sum()
    }

    /// Time of the earliest and of the latest record, nanoseconds of `CLOCK_MONOTONIC`; `None` without records.
    pub fn span(&self) -> Option<(u64, u64)> {
        let with_records = || self.entries.iter().filter(|entry| entry.records > 0);
        let first = with_records().map(|entry| entry.first).min()?;
        let last = with_records().map(|entry| entry.last).max()?;
        Some((first, last))
    }

    /// Reads a block.
    ///
    /// # Errors
    /// When it is damaged, or the file cannot be read.
    pub fn block(&mut self, entry: &Entry) -> Result<Block, ReadError> {
        let offset = entry.offset;
        let failed = |cause| ReadError::Input { offset, cause };
        let wrong = |what| ReadError::Block { offset, what };
        self.input.seek(SeekFrom::Start(offset)).map_err(failed)?;
        let header =
            read_header(&mut self.input).map_err(failed)?.ok_or_else(|| wrong("its header is none"))?;
        let mut stored = vec![0; header.stored as usize];
        if read_up_to(&mut self.input, &mut stored).map_err(failed)? < stored.len() {
            return Err(wrong("the file ends in it"));
        }
        if crc32fast::hash(&stored) != header.checksum {
            return Err(wrong("its checksum is wrong"));
        }
        let content = if header.compressed {
            lz4_flex::block::decompress(&stored, header.length as usize)
                .map_err(|_| wrong("it cannot be decompressed"))?
        } else {
            stored
        };
        if content.len() != header.length as usize {
            return Err(wrong("its length is wrong"));
        }
        Ok(Block { entry: Entry::of(offset, &header), content })
    }

    /// The newest facts that can be read; `None` when there are none.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn facts<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ReadError> {
        let entries: Vec<Entry> =
            self.entries.iter().rev().filter(|entry| entry.kind == BlockKind::Facts).copied().collect();
        for entry in entries {
            if let Some(facts) = self.facts_of(&entry)? {
                return Ok(Some(facts));
            }
        }
        Ok(None)
    }

    /// The facts of a block; `None` when they cannot be read.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn facts_of<T: DeserializeOwned>(&mut self, entry: &Entry) -> Result<Option<T>, ReadError> {
        match self.block(entry) {
            Ok(block) => Ok(serde_json::from_slice(&block.content).ok()),
            Err(ReadError::Block { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All names of code that can be read, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn names<T: DeserializeOwned>(&mut self) -> Result<Vec<T>, ReadError> {
        let entries: Vec<Entry> =
            self.entries.iter().filter(|entry| entry.kind == BlockKind::Names).copied().collect();
        let mut names = Vec::new();
        for entry in entries {
            match self.block(&entry) {
                Ok(block) => {
                    names.extend(serde_json::from_slice::<Vec<T>>(&block.content).unwrap_or_default());
                }
                Err(ReadError::Block { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(names)
    }

    /// The blocks of a file that ends with its index; `None` when it does not, or the index makes no sense.
    fn by_index(&mut self, begin: u64, length: u64) -> io::Result<Option<Vec<Entry>>> {
        let Some(end) = length.checked_sub(TRAILER as u64).filter(|end| *end >= begin) else {
            return Ok(None);
        };
        let mut trailer = [0; TRAILER];
        self.input.seek(SeekFrom::Start(end))?;
        if read_up_to(&mut self.input, &mut trailer)? < TRAILER {
            return Ok(None);
        }
        let Some(offset) = index::from_trailer(&trailer).filter(|offset| (begin..end).contains(offset))
        else {
            return Ok(None);
        };
        let at =
            Entry { offset, kind: BlockKind::Index, stored: 0, records: 0, first: 0, last: 0, dropped: 0 };
        let Ok(block) = self.block(&at) else { return Ok(None) };
        if block.entry.kind != BlockKind::Index {
            return Ok(None);
        }
        // Blocks one after the other, from the first byte to the index: anything else is not trusted.
        let Some(entries) = index::from_bytes(&block.content) else { return Ok(None) };
        let mut next = begin;
        for entry in &entries {
            if entry.offset != next {
                return Ok(None);
            }
            next = entry.end();
        }
        Ok((next == offset).then_some(entries))
    }

    /// Looks for blocks from the beginning on. What is none is skipped, up to the next header.
    fn by_headers(&mut self, begin: u64, length: u64) -> io::Result<()> {
        let mut at = begin;
        while at < length {
            self.input.seek(SeekFrom::Start(at))?;
            let entry = read_header(&mut self.input)?.map(|header| Entry::of(at, &header));
            if let Some(entry) = entry.filter(|entry| entry.end() <= length) {
                // Behind the index there is nothing but the way to it.
                if entry.kind == BlockKind::Index {
                    break;
                }
                at = entry.end();
                self.entries.push(entry);
            } else {
                let to = self.next_header(at + 1, length)?;
                self.damage.push(Damage { from: at, to });
                at = to;
            }
        }
        Ok(())
    }

    /// Where the next header begins, or the file ends.
    fn next_header(&mut self, from: u64, length: u64) -> io::Result<u64> {
        const WINDOW: usize = 64 << 10;
        let mut at = from;
        let mut window = vec![0; WINDOW];
        while at < length {
            self.input.seek(SeekFrom::Start(at))?;
            let got = read_up_to(&mut self.input, &mut window)?;
            for (offset, candidate) in window[..got].windows(HEADER).enumerate() {
                if candidate.starts_with(&block::MAGIC)
                    && let Ok(candidate) = candidate.try_into()
                    && BlockHeader::from_bytes(candidate).is_some()
                {
                    return Ok(at + offset as u64);
                }
            }
            if got < HEADER {
                break;
            }
            at += (got - HEADER + 1) as u64;
        }
        Ok(length)
    }
}

fn read_header(input: &mut impl Read) -> io::Result<Option<BlockHeader>> {
    let mut bytes = [0; HEADER];
    let whole = read_up_to(input, &mut bytes)? == HEADER;
    Ok(if whole { BlockHeader::from_bytes(&bytes) } else { None })
}
