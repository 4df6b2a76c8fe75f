//! `event_loop_blocked`: a request waits to be read because the loop that will read it is kept by another one.
//!
//! The requests that keep the loop are among the slow ones themselves. Where others suffer from them, their own time on the loop is explained as
//! well: off the loop it would harm nobody.
//!
//! Told from a loop that simply has much to do by how long one thing keeps it without a look at the others (`gather::BLOCKS`).

use super::{Draft, Facts, Id, Queues, State, evidence, words::share};
use crate::{
    explain::facts::Blocker,
    units::{fmt_count, fmt_percent, fmt_us},
};

/// Microseconds of a slow request below which it does not matter.
const LEAST_US: f64 = 2_000.0;
/// Share of the other requests' time that they wait behind those that keep the loop, from which on that is what is wrong with these.
const VICTIMS: f64 = 0.2;

pub(super) fn rule(facts: &Facts, queues: &Queues) -> Option<Draft> {
    let waits = queues.blocked;
    let own = if waits > 0.0 && facts.victims >= VICTIMS { facts.keeps_us } else { 0.0 };
    let slow_us = waits + own;
    if slow_us < LEAST_US {
        return None;
    }
    let worst = facts.blockers.first()?;
    let all_queued = facts.all.queued();
    let doing = worst.times.mostly();
    let (does, advice) = match doing {
        Some((State::OnCpu, _)) => (
            "computes",
            "Take the computing off the loop (a worker thread or process), or cut it into pieces",
        ),
        Some((State::Sleep, _)) => ("sleeps", "Use the loop's own timers instead of a call that blocks"),
        Some((State::Downstream, _)) => (
            "waits for another service",
            "Use a client that does not block for the call to the other service",
        ),
        Some((State::Disk, _)) => ("waits for the disk", "Read and write files outside the loop"),
        Some((State::Lock, _)) => ("waits for a lock", "Never wait for a lock on the loop"),
        _ => ("keeps it", "Find out what keeps the loop"),
    };
    let share_of =
        doing.map(|(_, share)| format!(" for {} of its time", fmt_percent(share))).unwrap_or_default();
    let doing = if worst.nobodys { String::new() } else { format!(", which {does}{share_of}") };
    Some(Draft {
        id: Id::EventLoopBlocked,
        slow_us,
        all_us: if facts.slow.queued() > 0.0 {
            all_queued * (waits / facts.slow.queued()).min(1.0)
        } else {
            0.0
        },
        certainty: if worst.route.is_some() { 0.9 } else { 0.8 },
        summary: format!(
            "{} is {} {} on the same event loop{doing}; it keeps the loop for {} in the mean and {} at most, {} times.",
            share(facts, slow_us),
            if own > waits { "being, or waiting behind," } else { "waiting behind" },
            name(worst),
            fmt_us(worst.mean_us),
            fmt_us(worst.worst_us),
            fmt_count(worst.holds)
        ),
        evidence: evidence! {
            "waits_behind_us" => waits,
            "keeps_loop_us" => own,
            "share_of_others_time" => facts.victims,
            "loops" => facts.loops,
            "loop_busy" => facts.loop_busy,
            "blocked_by" => facts.blockers.iter().take(5).map(|blocker| serde_json::json!({
                "route": blocker.route.as_ref().map(ToString::to_string),
                "request": name(blocker),
                "holds": blocker.holds,
                "mean_us": blocker.mean_us,
                "worst_us": blocker.worst_us,
                "waits_behind_us": blocker.slow_us,
                "mostly": blocker.times.mostly().map(|(state, _)| state.id()),
            })).collect::<Vec<_>>(),
        },
        advice: format!("{advice}; or run more loops side by side, so that fewer wait behind it."),
    })
}

/// What keeps the loop, in words.
fn name(blocker: &Blocker) -> String {
    match &blocker.route {
        Some(route) => route.to_string(),
        None if blocker.nobodys => "work of no request (a timer, the collection of garbage)".to_owned(),
        None => format!("requests of {:.0} bytes", blocker.received),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        decode::Route,
        explain::testing::{facts, found, sentence, times},
    };

    #[test]
    fn the_request_that_is_waited_behind_is_named() {
        let mut facts = facts(&[(State::RecvQueue, 20_000.0), (State::OnCpu, 100.0)]);
        facts.loops = 1;
        assert!(found(&facts).is_empty(), "nothing keeps the loop");
        facts.blockers = vec![Blocker {
            route: Some(Route::from("GET /report")),
            slow_us: 18_000.0,
            holds: 40,
            mean_us: 30_000.0,
            worst_us: 31_000.0,
            times: times(&[(State::OnCpu, 30_000.0)]),
            ..Blocker::default()
        }];
        assert_eq!(found(&facts), [("event_loop_blocked", 0.896)]);
        assert!(
            sentence(&facts)
                .contains("waiting behind GET /report on the same event loop, which computes for 100 %")
        );
    }

    /// One request in ten keeps the loop: these are the slowest tenth, and compute; all others wait for them.
    #[test]
    fn those_that_keep_the_loop_are_explained_where_others_suffer() {
        let mut facts = facts(&[(State::OnCpu, 25_000.0), (State::RecvQueue, 2_000.0)]);
        facts.loops = 1;
        facts.blockers = vec![Blocker { slow_us: 1_500.0, ..Blocker::default() }];
        (facts.keeps_us, facts.victims) = (25_000.0, 0.01);
        assert_eq!(found(&facts)[0].0, "cpu_bound");
        facts.victims = 0.9;
        assert_eq!(found(&facts)[0].0, "event_loop_blocked");
    }
}
