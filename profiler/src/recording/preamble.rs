//! What stands at the beginning of a file: what it is, and where it comes from.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};
use whywait_ebpf::abi::ABI_VERSION;

use super::{VERSION, reader::OpenError};
use crate::bytes::word;

/// The first bytes of every recording.
pub const MAGIC: [u8; 8] = *b"WHYWAIT\n";
/// Bytes before the preamble's JSON: magic, version of the format, version of the records' layouts, length, checksum.
pub const FIXED: usize = 8 + 4 * 4;
/// A longer preamble is none.
const MOST: u32 = 1 << 20;

/// Where a recording comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Preamble {
    /// Version of the whywait that wrote it.
    pub whywait: String,
    /// Release of the kernel.
    pub kernel: String,
    /// CPUs of the machine.
    pub cpus: usize,
    /// Start of the recording: nanoseconds since 1970, by the clock on the wall.
    pub began_unix_ns: u64,
    /// The same moment: nanoseconds of `CLOCK_MONOTONIC`, which is the clock of the records.
    pub began_monotonic_ns: u64,
    /// Processes that were named, by the host's numbers.
    pub pids: Vec<u32>,
    /// Name of the first.
    pub command: String,
    /// Ports that they listened on.
    pub ports: Vec<u16>,
    /// The command line that made the recording.
    pub arguments: Vec<String>,
}

impl Preamble {
    /// Writes it; how many bytes that were.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<u64> {
        let json = serde_json::to_vec(self)?;
        let length = u32::try_from(json.len()).ok().filter(|length| *length <= MOST);
        let length = length.ok_or_else(|| io::Error::other("the target's description is too long"))?;
        out.write_all(&MAGIC)?;
        for word in [VERSION, ABI_VERSION, length, crc32fast::hash(&json)] {
            out.write_all(&word.to_le_bytes())?;
        }
        out.write_all(&json)?;
        Ok(FIXED as u64 + u64::from(length))
    }

    /// Reads it; with the number of bytes that it took.
    pub(super) fn read(input: &mut impl Read) -> Result<(Self, u64), OpenError> {
        let mut fixed = [0; FIXED];
        let got = read_up_to(input, &mut fixed)?;
        if got < MAGIC.len() || fixed[..8] != MAGIC {
            return Err(OpenError::NoRecording);
        }
        if got < FIXED {
            return Err(OpenError::Preamble("it ends there"));
        }
        let (version, layouts, length, checksum) =
            (word(&fixed, 8), word(&fixed, 12), word(&fixed, 16), word(&fixed, 20));
        if version == 0 || version > VERSION {
            return Err(OpenError::Version { found: version, known: VERSION });
        }
        if layouts != ABI_VERSION {
            return Err(OpenError::Layouts { found: layouts, known: ABI_VERSION });
        }
        if length > MOST {
            return Err(OpenError::Preamble("its length makes no sense"));
        }
        let mut json = vec![0; length as usize];
        if read_up_to(input, &mut json)? < json.len() {
            return Err(OpenError::Preamble("it ends there"));
        }
        if crc32fast::hash(&json) != checksum {
            return Err(OpenError::Preamble("its checksum is wrong"));
        }
        let preamble =
            serde_json::from_slice(&json).map_err(|_| OpenError::Preamble("it is not what it should be"))?;
        Ok((preamble, FIXED as u64 + u64::from(length)))
    }
}

/// Fills the buffer as far as the input goes.
pub(super) fn read_up_to(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
