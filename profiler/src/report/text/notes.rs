//! What stands beside the answer: losses, what was left out, what whywait cost.

use std::io::{self, Write};

use super::{
    super::explanation::Explanation,
    answer::{never_answered, seconds},
    counted,
    layout::{paragraph, shown},
    stacks,
};
use crate::{
    clock::State,
    units::{fmt_count, fmt_us},
};

/// What was lost, in sentences that stand right below the answer; empty when nothing was.
pub(in super::super) fn losses(explanation: &Explanation) -> Vec<String> {
    let lost = &explanation.lost;
    let mut losses: Vec<String> =
        explanation.missing.iter().map(|missing| format!("MISSING: {missing}.")).collect();
    if lost.events > 0 {
        let kinds: Vec<String> =
            lost.by_kind.iter().map(|(kind, count)| format!("{kind} {}", fmt_count(*count))).collect();
        let kinds = if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(", ")) };
        losses.push(format!(
            "LOST: {}{kinds} did not reach whywait; {} may be wrong because of it. A larger --buffer, or a CPU for \
             whywait, helps.",
            counted(lost.events, "record", "records"),
            counted(lost.requests, "request", "requests"),
        ));
    }
    if lost.missing > 0 {
        losses
            .push(format!("LOST: {} missing by number.", counted(lost.missing, "record is", "records are")));
    }
    if lost.late > 0 {
        losses.push(format!(
            "OUT OF ORDER: {} too late to be put in order.",
            counted(lost.late, "record came", "records came")
        ));
    }
    losses
}

pub(super) fn write(explanation: &Explanation, out: &mut dyn Write) -> io::Result<()> {
    for note in notes(explanation) {
        paragraph(out, "Note", &note)?;
    }
    for without in &explanation.without {
        let text = format!("{} ({}: {})", without.lost, without.hook, shown(&without.why, 200));
        paragraph(out, "Without", &text)?;
    }
    if losses(explanation).is_empty() {
        paragraph(out, "Lost", "nothing was lost")?;
    }
    paragraph(out, "Cost", &cost(explanation))
}

/// What bounds the numbers above.
fn notes(explanation: &Explanation) -> Vec<String> {
    let requests = &explanation.requests;
    let mut notes = stacks::notes(explanation);
    // Without a request these are said as the reasons for it.
    if requests.count > 0 {
        if explanation.target_ended {
            notes.push(format!("the server ended after {}", seconds(explanation.window_s)));
        }
        if requests.in_flight > 0 {
            let what = counted(requests.in_flight, "request was", "requests were");
            notes.push(format!("{what} not answered yet at the end, and not counted"));
        }
        if requests.unanswered > 0 {
            notes.push(never_answered(requests.unanswered));
        }
    }
    if let Some(share) = unseen(explanation) {
        notes.push(format!(
            "for {share:.0} % of the time no thread was seen to work on the request after it had been read: it waited in a queue of the server's own, \
             or was worked on by a thread that nobody woke for it, which the kernel's events do not tell"
        ));
    }
    if requests.without_arrival > 0 {
        let what = counted(requests.without_arrival, "request begins", "requests begin");
        notes.push(format!("{what} with the first read: when they arrived is not known, so what they waited before is missing"));
    }
    if explanation.sockets_by == "system_calls" {
        notes.push(
            "socket operations were taken from system calls, which makes every system call slower".to_owned(),
        );
    }
    notes
}

/// Share of the time, in percent, of which the kernel's events do not tell more than that the request had been read; `None` where it is small.
fn unseen(explanation: &Explanation) -> Option<f64> {
    const LEAST: f64 = 5.0;
    let times = &explanation.breakdown_us.mean.0;
    let (_, unseen) = times.iter().find(|(state, _)| *state == State::AppQueue)?;
    let share = unseen / times.iter().map(|(_, time)| time).sum::<f64>() * 100.0;
    (share >= LEAST).then_some(share)
}

/// What whywait itself took.
fn cost(explanation: &Explanation) -> String {
    let overhead = &explanation.overhead;
    let programs = if overhead.bpf_ns_per_event > 0.0 {
        format!(
            ", of which {:.1} % were its probes in the kernel ({} a run)",
            overhead.bpf_cpu_percent,
            fmt_us(overhead.bpf_ns_per_event / 1e3)
        )
    } else {
        ", without its probes in the kernel, whose time was not measured (that takes CAP_SYS_ADMIN, and a longer run)".to_owned()
    };
    let records = counted(overhead.events, "record", "records");
    format!("whywait took {:.1} % of one CPU{programs}; it read {records}", overhead.cpu_percent)
}
