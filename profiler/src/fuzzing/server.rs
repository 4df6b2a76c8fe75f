//! Records of a server that could be: a few threads that read, write, wait and wake each other, at times that mostly go on. Bytes alone would seldom make
//! a request.

use whywait_ebpf::{
    abi::{
        Conn, HEAD_LEN, Header, KERNEL_FRAMES, OffCpu, Plain, STACK_BYTES, SockHead, SockOp, SockState,
        Stack, Thread, ThreadEnd, kind,
    },
    syscalls as call,
};

use super::input::Input;
use crate::decode::{End, with_callers};

/// When they begin.
pub const BEGAN: u64 = 1_000_000_000;
/// Records at most.
const MOST: usize = 2_000;

/// System calls that mean something to the clock, and some that do not.
const CALLS: [i32; 14] = [
    -1,
    call::READ,
    call::WRITE,
    call::POLL,
    call::FUTEX,
    call::EPOLL_WAIT,
    call::NANOSLEEP,
    call::ACCEPT4,
    call::WAIT4,
    call::FSYNC,
    call::FLOCK,
    call::SEMOP,
    call::CONNECT,
    999,
];
const HEADS: [&[u8]; 5] = [
    b"GET /a HTTP/1.1\r\n",
    b"POST /b?c=d HTTP/1.1\r\n",
    b"GET /<script>&\"' ",
    b"*1\r\n$4\r\nPING\r\n",
    b"",
];

/// The records that an input makes.
pub fn records_of(bytes: &[u8]) -> Vec<u8> {
    let (mut input, mut maker) = (Input::new(bytes), Maker { now: BEGAN, seq: [0; 8], op: [0; 8] });
    let mut records = Vec::new();
    for _ in 0..MOST {
        if input.is_empty() {
            break;
        }
        records.extend(maker.record(&mut input));
    }
    records
}

struct Maker {
    now: u64,
    seq: [u32; 8],
    op: [u32; 8],
}

impl Maker {
    fn record(&mut self, input: &mut Input<'_>) -> Vec<u8> {
        let choice = input.byte();
        self.now = match choice >> 5 {
            0..=4 => self.now.saturating_add(u64::from(input.byte()) * 1_000),
            5 => self.now.saturating_add(u64::from(input.short()) << 12),
            6 => self.now.saturating_sub(u64::from(input.short()) << 8),
            _ => input.long(),
        };
        let header = self.header(input);
        match choice % 10 {
            0 => bytes_of(&Thread { header: of::<Thread>(header, kind::THREAD), ..self.thread(input) }),
            1 => bytes_of(&ThreadEnd { header: of::<ThreadEnd>(header, kind::THREAD_END) }),
            2 => bytes_of(&Conn { header: of::<Conn>(header, kind::CONN), ..self.conn(input) }),
            3 => bytes_of(&SockState {
                header: of::<SockState>(header, kind::SOCK_STATE),
                conn: id(input),
                old: u32::from(input.byte() % 13),
                new: u32::from(input.byte() % 13),
            }),
            4 => bytes_of(&SockOp { header: of::<SockOp>(header, kind::SOCK_OP), ..self.op(input) }),
            5 | 6 => {
                let mut op = SockOp { header: of::<SockHead>(header, kind::SOCK_HEAD), ..self.op(input) };
                let from = if input.byte() < 200 { input.one(&HEADS) } else { input.bytes(HEAD_LEN) };
                let mut head = [0; HEAD_LEN];
                head[..from.len()].copy_from_slice(from);
                op.head_len = u16::try_from(from.len()).unwrap_or(u16::MAX);
                bytes_of(&SockHead { op, head })
            }
            7 => self.stack(header, input),
            _ => bytes_of(&OffCpu { header: of::<OffCpu>(header, kind::OFF_CPU), ..self.off_cpu(input) }),
        }
    }

    fn header(&mut self, input: &mut Input<'_>) -> Header {
        let choice = input.byte();
        let tid = u32::from(choice % 8);
        let seq = &mut self.seq[tid as usize];
        *seq = if choice < 240 { seq.wrapping_add(1) } else { input.word() };
        let spun = if choice & 0x70 == 0x70 { input.word() } else { 0 };
        Header {
            ts: self.now,
            tid,
            pid: 1 + tid / 4,
            seq: *seq,
            cpu: u16::from(choice >> 7),
            kind: 0,
            len: 0,
            spun,
        }
    }

    /// A moment that is mostly a little earlier.
    fn time(&self, input: &mut Input<'_>) -> u64 {
        match input.byte() {
            0..=31 => 0,
            before @ 32..=223 => self.now.saturating_sub(u64::from(before - 32) * 1_500),
            after @ 224..=247 => self.now.saturating_add(u64::from(after) << 10),
            _ => input.long(),
        }
    }

    fn thread(&self, input: &mut Input<'_>) -> Thread {
        let mut comm = [0; 16];
        let length = usize::from(input.byte() % 17);
        let name = input.bytes(length);
        comm[..name.len()].copy_from_slice(name);
        Thread {
            start_time: self.time(input),
            parent_tid: u32::from(input.byte() % 8),
            parent_pid: u32::from(input.byte() % 4),
            comm,
            how: input.byte() % 5,
            running: input.byte() % 2,
            ..Thread::default()
        }
    }

    fn conn(&self, input: &mut Input<'_>) -> Conn {
        Conn {
            id: id(input),
            sock: 0xffff_0000 + id(input),
            established: self.time(input),
            local_port: input.one(&[0, 80, 8080]),
            remote_port: input.one(&[0, 5432, 50_000]),
            family: input.one(&[2, 10, 1]),
            protocol: input.one(&[6, 17, 0]),
            role: input.byte() % 5,
            ..Conn::default()
        }
    }

    fn op(&mut self, input: &mut Input<'_>) -> SockOp {
        let (conn, choice) = (id(input), input.byte());
        let seq = &mut self.op[usize::try_from(conn % 8).unwrap_or(0)];
        *seq = if choice < 224 { seq.wrapping_add(1) } else { input.word() };
        let conn_seq = *seq;
        SockOp {
            conn,
            entered: self.time(input),
            arrival: self.time(input),
            ret: if choice.is_multiple_of(16) { input.long().cast_signed() } else { i64::from(choice) - 8 },
            conn_seq,
            op: 1 + choice % 6,
            flags: input.byte() & 15,
            ..SockOp::default()
        }
    }

    fn off_cpu(&self, input: &mut Input<'_>) -> OffCpu {
        let left = self.time(input);
        OffCpu {
            left,
            woken: self.time(input),
            queued: self.time(input),
            ran: self.time(input),
            waited: self.time(input),
            args: [
                u64::from(input.byte() % 4) * 4 + 0x1000,
                u64::from(input.byte()),
                u64::from(input.byte()),
            ],
            timeout: input.one(&[-1, 0, 1_000, 1_000_000, i64::MAX]),
            object: 0xffff_0000 + id(input),
            waker_tid: u32::from(input.byte() % 8),
            waker_pid: u32::from(input.byte() % 4),
            waker_syscall: input.one(&CALLS),
            syscall: input.one(&CALLS),
            state: u32::from(input.byte() % 4),
            left_cpu: u16::from(input.byte() % 2),
            flags: input.byte() & 63,
            file: input.byte() % 5,
            taker: input.one(&[0, u32::MAX, 1, 77]),
            ..OffCpu::default()
        }
    }

    fn stack(&self, header: Header, input: &mut Input<'_>) -> Vec<u8> {
        let record = Stack {
            header: of::<Stack>(header, kind::STACK),
            at: self.time(input),
            ip: input.long(),
            sp: 0x7000_0000,
            bp: 0x7000_0010,
            futex: u64::from(input.byte() % 4) * 4 + 0x1000,
            other: u32::from(input.byte() % 8),
            bytes_len: u16::from(input.byte()),
            kernel_len: input.byte() % 4,
            how: input.byte() % 4,
            kernel: [0xffff_ffff_8100_0000; KERNEL_FRAMES],
            bytes: [0; STACK_BYTES],
        };
        let callers: Vec<u64> = (0..input.byte() % 8).map(|_| 0x40_0000 + u64::from(input.byte())).collect();
        let end = input.one(&[End::Root, End::TooDeep, End::Lost]);
        with_callers(record.as_bytes(), &callers, end).unwrap_or_default()
    }
}

/// One of a few connections, or none.
fn id(input: &mut Input<'_>) -> u64 {
    u64::from(input.byte() % 6)
}

/// The header of a record of this layout.
fn of<T>(header: Header, kind: u16) -> Header {
    Header { kind, len: u32::try_from(size_of::<T>()).unwrap_or(0), ..header }
}

fn bytes_of(record: &impl Plain) -> Vec<u8> {
    record.as_bytes().to_vec()
}
