//! The concurrency model: one line with what speaks for it, and its figures where they say something.

use std::io::{self, Write};

use super::{counted, layout::paragraph, number};
use crate::{
    fingerprint::{Loop, ModelId, Pool, Worker},
    report::explanation::{Explanation, Model},
    units::{fmt_count, fmt_percent, fmt_us},
};

/// Sentences of evidence that are told.
const EVIDENCE: usize = 3;
/// Pre-forked workers are out of balance when the busiest has this many times the mean.
const UNBALANCED: f64 = 1.5;
/// Requests for each worker below which balance says nothing.
const FEW: u64 = 20;

/// Writes what is known of the model.
pub(super) fn write(explanation: &Explanation, out: &mut dyn Write) -> io::Result<()> {
    let model = &explanation.model;
    paragraph(out, "Model", &verdict(model))?;
    if let Some(pool) = &model.pool {
        paragraph(out, "Pool", &queue(pool))?;
    }
    if let Some(text) = loops(&model.loops) {
        paragraph(out, if model.loops.len() == 1 { "Loop" } else { "Loops" }, &text)?;
    }
    if let Some(text) = balance(&model.workers) {
        paragraph(out, "Processes", &text)?;
    }
    if let Some(little) = explanation.little.as_ref().filter(|little| !little.holds) {
        let text = format!(
            "{} requests in flight, and {} by rate times latency (Little's law): {}",
            number(little.in_flight),
            number(little.rate_times_latency),
            little.why
        );
        paragraph(out, "Check", &text)?;
    }
    Ok(())
}

fn verdict(model: &Model) -> String {
    let evidence: Vec<&str> = model.evidence.iter().take(EVIDENCE).map(String::as_str).collect();
    let evidence = evidence.join("; ");
    if model.id == ModelId::Unknown {
        let end = if evidence.is_empty() { String::new() } else { format!(": {evidence}") };
        return format!("not known{end}");
    }
    format!("{} ({}, {} sure): {evidence}", model.id.words(), model.id.id(), fmt_percent(model.confidence))
}

fn queue(pool: &Pool) -> String {
    format!(
        "{}, busy for {} of the time, all at once for {}; {} requests wait for one in the mean, {} at most",
        counted(pool.workers as u64, "worker", "workers"),
        fmt_percent(pool.utilisation),
        fmt_percent(pool.all_busy),
        number(pool.mean_queue),
        fmt_count(pool.max_queue as u64),
    )
}

/// The loop that is behind most.
fn loops(loops: &[Loop]) -> Option<String> {
    let worst = loops.iter().max_by(|a, b| a.lag_us.mean.total_cmp(&b.lag_us.mean))?;
    let one = format!(
        "busy for {} of the time; a request waits {} for it in the mean, {} at p99, {} at most",
        fmt_percent(worst.busy),
        fmt_us(worst.lag_us.mean),
        fmt_us(worst.lag_us.p99),
        fmt_us(worst.lag_us.max)
    );
    Some(if loops.len() == 1 {
        one
    } else {
        format!("{}; of these, thread {} is {one}", counted(loops.len() as u64, "loop", "loops"), worst.tid)
    })
}

/// How evenly pre-forked workers share the requests, and how often they were woken for nothing.
fn balance(workers: &[Worker]) -> Option<String> {
    let requests: u64 = workers.iter().map(|worker| worker.requests).sum();
    let count = workers.len() as u64;
    if count < 2 || requests < FEW * count {
        return None;
    }
    let most = workers.iter().map(|worker| worker.requests).max()?;
    let mean = requests as f64 / count as f64;
    let useless: u64 = workers.iter().map(|worker| worker.useless_wakeups).sum();
    let accepted: u64 = workers.iter().map(|worker| worker.accepted).sum();
    let mut parts = Vec::new();
    if most as f64 >= UNBALANCED * mean {
        parts.push(format!(
            "the busiest of {count} served {} of the requests",
            fmt_percent(most as f64 / requests as f64)
        ));
    }
    if accepted > 0 && useless > accepted / 2 {
        parts.push(format!(
            "they were woken {} for nothing, beside {} that they accepted",
            counted(useless, "time", "times"),
            counted(accepted, "connection", "connections")
        ));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}
