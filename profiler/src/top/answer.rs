//! The answer in words: why requests wait, in the span that is looked at.

use super::view::View;
use crate::{
    clock::{State, StateTimes},
    live::{Group, LockCell, Side, Status},
    report::{Breakdown, causes},
    units::{fmt_count, fmt_percent, fmt_us, rounded},
};

/// A state is explained when it takes this share of the time.
const MUCH: f64 = 0.25;

/// The answer, and what it rests on, in a few sentences.
pub fn answer(view: &View) -> String {
    let span = &view.span;
    let snapshot = view.snapshot;
    let words = view.numbers_words();
    let open = match (snapshot.in_flight, snapshot.oldest) {
        (0, _) | (_, None) => String::new(),
        (count, Some(oldest)) => {
            let are = if count == 1 {
                "1 is open".to_owned()
            } else {
                format!("{} are open, the oldest", fmt_count(count as u64))
            };
            format!(" {are} for {}.", fmt_us(oldest as f64 / 1e3))
        }
    };
    if span.sums.requests.count == 0 {
        return match snapshot.status {
            Status::Attaching => "Attaching…".to_owned(),
            Status::Ended => "The server has ended.".to_owned(),
            Status::Waiting { .. } => "The server has ended; waiting for it to come back.".to_owned(),
            Status::Watching => format!("No request was answered in the {words}.{open}"),
        };
    }
    let mean = span.sums.requests.total as f64 / span.sums.requests.count as f64 / 1e3;
    let mut sentences = vec![format!(
        "A request takes {}, of which {}.",
        fmt_us(mean),
        causes(&breakdown(&span.sums.requests))
    )];
    let slow = if span.sums.slow.count > 0 { &span.sums.slow } else { &span.sums.requests };
    if span.sums.slow.count > 0 {
        let took = slow.total as f64 / slow.count as f64 / 1e3;
        sentences.push(format!("The slowest take {}, of which {}.", fmt_us(took), causes(&breakdown(slow))));
    }
    for (state, share) in largest(slow).into_iter().chain(largest(&span.sums.requests)).take(1) {
        if let Some(why) = evidence(view, state, share) {
            sentences.push(why);
        }
    }
    // An open request is news only when it is older than any answered one.
    if snapshot.oldest.is_some_and(|oldest| oldest > span.sums.requests.max.max(1_000_000_000)) {
        sentences.push(open.trim_start().to_owned());
    }
    sentences.join(" ")
}

/// Mean times by state, as reports have them.
fn breakdown(group: &Group) -> Breakdown {
    let each = |nanos: u64| nanos as f64 / group.count.max(1) as f64 / 1e3;
    Breakdown(group.times.iter().map(|(state, nanos)| (state, each(nanos))).collect())
}

/// The largest state, if it is large.
fn largest(group: &Group) -> Option<(State, f64)> {
    let (state, share) = ranked(&group.times).into_iter().next()?;
    (share >= MUCH).then_some((state, share))
}

/// States by their share of the time, most first; those without any are left out.
pub fn ranked(times: &StateTimes) -> Vec<(State, f64)> {
    let total = times.total().max(1) as f64;
    let mut ranked: Vec<(State, f64)> = times
        .iter()
        .filter(|(_, nanos)| *nanos > 0)
        .map(|(state, nanos)| (state, nanos as f64 / total))
        .collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    ranked
}

/// The two largest states, in ids.
pub fn mostly(times: &StateTimes) -> String {
    let parts = ranked(times).into_iter().take(2).filter(|(_, share)| *share >= 0.01);
    parts
        .map(|(state, share)| format!("{} {}", state.id(), fmt_percent(share)))
        .collect::<Vec<_>>()
        .join(", ")
}

/// What is known about a state that takes much of the time.
fn evidence(view: &View, state: State, _share: f64) -> Option<String> {
    let span = &view.span;
    match state {
        State::Lock => {
            let is_told = |lock: &&LockCell| lock.place.kernel.is_none() && lock.place.pid.0 != 0;
            let own = || span.sums.locks.iter().filter(|lock| lock.place.kernel.is_none());
            let lock = own().find(is_told)?;
            let waited: u64 = own().map(|lock| lock.waits.total).sum();
            let share = fmt_percent(lock.waits.total as f64 / waited.max(1) as f64);
            Some(format!(
                "One lock ({:#x}) makes {share} of these waits, with up to {} threads in line.",
                lock.place.address, lock.at_once
            ))
        }
        State::Downstream => {
            let called = |place: u16| {
                let peer = view.snapshot.peers.get(usize::from(place));
                peer.filter(|peer| peer.side == Side::Called)
            };
            let (peer, cell) = span.sums.peers.iter().find_map(|cell| Some((called(cell.peer)?, cell)))?;
            let mean = cell.exchanges.total as f64 / cell.exchanges.count.max(1) as f64 / 1e3;
            Some(format!("{} answers in {} in the mean.", peer.name, fmt_us(mean)))
        }
        State::RunQueue => {
            let cpus = span.on_cpus();
            let own = span.sums.switches.involuntary;
            Some(format!(
                "Its threads ran on {cpus:.2} CPUs in the mean and lost the CPU {} times a second: \
                 {} has too little CPU.",
                fmt_count(rounded(span.per_second(own))),
                if cpus < 0.7 { "another process takes it, or it" } else { "it" },
            ))
        }
        State::RecvQueue | State::AcceptQueue | State::AppQueue => {
            let kept = view.numbers().iter().flat_map(|bucket| &bucket.slowest);
            let mut behind: Vec<(&str, u64)> = Vec::new();
            for ahead in kept.filter_map(|kept| kept.ahead.first()) {
                let route = ahead.route.as_deref().unwrap_or("another request");
                match behind.iter_mut().find(|(name, _)| *name == route) {
                    Some((_, count)) => *count += 1,
                    None => behind.push((route, 1)),
                }
            }
            let (route, _) = behind.into_iter().max_by_key(|(_, count)| *count)?;
            Some(format!("The thread that would take the slow ones is busy with {route} meanwhile."))
        }
        _ => None,
    }
}
