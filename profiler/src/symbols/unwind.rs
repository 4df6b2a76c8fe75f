//! From a copy of a stack to the callers in it: by call-frame information, and where there is none by frame pointers.

use std::cell::Cell;

use framehop::{
    Unwinder,
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
    let beyond = Cell::new(false);
    let mut read = |address: u64| {
        let begin = address.checked_sub(sp).and_then(|begin| usize::try_from(begin).ok()).ok_or(())?;
        let word = begin.checked_add(8).and_then(|end| raw.bytes.get(begin..end));
        if word.is_none() && (end_of_copy..sp.saturating_add(MOST_STACK)).contains(&address) {
            beyond.set(true);
        }
        word.and_then(|word| word.try_into().ok()).map(u64::from_le_bytes).ok_or(())
    };
    let mut frames = Vec::new();
    let mut walk = callers.iter_frames(ip, UnwindRegsX86_64::new(ip, sp, bp), cache, &mut read);
    loop {
        let next = walk.next();
        // The unwinder goes on with a frame pointer where it could not read; what that finds is a guess.
        if beyond.get() || frames.len() == MOST {
            return (frames, End::TooDeep);
        }
        match next {
            // What is not code cannot have been called, nor call.
            Ok(Some(frame)) if mappings.at(frame.address_for_lookup()).is_none() => {
                return (frames, End::Lost);
            }
            Ok(Some(frame)) => frames.push(frame.address()),
            Ok(None) => return (frames, End::Root),
            Err(_) => return (frames, End::Lost),
        }
    }
}

/// Stacks are no larger than this (`ulimit -s` is 8 MiB where nobody sets it); what points farther is no frame.
const MOST_STACK: u64 = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Pid;

    /// A chain of two frame pointers in the copy, in code without call-frame information: this test's own, as far as the unwinder is told.
    #[test]
    fn frame_pointers_are_followed_as_far_as_the_copy_goes() {
        let mappings = Mappings::of(Pid(std::process::id())).unwrap();
        let code = frame_pointers_are_followed_as_far_as_the_copy_goes as fn() as usize as u64;
        let (sp, outside) = (0x7000_0000, 0x7000_0800);
        let words: [u64; 4] = [sp + 16, code + 8, outside, code + 16];
        let bytes = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let raw = RawStack { registers: [code, sp, sp], kernel: Vec::new(), bytes };
        let (frames, end) = unwind(&Callers::new(), &mut Cache::new(), &mappings, &raw);
        assert_eq!(end, End::TooDeep);
        assert_eq!(frames, [code, code + 8, code + 16]);
    }

    #[test]
    fn an_address_that_is_no_code_ends_the_stack() {
        let mappings = Mappings::of(Pid(std::process::id())).unwrap();
        let code = an_address_that_is_no_code_ends_the_stack as fn() as usize as u64;
        let sp = 0x7000_0000;
        let bytes = [sp + 16, 1_u64].iter().flat_map(|word| word.to_le_bytes()).collect();
        let raw = RawStack { registers: [code, sp, sp], kernel: Vec::new(), bytes };
        let found = unwind(&Callers::new(), &mut Cache::new(), &mappings, &raw);
        assert_eq!(found, (vec![code], End::Lost));
    }
}
