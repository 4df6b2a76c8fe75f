//! What the page's script draws.

use serde::Serialize;

use super::{
    course::{Column, Course, GROUPING, Sum},
    flame::Flames,
};
use crate::{
    clock::{Request, StartedAt, State},
    observe::Observation,
    report::explanation::Explanation,
    units::{Ns, Tid},
    window::lower,
};

/// A state, for people.
#[derive(Debug, Serialize)]
struct StateName {
    id: &'static str,
    words: &'static str,
}

/// Requests over time and by latency.
#[derive(Debug, Serialize)]
struct Times<'a> {
    /// Microseconds of a column.
    width_us: u64,
    columns: &'a [Column],
    /// Requests by row of latency.
    rows: &'a [Sum],
    /// Microseconds at which each row begins, and one more.
    begins_us: Vec<u64>,
}

/// A request, state by state.
#[derive(Debug, Serialize)]
struct Slow {
    route: Option<String>,
    /// Microseconds after the run's beginning.
    at_us: u64,
    latency_us: f64,
    pid: u32,
    port: u16,
    received: u64,
    sent: u64,
    /// Beginning and end in microseconds after the request's, place of the state, thread that owned it or 0.
    path: Vec<(f64, f64, usize, u32)>,
    threads: Vec<u32>,
    arrival_known: bool,
    touched_by_loss: bool,
}

impl Slow {
    fn new(request: &Request, begin: Ns) -> Self {
        let micros = |at: Ns| at.since(request.start) as f64 / 1e3;
        let owner = |ownership: u32| {
            let place = usize::try_from(ownership).ok()?.checked_sub(1)?;
            request.owners.get(place).copied()
        };
        let path = request.path.iter();
        Self {
            route: request.route.as_ref().map(ToString::to_string),
            at_us: request.start.since(begin) / 1_000,
            latency_us: request.latency() as f64 / 1e3,
            pid: request.pid.0,
            port: request.port,
            received: request.received.0,
            sent: request.sent.0,
            path: path
                .map(|piece| {
                    let Tid(tid) = owner(piece.ownership).unwrap_or(Tid(0));
                    (micros(piece.from), micros(piece.to), piece.state as usize, tid)
                })
                .collect(),
            threads: request.threads.iter().map(|tid| tid.0).collect(),
            arrival_known: request.started_at == StartedAt::Arrival,
            touched_by_loss: request.touched_by_loss,
        }
    }
}

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Data<'a> {
    explanation: &'a Explanation,
    states: Vec<StateName>,
    times: Times<'a>,
    slowest: Vec<Slow>,
    flames: Flames,
}

impl<'a> Data<'a> {
    /// What a page tells of a run.
    pub fn new(explanation: &'a Explanation, observation: &Observation, course: &'a Course) -> Self {
        let rows = u32::try_from(course.rows().len()).unwrap_or(u32::MAX);
        Self {
            explanation,
            states: State::ALL.map(|state| StateName { id: state.id(), words: state.words() }).into(),
            times: Times {
                width_us: course.width() / 1_000,
                columns: course.columns(),
                rows: course.rows(),
                begins_us: (0..=rows).map(|row| lower(row, GROUPING)).collect(),
            },
            slowest: course.slowest().iter().map(|request| Slow::new(request, course.begin())).collect(),
            flames: Flames::new(&observation.stacks.states),
        }
    }
}
