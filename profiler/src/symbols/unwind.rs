//! From a copy of a stack to the callers in it: by call-frame information, and where there is none by frame pointers.

use framehop::{
    Error, FrameAddress, Unwinder,
    x86_64::{CacheX86_64, UnwindRegsX86_64, UnwinderX86_64},
};

use super::{image::Bytes, mappings::Mappings};
use crate::decode::{End, RawStack};

/// Frames that are looked for.
const MOST: usize = 256;

/// Finds callers in the stacks of one process.
pub type Callers = UnwinderX86_64<Bytes>;
/// What is kept of what was found out, for all processes.
pub type Cache = CacheX86_64;

/// Addresses of a stack, innermost first, and how it ends.
pub fn unwind(callers: &Callers, cache: &mut Cache, mappings: &Mappings, raw: &RawStack) -> (Vec<u64>, End) {
    let [ip, sp, bp] = raw.registers;
    let end_of_copy = sp.saturating_add(raw.bytes.len() as u64);
    let mut beyond = false;
    let mut read = |address: u64| {
        let begin = address.checked_sub(sp).and_then(|begin| usize::try_from(begin).ok()).ok_or(())?;
        let word = begin.checked_add(8).and_then(|end| raw.bytes.get(begin..end));
        beyond |= word.is_none() && address >= end_of_copy && address - sp < MOST_STACK;
        word.and_then(|word| word.try_into().ok()).map(u64::from_le_bytes).ok_or(())
    };
    let mut frames = Vec::new();
    let mut walk = callers.iter_frames(ip, UnwindRegsX86_64::new(ip, sp, bp), cache, &mut read);
    let end = loop {
        match walk.next() {
            Ok(Some(frame)) => {
                // What is not code cannot have been called, nor call.
                if mappings.at(frame.address_for_lookup()).is_none() {
                    break End::Lost;
                }
                frames.push(match frame {
                    FrameAddress::InstructionPointer(address) => address,
                    FrameAddress::ReturnAddress(address) => address.get(),
                });
                if frames.len() == MOST {
                    break End::TooDeep;
                }
            }
            Ok(None) => break End::Root,
            Err(Error::CouldNotReadStack(_)) => break End::TooDeep,
            Err(_) => break End::Lost,
        }
    };
    let end = match end {
        // What could not be read may lie beyond the copy, or be no stack at all.
        End::TooDeep if frames.len() < MOST && !beyond => End::Lost,
        end => end,
    };
    (frames, end)
}

/// Stacks are no larger than this (`ulimit -s` is 8 MiB where nobody sets it); what points farther is no frame.
const MOST_STACK: u64 = 8 << 20;
