//! Where each block is, so that a file of gigabytes opens at once.

use super::block::{BlockHeader, BlockKind, HEADER};
use crate::{
    bytes::{long, word},
    decode::LATEST,
};

/// Bytes of an entry on disk.
const ENTRY: usize = 48;
/// Bytes at the end of a whole file: where the index is, its checksum, and [`END`].
pub const TRAILER: usize = 8 + 4 + 4;
/// The last bytes of a whole file.
pub const END: [u8; 4] = *b"WWE1";

/// A block of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where its header is.
    pub offset: u64,
    /// What is in it.
    pub kind: BlockKind,
    /// Bytes that follow the header.
    pub stored: u32,
    /// Records in it.
    pub records: u32,
    /// Time of its earliest record, nanoseconds of `CLOCK_MONOTONIC`.
    pub first: u64,
    /// Time of its latest.
    pub last: u64,
    /// Records that found no room in the ring since the block before.
    pub dropped: u64,
}

impl Entry {
    pub(super) fn of(offset: u64, header: &BlockHeader) -> Self {
        let BlockHeader { kind, stored, records, first, last, dropped, .. } = *header;
        Self { offset, kind, stored, records, first, last, dropped }
    }

    /// Where what follows it begins.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(HEADER as u64).saturating_add(u64::from(self.stored))
    }
}

/// The index as the content of its block.
pub fn to_bytes(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * ENTRY);
    for entry in entries {
        bytes.extend(entry.offset.to_le_bytes());
        bytes.extend(u32::from(entry.kind.number()).to_le_bytes());
        bytes.extend(entry.stored.to_le_bytes());
        bytes.extend(entry.records.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(entry.first.to_le_bytes());
        bytes.extend(entry.last.to_le_bytes());
        bytes.extend(entry.dropped.to_le_bytes());
    }
    bytes
}

/// The entries of an index; `None` when these bytes are none.
pub fn from_bytes(bytes: &[u8]) -> Option<Vec<Entry>> {
    let (entries, rest) = bytes.as_chunks::<ENTRY>();
    rest.is_empty().then(|| entries.iter().map(entry).collect())
}

fn entry(bytes: &[u8; ENTRY]) -> Entry {
    Entry {
        offset: long(bytes, 0),
        kind: BlockKind::of(u16::try_from(word(bytes, 8)).unwrap_or(u16::MAX)),
        stored: word(bytes, 12),
        records: word(bytes, 16),
        first: long(bytes, 24).min(LATEST.0),
        last: long(bytes, 32).min(LATEST.0),
        dropped: long(bytes, 40),
    }
}

/// The last bytes of a file whose index is at `offset`.
pub fn trailer(offset: u64) -> [u8; TRAILER] {
    let mut bytes = [0; TRAILER];
    bytes[..8].copy_from_slice(&offset.to_le_bytes());
    bytes[8..12].copy_from_slice(&crc32fast::hash(&offset.to_le_bytes()).to_le_bytes());
    bytes[12..].copy_from_slice(&END);
    bytes
}

/// Where the index is, by the last bytes of a file.
pub fn from_trailer(bytes: &[u8; TRAILER]) -> Option<u64> {
    let (offset, rest) = bytes.split_first_chunk::<8>()?;
    let (checksum, end) = rest.split_first_chunk::<4>()?;
    (end == END && u32::from_le_bytes(*checksum) == crc32fast::hash(offset))
        .then(|| u64::from_le_bytes(*offset))
}
