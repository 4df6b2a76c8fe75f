//! What the scheduler does: waits for a CPU, switches, births, CPUs.

use super::Rows;
use crate::{
    live::Latencies,
    top::{canvas::Canvas, view::View},
    units::{fmt_count, fmt_percent, fmt_us, rounded},
};

/// Columns of a label.
const LABEL: u16 = 9;

pub fn draw(view: &View, canvas: &mut Canvas) -> Rows {
    let (width, height) = (canvas.width(), canvas.height());
    let half = width / 2;
    let mut left = canvas.part(0, 0, half.saturating_sub(1), height);
    left.heading(0, &format!("Waits for a CPU, {}", view.numbers_words()));
    histogram(&view.span.run_queue, &mut left.part(0, 1, half.saturating_sub(1), height.saturating_sub(1)));
    let mut right = canvas.part(half, 0, width - half, height);
    let y = facts(view, &mut right);
    let room = height.saturating_sub(y + 1);
    let charts = room / 2;
    let mut chart = right.part(0, y + 1, width - half, charts);
    series(view, &mut chart, "Switches per second", |bucket| {
        (bucket.switches.voluntary + bucket.switches.involuntary) as f64 * 2.0
    });
    let mut cpus = right.part(0, y + 1 + charts, width - half, room.saturating_sub(charts));
    by_cpu(view, &mut cpus);
    Rows::default()
}

/// Waits by powers of two.
fn histogram(waits: &Latencies, canvas: &mut Canvas) {
    let mut rows: Vec<(u64, u64)> = Vec::new();
    for ((lower, _), count) in waits.buckets() {
        let power = lower.max(1).ilog2();
        match rows.last_mut() {
            Some((last, sum)) if *last == 1 << power => *sum += u64::from(count),
            _ => rows.push((1 << power, u64::from(count))),
        }
    }
    if rows.is_empty() {
        canvas.text(0, 1, "no thread waited for a CPU", canvas.theme.faint());
        return;
    }
    let quantiles =
        [0.5, 0.99].map(|share| format!("p{:.0} {}", share * 100.0, fmt_us(waits.quantile(share) / 1e3)));
    let summary = format!("{} waits, {}", fmt_count(waits.count()), quantiles.join(", "));
    canvas.text(0, 0, &summary, canvas.theme.plain());
    // The longest waits matter: what finds no room is at the short end.
    let room = usize::from(canvas.height().saturating_sub(1));
    let shown = &rows[rows.len().saturating_sub(room)..];
    let most = shown.iter().map(|(_, count)| *count).max().unwrap_or(1);
    let bars = canvas.width().saturating_sub(LABEL + 12);
    for (y, (from, count)) in (1..).zip(shown) {
        let style = canvas.theme.faint();
        canvas.text(0, y, &format!("{:>8}", fmt_us(*from as f64 / 1e3)), style);
        bar(canvas, (LABEL, y), bars, *count as f64 / most as f64);
        canvas.text(LABEL + bars + 1, y, &format!("{:>10}", fmt_count(*count)), style);
    }
}

/// A bar for a share.
fn bar(canvas: &mut Canvas, (x, y): (u16, u16), width: u16, share: f64) {
    let text = crate::report::bar(share, usize::from(width));
    let style = canvas.theme.good();
    canvas.text_within(x, y, width, &text, style);
}

fn facts(view: &View, canvas: &mut Canvas) -> u16 {
    let span = &view.span;
    let switches = &span.switches;
    let each = |count: u64| count as f64 / span.requests.count.max(1) as f64;
    canvas.heading(0, "Threads");
    let rate = |count: u64| fmt_count(rounded(span.per_second(count)));
    let mut lines = vec![
        format!(
            "{:>9}/s gave the CPU up   {:.2} a request",
            rate(switches.voluntary),
            each(switches.voluntary)
        ),
        format!(
            "{:>9}/s lost the CPU      {:.2} a request",
            rate(switches.involuntary),
            each(switches.involuntary)
        ),
        format!(
            "{:>9}/s moved to another  {:.2} a request",
            rate(switches.migrations),
            each(switches.migrations)
        ),
        format!("{:>9}/s threads born      {:.2} a request", rate(switches.born), each(switches.born)),
        format!(
            "{:>9}/s processes born    {:.2} a request",
            rate(switches.processes),
            each(switches.processes)
        ),
        format!("{:>9}/s threads ended", rate(switches.ended)),
    ];
    if span.births.count > 0 {
        let mean = span.births.total as f64 / span.births.count as f64 / 1e3;
        lines.push(format!("{:>9}   from a thread's creation to its first run", fmt_us(mean)));
    }
    for (y, line) in (1..).zip(&lines) {
        canvas.text(0, y, line, canvas.theme.plain());
    }
    1 + u16::try_from(lines.len()).unwrap_or(0)
}

/// A value over time, as columns.
fn series(view: &View, canvas: &mut Canvas, title: &str, value: impl Fn(&crate::live::Bucket) -> f64) {
    const PARTS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let (width, height) = (canvas.width().saturating_sub(LABEL), canvas.height().saturating_sub(1));
    canvas.heading(0, title);
    let columns: Vec<f64> = view
        .columns(usize::from(width))
        .iter()
        .map(|column| column.iter().map(|bucket| value(bucket)).sum::<f64>() / column.len().max(1) as f64)
        .collect();
    let most = columns.iter().copied().fold(1.0, f64::max);
    canvas.text(0, 1, &format!("{:>8}", fmt_count(rounded(most))), canvas.theme.faint());
    let indent = width.saturating_sub(u16::try_from(columns.len()).unwrap_or(width));
    let style = canvas.theme.good();
    for (x, value) in (LABEL + indent..).zip(&columns) {
        let eighths = rounded(value / most * f64::from(height) * 8.0);
        for row in 0..height {
            let here = eighths.saturating_sub(u64::from(height - 1 - row) * 8).min(8);
            if let Ok(part) = usize::try_from(here) {
                canvas.put(x, 1 + row, PARTS[part], style);
            }
        }
    }
}

fn by_cpu(view: &View, canvas: &mut Canvas) {
    canvas.heading(0, "The target on each CPU");
    let nanos = view.span.seconds.max(1e-9) * 1e9;
    let bars = canvas.width().saturating_sub(LABEL + 8);
    for (y, (cpu, ran)) in (1..canvas.height()).zip(view.span.cpus.iter().enumerate()) {
        let share = (*ran as f64 / nanos).min(1.0);
        canvas.text(0, y, &format!("CPU {cpu:<4}"), canvas.theme.faint());
        bar(canvas, (LABEL, y), bars, share);
        canvas.text(LABEL + bars + 1, y, &format!("{:>6}", fmt_percent(share)), canvas.theme.plain());
    }
}
