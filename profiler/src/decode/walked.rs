//! A stack whose callers have been found, as a record of its own: what a recording holds in the place of the copy that the kernel sent, of which
//! it is a hundredth, and which nobody could walk once the process is gone.
//!
//! ```text
//! header (32) │ at (8) │ futex (8) │ other (4) │ how (1) │ end (1) │ frames of the kernel (2) │ frames of the program (4) │ 0 (4) │ addresses (8 each)
//! ```

use whywait_ebpf::abi::{Header, Plain, Stack, kind};

use super::{
    parse::DecodeError,
    stack::{End, MadeOf, StackEvent, Taken, Trace},
};
use crate::{
    bytes::{long, word},
    units::{Ns, Pid, Tid},
};

/// The kind of such a record; the kernel sends none.
pub const KIND: u16 = 0x100;
/// Bytes before the addresses.
const FIXED: usize = size_of::<Header>() + 32;
/// Frames that are read at most; the kernel's and the unwinder's limits are far below.
const MOST: usize = 4096;

/// The record with the callers of a stack in it, as the unwinder found them; `None` when the bytes are no stack's record.
pub fn with_callers(record: &[u8], callers: &[u64], end: End) -> Option<Vec<u8>> {
    let stack = Stack::from_bytes(record).filter(|stack| stack.header.kind == kind::STACK)?;
    let kernel = &stack.kernel[..usize::from(stack.kernel_len).min(stack.kernel.len())];
    let length = FIXED + 8 * (kernel.len() + callers.len());
    let header = Header { kind: KIND, len: u32::try_from(length).ok()?, ..stack.header };
    let end: u8 = match end {
        End::Root => 0,
        End::TooDeep => 1,
        End::Lost => 2,
    };
    let mut bytes = Vec::with_capacity(length);
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend(stack.at.to_le_bytes());
    bytes.extend(stack.futex.to_le_bytes());
    bytes.extend(stack.other.to_le_bytes());
    bytes.extend([stack.how, end]);
    bytes.extend(u16::try_from(kernel.len()).ok()?.to_le_bytes());
    bytes.extend(u32::try_from(callers.len()).ok()?.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(kernel.iter().chain(callers).flat_map(|address| address.to_le_bytes()));
    Some(bytes)
}

/// Reads such a record.
pub(super) fn read(header: &Header, bytes: &[u8]) -> Result<StackEvent, DecodeError> {
    let short = |need| DecodeError::Short { kind: KIND, have: bytes.len(), need };
    let fixed = bytes.get(size_of::<Header>()..FIXED).ok_or(short(FIXED))?;
    let (kernel, user) = (usize::from(u16::from_le_bytes([fixed[22], fixed[23]])), word(fixed, 24) as usize);
    let need = FIXED + 8 * (kernel + user.min(MOST));
    let addresses = bytes.get(FIXED..need).filter(|_| user <= MOST).ok_or(short(need))?;
    let mut addresses = addresses.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes));
    let trace = Trace {
        pid: Pid(header.pid),
        kernel: addresses.by_ref().take(kernel).collect(),
        user: addresses.collect(),
        end: match fixed[21] {
            0 => End::Root,
            1 => End::TooDeep,
            _ => End::Lost,
        },
    };
    Ok(StackEvent {
        taken: Taken::of(fixed[20]),
        at: Ns(long(fixed, 0)),
        futex: long(fixed, 8),
        other: Tid(word(fixed, 16)),
        id: None,
        made_of: Some(MadeOf::Callers(Box::new(trace))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Event, RawStack, Routes, Traces, Unwind, What, decode};
    use proptest::prelude::*;
    use whywait_ebpf::abi::{KERNEL_FRAMES, STACK_BYTES, taken};

    /// Finds these.
    struct Finds(Vec<u64>, End);

    impl Unwind for Finds {
        fn unwind(&mut self, _: Pid, _: &RawStack) -> (Vec<u64>, End) {
            (self.0.clone(), self.1)
        }
    }

    fn record(kernel_len: u8) -> Stack {
        Stack {
            header: Header { ts: 7, tid: 2, pid: 1, seq: 3, cpu: 1, kind: kind::STACK, len: 0, spun: 4 },
            at: 5,
            ip: 1,
            sp: 2,
            bp: 3,
            futex: 9,
            other: 4,
            bytes_len: 16,
            kernel_len,
            how: taken::WAKER,
            kernel: [7; KERNEL_FRAMES],
            bytes: [8; STACK_BYTES],
        }
    }

    fn numbered(bytes: &[u8], unwind: &mut dyn Unwind) -> (Event, Trace) {
        let (mut traces, mut event) = (Traces::default(), decode(bytes, &mut Routes::default()).unwrap());
        traces.number(&mut event, unwind);
        let What::Stack(StackEvent { id: Some(id), .. }) = &event.what else { panic!("{event:?}") };
        let trace = traces.get(*id).clone();
        (event, trace)
    }

    proptest! {
        #[test]
        fn a_stack_is_the_same_whether_it_is_walked_now_or_was_before(
            callers in proptest::collection::vec(any::<u64>(), 0..300), kernel_len in any::<u8>(), end in 0..3
        ) {
            let end = [End::Root, End::TooDeep, End::Lost][usize::try_from(end).unwrap()];
            let record = record(kernel_len);
            let walked = with_callers(record.as_bytes(), &callers, end).unwrap();
            let live = numbered(record.as_bytes(), &mut Finds(callers, end));
            prop_assert_eq!(numbered(&walked, &mut ()), live);
            prop_assert_eq!(Header::from_bytes(&walked).unwrap().len as usize, walked.len());
            for cut in 0..walked.len() {
                prop_assert!(decode(&walked[..cut], &mut Routes::default()).is_err());
            }
        }
    }
}
