//! One record to one event.

use thiserror::Error;
use whywait_ebpf::abi::{
    Conn, HEAD_LEN, Header, OffCpu, Plain, SockHead, SockOp, SockState, Stack, Thread, ThreadEnd, kind,
};

use super::{
    Routes,
    event::{Event, What},
    stack::StackEvent,
    walked,
};
use crate::units::{Ns, Pid, Tid};

/// A record that cannot be read.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes end before the record does.
    #[error("a record of kind {kind} has {have} bytes where its layout has {need}")]
    Short {
        /// The record's kind; 0 where not even that is there.
        kind: u16,
        /// Bytes that are there.
        have: usize,
        /// Bytes that the layout has.
        need: usize,
    },
    /// It tells of a moment that no machine has come to.
    #[error("a record of kind {kind} tells of a moment that makes no sense: only a damaged file has it")]
    Time {
        /// The record's kind.
        kind: u16,
    },
    /// A later version sends this kind.
    #[error("records of kind {kind} are not known to this version")]
    UnknownKind {
        /// The record's kind.
        kind: u16,
    },
}

/// No moment is later: 18 years after the machine was started. Times beyond would make sums of a few of them too large for 64 bits.
pub const LATEST: Ns = Ns(1 << 59);

/// Reads one record. Routes that it names are looked up in, and added to, `routes`.
///
/// # Errors
/// When the bytes are fewer than the layout of the record's kind, the kind is not known, or a time in it is beyond [`LATEST`].
#[inline]
pub fn decode(bytes: &[u8], routes: &mut Routes) -> Result<Event, DecodeError> {
    let header: Header = read(0, bytes)?;
    let what = match header.kind {
        kind::OFF_CPU => {
            let interval: OffCpu = read(header.kind, bytes)?;
            // Clocks read on two CPUs may differ; none of what follows has to think of an interval that ends before it begins.
            What::OffCpu(OffCpu { left: interval.left.min(header.ts), ..interval })
        }
        kind::SOCK_OP => What::Socket { op: read::<SockOp>(header.kind, bytes)?, route: None },
        kind::SOCK_HEAD => {
            let record: SockHead = read(header.kind, bytes)?;
            let length = usize::from(record.op.head_len).min(HEAD_LEN);
            What::Socket { op: record.op, route: routes.of(&record.head[..length]) }
        }
        kind::CONN => What::Conn(read::<Conn>(header.kind, bytes)?),
        kind::SOCK_STATE => What::SockState(read::<SockState>(header.kind, bytes)?),
        kind::THREAD => What::Thread(read::<Thread>(header.kind, bytes)?),
        kind::THREAD_END => {
            read::<ThreadEnd>(header.kind, bytes)?;
            What::ThreadEnd
        }
        kind::STACK => What::Stack(StackEvent::read(&read::<Stack>(header.kind, bytes)?)),
        walked::KIND => What::Stack(walked::read(&header, bytes)?),
        kind => return Err(DecodeError::UnknownKind { kind }),
    };
    if header.ts > LATEST.0 || latest(&what) > LATEST.0 {
        return Err(DecodeError::Time { kind: header.kind });
    }
    Ok(Event {
        at: Ns(header.ts),
        tid: Tid(header.tid),
        pid: Pid(header.pid),
        seq: header.seq,
        missing: 0,
        cpu: header.cpu,
        spun: header.spun,
        what,
    })
}

/// The latest moment, or longest time, that a record tells of beside its own.
fn latest(what: &What) -> u64 {
    match what {
        What::OffCpu(interval) => {
            interval.left.max(interval.woken).max(interval.queued).max(interval.ran).max(interval.waited)
        }
        What::Socket { op, .. } => op.entered.max(op.arrival),
        What::Conn(conn) => conn.established,
        What::Thread(thread) => thread.start_time,
        What::Stack(stack) => stack.at.0,
        What::SockState(_) | What::ThreadEnd => 0,
    }
}

fn read<T: Plain>(kind: u16, bytes: &[u8]) -> Result<T, DecodeError> {
    T::from_bytes(bytes).ok_or(DecodeError::Short { kind, have: bytes.len(), need: size_of::<T>() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{MadeOf, Taken};
    use proptest::prelude::*;
    use whywait_ebpf::abi::{KERNEL_FRAMES, STACK_BYTES, taken};

    fn header(kind: u16) -> Header {
        Header { ts: 7, tid: 2, pid: 1, seq: 3, cpu: 1, kind, len: 0, spun: 0 }
    }

    #[test]
    fn a_record_keeps_its_fields() {
        let record =
            OffCpu { header: header(kind::OFF_CPU), left: 5, woken: 6, syscall: 202, ..OffCpu::default() };
        let event = decode(record.as_bytes(), &mut Routes::default()).unwrap();
        assert_eq!((event.at, event.tid, event.pid, event.seq, event.cpu), (Ns(7), Tid(2), Pid(1), 3, 1));
        assert_eq!(event.what, What::OffCpu(record));
    }

    #[test]
    fn the_first_bytes_are_no_more_than_were_read() {
        let op = SockOp { header: header(kind::SOCK_HEAD), head_len: 6, ..SockOp::default() };
        let mut head = [0; HEAD_LEN];
        head[..8].copy_from_slice(b"GET /x/y");
        let event = decode(SockHead { op, head }.as_bytes(), &mut Routes::default()).unwrap();
        assert!(matches!(event.what, What::Socket { route: Some(route), .. } if &*route == "GET /x"));
    }

    #[test]
    fn a_length_beyond_the_room_is_cut() {
        let op = SockOp { header: header(kind::SOCK_HEAD), head_len: u16::MAX, ..SockOp::default() };
        let mut head = [b'x'; HEAD_LEN];
        head[..5].copy_from_slice(b"GET /");
        let event = decode(SockHead { op, head }.as_bytes(), &mut Routes::default()).unwrap();
        assert!(matches!(event.what, What::Socket { route: Some(route), .. } if route.len() == HEAD_LEN));
    }

    /// Lengths beyond their room, which only a damaged record has, are cut.
    #[test]
    fn a_stack_keeps_what_was_read_of_it() {
        let record = Stack {
            header: header(kind::STACK),
            at: 5,
            ip: 1,
            sp: 2,
            bp: 3,
            futex: 9,
            other: 4,
            bytes_len: 16,
            kernel_len: u8::MAX,
            how: taken::WAKER,
            kernel: [7; KERNEL_FRAMES],
            bytes: [8; STACK_BYTES],
        };
        let event = decode(record.as_bytes(), &mut Routes::default()).unwrap();
        let What::Stack(stack) = event.what else { panic!("{:?}", event.what) };
        assert_eq!((stack.taken, stack.at, stack.other, stack.futex), (Taken::Waker, Ns(5), Tid(4), 9));
        let Some(MadeOf::Copy(raw)) = stack.made_of else { panic!("{:?}", stack.made_of) };
        assert_eq!(raw.registers, [1, 2, 3]);
        assert_eq!((raw.kernel.len(), raw.bytes), (KERNEL_FRAMES, vec![8; 16]));
    }

    /// Whatever time it is, one that no machine has come to is no time.
    #[test]
    fn a_moment_that_makes_no_sense_is_an_error() {
        let with = |ts, left, waited| {
            let header = Header { ts, ..header(kind::OFF_CPU) };
            decode(OffCpu { header, left, waited, ..OffCpu::default() }.as_bytes(), &mut Routes::default())
        };
        assert!(with(LATEST.0, LATEST.0, LATEST.0).is_ok());
        for (ts, left, waited) in [(LATEST.0 + 1, 0, 0), (9, 5, LATEST.0 + 1)] {
            assert_eq!(with(ts, left, waited), Err(DecodeError::Time { kind: kind::OFF_CPU }));
        }
        let event = with(9, 11, 0).unwrap();
        assert!(
            matches!(event.what, What::OffCpu(interval) if interval.left == 9),
            "it ends before it begins"
        );
    }

    #[test]
    fn an_unknown_kind_is_an_error_of_its_own() {
        let record = ThreadEnd { header: header(900) };
        assert_eq!(
            decode(record.as_bytes(), &mut Routes::default()),
            Err(DecodeError::UnknownKind { kind: 900 })
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _result = decode(&bytes, &mut Routes::default());
        }

        #[test]
        fn no_stack_makes_it_panic(seed in any::<[u8; 32]>(), cut in 0..=size_of::<Stack>()) {
            let mut bytes: Vec<u8> = seed.iter().copied().cycle().take(cut).collect();
            if let Some(place) = bytes.get_mut(22..24) {
                place.copy_from_slice(&kind::STACK.to_le_bytes());
            }
            let result = decode(&bytes, &mut Routes::default());
            prop_assert_eq!(result.is_ok(), cut == size_of::<Stack>());
        }

        #[test]
        fn a_record_cut_short_is_an_error(kind in 1..kind::COUNT, cut in 0_usize..32) {
            let mut bytes = ThreadEnd { header: header(kind) }.as_bytes().to_vec();
            bytes.truncate(cut);
            let short = matches!(decode(&bytes, &mut Routes::default()), Err(DecodeError::Short { .. }));
            prop_assert!(short);
        }
    }
}
