//! The header of a block.

use crate::{
    bytes::{long, word},
    decode::LATEST,
};

/// Bytes of a header.
pub const HEADER: usize = 64;
/// First bytes of every header.
pub const MAGIC: [u8; 4] = *b"WWB1";
/// Bytes of a block's content before compression, at most, and so of what is stored, as what does not become smaller is stored as it
/// is: what a reader must be ready to hold.
pub const MOST: usize = 4 << 20;

/// What is in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockKind {
    /// Records, one after the other, as the kernel sent them.
    Records,
    /// What was read outside the ring, as JSON; the newest counts.
    Facts,
    /// The index of all other blocks; the last block.
    Index,
    /// Names of code, as JSON; they add to those in blocks before.
    Names,
    /// Of a newer whywait; skipped.
    Unknown(u16),
}

impl BlockKind {
    pub(super) fn number(self) -> u16 {
        match self {
            Self::Records => 1,
            Self::Facts => 2,
            Self::Index => 3,
            Self::Names => 4,
            Self::Unknown(number) => number,
        }
    }

    pub(super) fn of(number: u16) -> Self {
        match number {
            1 => Self::Records,
            2 => Self::Facts,
            3 => Self::Index,
            4 => Self::Names,
            number => Self::Unknown(number),
        }
    }
}

/// The header of a block. Little-endian on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockHeader {
    /// What is in it.
    pub kind: BlockKind,
    /// Whether the content is compressed (LZ4).
    pub compressed: bool,
    /// Number of the block, from 0.
    pub number: u64,
    /// Bytes that follow the header.
    pub stored: u32,
    /// Bytes of the content.
    pub length: u32,
    /// Records in it.
    pub records: u32,
    /// Checksum of what follows the header (CRC-32).
    pub checksum: u32,
    /// Time of the earliest record, nanoseconds of `CLOCK_MONOTONIC`; 0 without records.
    pub first: u64,
    /// Time of the latest.
    pub last: u64,
    /// Records that found no room in the ring since the block before.
    pub dropped: u64,
}

impl BlockHeader {
    /// As on disk.
    pub(super) fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..6].copy_from_slice(&self.kind.number().to_le_bytes());
        bytes[6..8].copy_from_slice(&u16::from(self.compressed).to_le_bytes());
        bytes[8..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.stored.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.length.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.records.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.checksum.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.first.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.last.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.dropped.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[..60]);
        bytes[60..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// From disk; `None` when these bytes are no header.
    pub(super) fn from_bytes(bytes: &[u8; HEADER]) -> Option<Self> {
        if bytes[..4] != MAGIC || word(bytes, 60) != crc32fast::hash(&bytes[..60]) {
            return None;
        }
        let header = Self {
            kind: BlockKind::of(u16::from_le_bytes([bytes[4], bytes[5]])),
            compressed: bytes[6] & 1 != 0,
            number: long(bytes, 8),
            stored: word(bytes, 16),
            length: word(bytes, 20),
            records: word(bytes, 24),
            checksum: word(bytes, 28),
            first: long(bytes, 32).min(LATEST.0),
            last: long(bytes, 40).min(LATEST.0),
            dropped: long(bytes, 48),
        };
        (header.length.max(header.stored) as usize <= MOST).then_some(header)
    }
}
