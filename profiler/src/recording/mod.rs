//! The recording: the ring buffer on disk, in compressed and checksummed blocks. The format is that of `docs/format.md`.
//!
//! Valid at every moment: each block stands for itself, so that whatever ends the writing costs at most the block in hand. A file is
//! read with bounded memory, whoever made it, and every damage is told with its position.

mod block;
mod index;
mod limits;
mod preamble;
mod present;
mod reader;
mod recorder;
#[cfg(any(test, feature = "fuzzing"))]
mod repair;
mod ring;
mod writer;

#[cfg(test)]
mod tests;

use whywait_ebpf::abi::{Header, Plain};

pub use block::{BlockHeader, BlockKind};
pub use index::Entry;
pub use limits::{Limits, numbered};
pub use preamble::Preamble;
pub use present::Present;
pub use reader::{Block, Damage, OpenError, ReadError, Recording};
pub use recorder::{Callers, RecordError, Recorder};
#[cfg(any(test, feature = "fuzzing"))]
pub use repair::repaired;
pub use ring::RingPlan;
pub use writer::{WriteError, Writer, Written};

/// Version of the format; raised when an older whywait could not read what is written.
pub const VERSION: u32 = 1;

/// The records of a batch, as far as they are any.
pub fn records(mut batch: &[u8]) -> impl Iterator<Item = (Header, &[u8])> {
    std::iter::from_fn(move || {
        let header = Header::from_bytes(batch)?;
        let length = header.len as usize;
        if length < size_of::<Header>() || length > batch.len() {
            return None;
        }
        let (record, rest) = batch.split_at(length);
        batch = rest;
        Some((header, record))
    })
}
