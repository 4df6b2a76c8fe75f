//! The answer: one sentence, or two.

use super::{
    super::explanation::{Breakdown, Explanation, Target},
    counted,
    layout::shown,
};
use crate::{
    clock::State,
    units::{fmt_count, fmt_percent, fmt_us},
};

/// Ports that are named one by one.
const PORTS: usize = 4;
/// A state that explains this much of the time is named alone.
const ENOUGH: f64 = 0.6;
/// Below this number of requests, the slowest 1 % is a single one.
const HUNDRED: u64 = 100;

/// What a run found, in words.
pub(in super::super) fn answer(explanation: &Explanation) -> String {
    let requests = &explanation.requests;
    let who = who(&explanation.target);
    let window = seconds(explanation.window_s);
    let mean = fmt_us(requests.latency_us.mean);
    if requests.count > 1
        && let Some(first) = explanation.findings.first()
    {
        return format!(
            "{who}: {} requests in {window}; a request takes {mean}, the slowest 1 % {}. {}",
            fmt_count(requests.count),
            fmt_us(total(&explanation.breakdown_us.p99)),
            first.summary
        );
    }
    let causes = causes(&explanation.breakdown_us.mean);
    match requests.count {
        0 => format!("{who}: no request was answered in {window}."),
        1 => format!("{who}: 1 request in {window}; it took {mean}, of which {causes}."),
        count => format!(
            "{who}: {} requests in {window}; a request takes {mean}, of which {causes}. {}",
            fmt_count(count),
            slowest(explanation)
        ),
    }
}

fn slowest(explanation: &Explanation) -> String {
    let times = &explanation.breakdown_us.p99;
    let total = total(times);
    let Some((state, time)) = ranked(times).into_iter().next() else { return String::new() };
    let share = fmt_percent(time / total);
    let took = fmt_us(total);
    if explanation.requests.count < HUNDRED {
        format!("The slowest one took {took}, {share} of it {}.", state.words())
    } else {
        format!("The slowest 1 % take {took}, {share} of it {}.", state.words())
    }
}

/// The heading of what is said about the slowest.
pub(super) fn slowest_title(explanation: &Explanation) -> &'static str {
    if explanation.requests.count < HUNDRED { "the slowest one" } else { "the slowest 1 %" }
}

/// The state that explains most of the time, or the two.
pub fn causes(times: &Breakdown) -> String {
    let total = total(times);
    let ranked = ranked(times);
    let mut parts = Vec::new();
    let mut explained = 0.0;
    for (state, time) in ranked.into_iter().take(2) {
        if explained >= ENOUGH {
            break;
        }
        explained += time / total;
        let is = if parts.is_empty() { "is " } else { "" };
        parts.push(format!("{} {is}{}", fmt_percent(time / total), state.words()));
    }
    parts.join(" and ")
}

/// The sum over all states.
pub(super) fn total(times: &Breakdown) -> f64 {
    times.0.iter().map(|(_, time)| time).sum()
}

/// States that took time, most first.
pub(super) fn ranked(times: &Breakdown) -> Vec<(State, f64)> {
    let mut ranked: Vec<(State, f64)> = times.0.iter().copied().filter(|(_, time)| *time > 0.0).collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    ranked
}

/// The target: `nginx (4496 and 2 more, port 8080)`.
fn who(target: &Target) -> String {
    let mut facts = Vec::new();
    match target.pids.as_slice() {
        [] => {}
        [one] => facts.push(one.to_string()),
        [first, others @ ..] => facts.push(format!("{first} and {} more", others.len())),
    }
    if !target.ports.is_empty() {
        facts.push(ports(&target.ports));
    }
    let name = shown(&target.command, 40);
    if facts.is_empty() { name } else { format!("{name} ({})", facts.join(", ")) }
}

/// `port 80`, `ports 80 and 443`.
pub(super) fn ports(ports: &[u16]) -> String {
    let mut names: Vec<String> = ports.iter().take(PORTS).map(u16::to_string).collect();
    if ports.len() > PORTS {
        names.push(format!("{} more", ports.len() - PORTS));
    }
    let word = if ports.len() == 1 { "port" } else { "ports" };
    match names.pop() {
        Some(last) if !names.is_empty() => format!("{word} {} and {last}", names.join(", ")),
        last => format!("{word} {}", last.unwrap_or_default()),
    }
}

pub(super) fn seconds(seconds: f64) -> String {
    if seconds < 1.0 { format!("{seconds:.2} s") } else { format!("{seconds:.1} s") }
}

/// Requests that were given up, in words.
pub(super) fn never_answered(requests: u64) -> String {
    let what = counted(requests, "request was", "requests were");
    format!("{what} read and never answered: the client or the server went away")
}

/// Why there may have been no request, what is most likely first.
pub(super) fn why_none(explanation: &Explanation) -> Vec<String> {
    let requests = &explanation.requests;
    let mut reasons = Vec::new();
    if explanation.target_ended {
        reasons.push("The server ended before it answered anything.".to_owned());
    }
    if requests.in_flight > 0 {
        let what = counted(requests.in_flight, "request was read and is", "requests were read and are");
        reasons.push(format!("{what} not answered yet: watch longer, with --duration."));
    }
    if requests.unanswered > 0 {
        reasons.push(format!("{}.", never_answered(requests.unanswered)));
    }
    if !reasons.is_empty() {
        return reasons;
    }
    if explanation.target.ports.is_empty() {
        reasons.push(
            "whywait sees no TCP port that it listens on. If it is not the server, --port N finds who listens on a \
             port. (Other users' ports are seen by root, or with CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH.)"
                .to_owned(),
        );
    } else {
        reasons.push(format!(
            "It listens on {}, and nothing was asked of it in that time: send requests while whywait watches, or \
             watch longer, with --duration.",
            ports(&explanation.target.ports)
        ));
    }
    let ran = explanation.threads.iter().filter(|thread| thread.on_cpu_us > 0.0).count() as u64;
    if ran > 0 {
        reasons.push(format!(
            "{} of it ran. If it was busy with requests, they went to a process that is not watched, or came on \
             connections that were open before: those count from their first complete request on.",
            counted(ran, "thread", "threads")
        ));
    }
    reasons
}
