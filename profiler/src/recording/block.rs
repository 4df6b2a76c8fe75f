//! The header of a block.

/// Bytes of a header.
pub const HEADER: usize = 64;
/// First bytes of every header.
pub const MAGIC: [u8; 4] = *b"WWB1";
/// Bytes of a block's content before compression, at most: what a reader must be ready to hold.
pub const MOST: usize = 4 << 20;
/// Bytes of a compressed content, at most: what does not become smaller is stored as it is.
const MOST_STORED: usize = MOST;

/// What is in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockKind {
    /// Records, one after the other, as the kernel sent them.
    Records,
    /// What was read outside the ring, as JSON; the newest counts.
    Facts,
    /// The index of all other blocks; the last block.
    Index,
    /// Of a newer whywait; skipped.
    Unknown(u16),
}

impl BlockKind {
    fn number(self) -> u16 {
        match self {
            Self::Records => 1,
            Self::Facts => 2,
            Self::Index => 3,
            Self::Unknown(number) => number,
        }
    }

    pub(super) fn of(number: u16) -> Self {
        match number {
            1 => Self::Records,
            2 => Self::Facts,
            3 => Self::Index,
            number => Self::Unknown(number),
        }
    }

    pub(super) fn bits(self) -> u16 {
        self.number()
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
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        if bytes[..4] != MAGIC || word(60) != crc32fast::hash(&bytes[..60]) {
            return None;
        }
        let header = Self {
            kind: BlockKind::of(u16::from_le_bytes([bytes[4], bytes[5]])),
            compressed: bytes[6] & 1 != 0,
            number: long(8),
            stored: word(16),
            length: word(20),
            records: word(24),
            checksum: word(28),
            first: long(32),
            last: long(40),
            dropped: long(48),
        };
        (header.length as usize <= MOST && header.stored as usize <= MOST_STORED).then_some(header)
    }
}
