//! The recording: the ring buffer on disk, in compressed and checksummed blocks. The format is that of `docs/format.md`.
//!
//! Valid at every moment: each block stands for itself, so that whatever ends the writing costs at most the block in hand. A file is
//! read with bounded memory, whoever made it, and every damage is told with its position.

mod block;
mod index;
mod preamble;
mod reader;
mod writer;

#[cfg(test)]
mod tests;

pub use block::{BlockHeader, BlockKind};
pub use index::Entry;
pub use preamble::Preamble;
pub use reader::{Block, Damage, OpenError, ReadError, Recording};
pub use writer::{WriteError, Writer, Written};

/// Version of the format; raised when an older whywait could not read what is written.
pub const VERSION: u32 = 1;
