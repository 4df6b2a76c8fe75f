//! Which tables there are, and their columns.

use std::borrow::Cow;

use crate::{clock::State, units::Ns};

/// A table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Table {
    /// A row for each finished request.
    Requests,
    /// A row for each stretch of a request's time in one state.
    States,
    /// A row for each stretch of a thread's time.
    Intervals,
    /// A row for each thread.
    Threads,
    /// A row for each lock that requests waited for.
    Locks,
    /// A row for each stack that was taken.
    Samples,
    /// A row for each stack that is another one.
    Stacks,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole number.
    Int,
    /// Text.
    Text,
    /// A moment.
    Time,
    /// Yes or no.
    Bool,
}

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name, which ends with the unit.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether a row may have nothing there.
    pub optional: bool,
}

/// A cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Nothing.
    None,
    /// A whole number.
    Int(i64),
    /// Text.
    Text(Cow<'a, str>),
    /// A moment: nanoseconds since 1970, and the same as text.
    Time(WallTime),
    /// Yes or no.
    Bool(bool),
}

/// A moment of the clock on the wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallTime {
    /// The clock that tells it.
    pub clock: super::WallClock,
    /// The moment, by the clock of the records.
    pub at: Ns,
}

impl<'a> Value<'a> {
    /// A number; one that is larger than a signed one can be becomes the largest.
    pub fn int(value: impl TryInto<i64>) -> Self {
        Value::Int(value.try_into().unwrap_or(i64::MAX))
    }

    /// A number, if there is one.
    pub fn maybe(value: Option<impl TryInto<i64>>) -> Self {
        value.map_or(Value::None, Value::int)
    }

    /// Text.
    pub fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Value::Text(text.into())
    }
}

const fn column(name: &'static str, kind: Kind, optional: bool) -> Column {
    Column { name, kind, optional }
}

const fn int(name: &'static str) -> Column {
    column(name, Kind::Int, false)
}

const fn maybe(name: &'static str) -> Column {
    column(name, Kind::Int, true)
}

const fn text(name: &'static str) -> Column {
    column(name, Kind::Text, false)
}

const START: Column = column("start", Kind::Time, false);
const START_NS: Column = int("start_ns");
const DURATION_NS: Column = int("duration_ns");

/// Columns of requests before and after their times by state.
const REQUEST: [Column; 12] = [
    int("request"),
    column("route", Kind::Text, true),
    int("process"),
    maybe("thread"),
    int("threads"),
    int("connection"),
    int("port"),
    int("peer_port"),
    START,
    START_NS,
    int("first_read_ns"),
    int("latency_ns"),
];
const STATES: [Column; State::COUNT] = [
    int("accept_queue_ns"),
    int("recv_queue_ns"),
    int("app_queue_ns"),
    int("on_cpu_ns"),
    int("run_queue_ns"),
    int("lock_ns"),
    int("kernel_lock_ns"),
    int("disk_ns"),
    int("page_fault_ns"),
    int("downstream_ns"),
    int("child_ns"),
    int("sleep_ns"),
    int("send_ns"),
    int("other_ns"),
];
const REQUEST_END: [Column; 4] = [
    int("received_bytes"),
    int("sent_bytes"),
    column("arrival_known", Kind::Bool, false),
    column("touched_by_loss", Kind::Bool, false),
];
const REQUESTS: [Column; REQUEST.len() + STATES.len() + REQUEST_END.len()] = {
    let mut all = [START; REQUEST.len() + STATES.len() + REQUEST_END.len()];
    let mut at = 0;
    while at < all.len() {
        all[at] = if at < REQUEST.len() {
            REQUEST[at]
        } else if at < REQUEST.len() + STATES.len() {
            STATES[at - REQUEST.len()]
        } else {
            REQUEST_END[at - REQUEST.len() - STATES.len()]
        };
        at += 1;
    }
    all
};
const REQUEST_STATES: [Column; 6] =
    [int("request"), START, START_NS, DURATION_NS, text("state"), maybe("thread")];
const INTERVALS: [Column; 13] = [
    int("process"),
    int("thread"),
    START,
    START_NS,
    DURATION_NS,
    text("state"),
    int("cpu"),
    maybe("request"),
    column("system_call", Kind::Text, true),
    column("address", Kind::Text, true),
    maybe("waker_process"),
    maybe("waker_thread"),
    column("voluntary", Kind::Bool, true),
];
const THREADS: [Column; 9] = [
    int("process"),
    int("thread"),
    text("name"),
    maybe("created_ns"),
    int("voluntary_switches"),
    int("involuntary_switches"),
    int("migrations"),
    int("on_cpu_ns"),
    int("run_queue_ns"),
];
const LOCKS: [Column; 11] = [
    maybe("process"),
    text("place"),
    text("address"),
    text("kind"),
    column("name", Kind::Text, true),
    int("waits"),
    int("waited_ns"),
    int("longest_ns"),
    int("request_ns"),
    int("threads"),
    int("most_at_once"),
];
const SAMPLES: [Column; 8] = [
    int("process"),
    int("thread"),
    START,
    START_NS,
    text("taken"),
    int("stack"),
    maybe("request"),
    maybe("woken_thread"),
];
const STACKS: [Column; 4] = [int("stack"), int("process"), text("frames"), text("end")];

impl Table {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Requests,
        Self::States,
        Self::Intervals,
        Self::Threads,
        Self::Locks,
        Self::Samples,
        Self::Stacks,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::States => "states",
            Self::Intervals => "intervals",
            Self::Threads => "threads",
            Self::Locks => "locks",
            Self::Samples => "samples",
            Self::Stacks => "stacks",
        }
    }

    /// Its columns.
    pub fn columns(self) -> &'static [Column] {
        match self {
            Self::Requests => &REQUESTS,
            Self::States => &REQUEST_STATES,
            Self::Intervals => &INTERVALS,
            Self::Threads => &THREADS,
            Self::Locks => &LOCKS,
            Self::Samples => &SAMPLES,
            Self::Stacks => &STACKS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The columns of the states are those of the contract, in its order.
    #[test]
    fn states_have_their_columns() {
        for (state, column) in State::ALL.into_iter().zip(STATES) {
            assert_eq!(column.name, format!("{}_ns", state.id()));
        }
    }
}
