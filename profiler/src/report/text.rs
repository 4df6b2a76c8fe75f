//! The explanation for people: the answer first, then what it rests on, at most [`layout::WIDTH`] columns wide.

mod answer;
mod findings;
mod groups;
mod layout;
mod model;
mod notes;
mod stacks;
mod states;
#[cfg(test)]
mod tests;

use std::io::{self, Write};

pub(super) use answer::answer;
pub use answer::causes;
pub(super) use findings::gain;
pub use layout::{bar, paragraph, wrap};
pub(super) use notes::losses;

use super::{
    explanation::Explanation,
    palette::{Palette, Tone},
};
use crate::units::{fmt_count, fmt_us};

/// Writes the explanation as text.
///
/// # Errors
/// When it cannot be written.
pub fn write_text(explanation: &Explanation, palette: Palette, out: &mut dyn Write) -> io::Result<()> {
    for line in wrap(&answer(explanation), "") {
        writeln!(out, "{}", palette.paint(Tone::Strong, &line))?;
    }
    for line in losses(explanation).iter().flat_map(|loss| wrap(loss, "")) {
        writeln!(out, "{}", palette.paint(Tone::Bad, &line))?;
    }
    writeln!(out)?;
    if explanation.requests.count == 0 {
        for reason in answer::why_none(explanation) {
            paragraph(out, "", &reason)?;
        }
    } else {
        write_measures(explanation, palette, out)?;
    }
    writeln!(out)?;
    notes::write(explanation, out)
}

/// What there is to tell about requests.
fn write_measures(explanation: &Explanation, palette: Palette, out: &mut dyn Write) -> io::Result<()> {
    states::write(explanation, palette, out)?;
    writeln!(out)?;
    findings::write(&explanation.findings, palette, out)?;
    paragraph(out, "Latency", &latency(explanation))?;
    paragraph(out, "At once", &at_once(explanation))?;
    model::write(explanation, out)?;
    paragraph(out, "Each costs", &costs(explanation))?;
    groups::write("By route", &explanation.routes, palette, out)?;
    groups::write("By process", &explanation.processes, palette, out)?;
    stacks::write(explanation, palette, out)
}

fn latency(explanation: &Explanation) -> String {
    let latency = &explanation.requests.latency_us;
    let quantiles = [
        ("mean", latency.mean),
        ("p50", latency.p50),
        ("p90", latency.p90),
        ("p99", latency.p99),
        ("p99.9", latency.p999),
        ("max", latency.max),
    ];
    quantiles.map(|(name, time)| format!("{name} {}", fmt_us(time))).join(", ")
}

/// Concurrency and parallelism, told apart in words.
fn at_once(explanation: &Explanation) -> String {
    let (requests, threads) = (&explanation.concurrency, &explanation.parallelism);
    let (processes, all) = (explanation.model.processes as u64, explanation.model.threads as u64);
    format!(
        "{} requests in flight in the mean, {} at most (concurrency); {} threads on a CPU in the mean, {} at most \
         (parallelism), of {} in {}",
        number(requests.mean),
        fmt_count(requests.max as u64),
        number(threads.mean),
        fmt_count(threads.max as u64),
        counted(all, "thread", "threads"),
        counted(processes, "process", "processes"),
    )
}

fn costs(explanation: &Explanation) -> String {
    let each = &explanation.per_request;
    let mut costs = vec![format!(
        "{} context switches ({} of them lost the CPU to another thread)",
        number(each.context_switches),
        number(each.involuntary_switches)
    )];
    // An answered request takes at least a read and a write: none counted means that nobody could count.
    if each.system_calls > 0.0 {
        costs.push(format!("{} system calls", number(each.system_calls)));
    }
    costs.push(format!("{} moves to another CPU", number(each.migrations)));
    for (count, what) in [(each.threads_created, "new threads"), (each.processes_created, "new processes")] {
        if count > 0.0 {
            costs.push(format!("{} {what}", number(count)));
        }
    }
    costs.join(", ")
}

/// A mean number of things, with as many decimals as tell something.
fn number(value: f64) -> String {
    if value == 0.0 {
        "0".to_owned()
    } else if value < 0.005 {
        "<0.01".to_owned()
    } else if value < 9.995 {
        format!("{value:.2}")
    } else {
        format!("{value:.1}")
    }
}

/// `1 thread`, `2 threads`.
pub fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", fmt_count(count), if count == 1 { one } else { many })
}
