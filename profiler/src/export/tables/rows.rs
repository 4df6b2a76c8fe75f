//! Rows of the tables.

use whywait_ebpf::{abi::off_cpu, syscalls};

use super::{Value, schema::WallTime};
use crate::{
    clock::{Piece, Request, RequestId, StartedAt, State},
    decode::{End, Event, StackEvent, StackId, Taken, Trace},
    export::{Stretch, WallClock},
    locks::{Lock, Place},
    stacks::{Frame, folded_frames},
    units::{Ns, Tid, rounded},
    window::Usage,
};

type Row<'a> = Vec<Value<'a>>;

/// A moment, by both clocks.
fn at(clock: WallClock, at: Ns) -> [Value<'static>; 2] {
    [Value::Time(WallTime { clock, at }), Value::int(at.0)]
}

pub fn request(clock: WallClock, request: &Request) -> Row<'_> {
    let [start, start_ns] = at(clock, request.start);
    let mut row = vec![
        Value::int(request.id.0),
        request.route.as_deref().map_or(Value::None, Value::text),
        Value::int(request.pid.0),
        Value::maybe(request.threads.first().map(|tid| tid.0)),
        Value::int(request.threads.len()),
        Value::int(request.conn.0),
        Value::int(request.port),
        Value::int(request.peer_port),
        start,
        start_ns,
        Value::int(request.first_read.0),
        Value::int(request.latency()),
    ];
    row.extend(request.times.iter().map(|(_, nanos)| Value::int(nanos)));
    row.extend([
        Value::int(request.received.0),
        Value::int(request.sent.0),
        Value::Bool(request.started_at == StartedAt::Arrival),
        Value::Bool(request.touched_by_loss),
    ]);
    row
}

pub fn state(clock: WallClock, request: &Request, piece: &Piece) -> Row<'static> {
    let [start, start_ns] = at(clock, piece.from);
    vec![
        Value::int(request.id.0),
        start,
        start_ns,
        Value::int(piece.to.since(piece.from)),
        Value::text(piece.state.id()),
        Value::maybe(request.owner_of(piece).map(|tid| tid.0)),
    ]
}

pub fn interval(clock: WallClock, stretch: &Stretch<'_>) -> Row<'static> {
    let [start, start_ns] = at(clock, stretch.from);
    let mut row = vec![
        Value::int(stretch.pid.0),
        Value::int(stretch.tid.0),
        start,
        start_ns,
        Value::int(stretch.to.since(stretch.from)),
        Value::text(stretch.share.map_or("idle", State::id)),
        Value::int(stretch.cpu),
        Value::maybe(stretch.serving.map(|id| id.0)),
    ];
    let Some(interval) = stretch.interval else {
        row.extend([Value::None, Value::None, Value::None, Value::None, Value::None]);
        return row;
    };
    let number = interval.syscall;
    let call =
        (number >= 0).then(|| syscalls::name(number).map_or_else(|| number.to_string().into(), Into::into));
    let waker = |id: u32| Value::maybe((id != 0).then_some(id));
    row.extend([
        call.map_or(Value::None, Value::Text),
        if stretch.share == Some(State::Lock) { hex(interval.args[0]) } else { Value::None },
        waker(interval.waker_pid),
        waker(interval.waker_tid),
        Value::Bool(interval.flags & off_cpu::VOLUNTARY != 0),
    ]);
    row
}

pub fn thread(tid: Tid, usage: &Usage) -> Row<'_> {
    vec![
        Value::int(usage.pid.0),
        Value::int(tid.0),
        Value::text(usage.name.as_str()),
        Value::maybe((usage.start_time != 0).then_some(usage.start_time)),
        Value::int(usage.voluntary),
        Value::int(usage.involuntary),
        Value::int(usage.migrations),
        Value::int(usage.on_cpu),
        Value::int(usage.run_queue),
    ]
}

pub fn lock(lock: &Lock) -> Row<'_> {
    let key = lock.key();
    let (place, address) = match key.place {
        Place::Futex(address) => ("futex", address),
        Place::Semaphores(id) => ("semaphores", id),
        Place::File(descriptor) => ("file", descriptor),
        Place::Latches => ("latches", 0),
    };
    vec![
        Value::maybe(key.pid.map(|pid| pid.0)),
        Value::text(place),
        hex(address),
        Value::text(lock.kind().id()),
        lock.name().map_or(Value::None, |name| Value::text(name.text.as_str())),
        Value::int(lock.waits()),
        Value::int(lock.waited_ns()),
        Value::int(lock.worst_ns()),
        Value::int(rounded(lock.request_ns())),
        Value::int(lock.waiters()),
        Value::int(lock.at_once()),
    ]
}

/// `None` for a stack that has no number: too many were told apart.
pub fn sample(
    clock: WallClock,
    event: &Event,
    stack: &StackEvent,
    serving: Option<RequestId>,
) -> Option<Row<'static>> {
    let [start, start_ns] = at(clock, stack.at);
    Some(vec![
        Value::int(event.pid.0),
        Value::int(event.tid.0),
        start,
        start_ns,
        Value::text(match stack.taken {
            Taken::OffCpu => "off_cpu",
            Taken::Waker => "waker",
            Taken::OnCpu => "on_cpu",
        }),
        Value::int(stack.id?.number()),
        Value::maybe(serving.map(|id| id.0)),
        Value::maybe((stack.other.0 != 0).then_some(stack.other.0)),
    ])
}

pub fn stack(id: StackId, trace: &Trace, frames: &[Frame]) -> Row<'static> {
    vec![
        Value::int(id.number()),
        Value::int(trace.pid.0),
        Value::text(folded_frames(frames)),
        Value::text(match trace.end {
            End::Root => "root",
            End::TooDeep => "too_deep",
            End::Lost => "lost",
        }),
    ]
}

fn hex(address: u64) -> Value<'static> {
    Value::text(format!("{address:#x}"))
}
