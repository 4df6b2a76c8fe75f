//! What the scheduler does: waits for a CPU, switches, births, CPUs.

use super::{
    Rows,
    histogram::{self, LABEL, bar},
};
use crate::{
    live::Latencies,
    top::{canvas::Canvas, view::View},
    units::{fmt_count, fmt_percent, fmt_us, rounded},
};

/// Figures of a CPU with their widths: the share of time that the target ran on it, switches away from a thread, threads that came from
/// another CPU, time waited for it in each second.
const FIGURES: &[(&str, u16)] = &[("ran", 6), ("switches/s", 10), ("moved to/s", 10), ("waited/s", 9)];

pub fn draw(view: &View, canvas: &mut Canvas) -> Rows {
    let (width, height) = (canvas.width(), canvas.height());
    let half = width / 2;
    let mut left = canvas.part(0, 0, half.saturating_sub(1), height);
    left.heading(0, &format!("Waits for a CPU, {}", view.numbers_words()));
    waits_for_cpu(
        &view.span.sums.run_queue,
        &mut left.part(0, 1, half.saturating_sub(1), height.saturating_sub(1)),
    );
    let mut right = canvas.part(half, 0, width - half, height);
    let y = facts(view, &mut right);
    let room = height.saturating_sub(y + 1);
    let charts = room / 2;
    let mut chart = right.part(0, y + 1, width - half, charts);
    series(view, &mut chart, "Switches per second", |bucket| {
        (bucket.sums.switches.voluntary + bucket.sums.switches.involuntary) as f64 * 2.0
    });
    let mut cpus = right.part(0, y + 1 + charts, width - half, room.saturating_sub(charts));
    by_cpu(view, &mut cpus);
    Rows::default()
}

/// Waits by powers of two.
fn waits_for_cpu(waits: &Latencies, canvas: &mut Canvas) {
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
    let (width, height) = (canvas.width(), canvas.height().saturating_sub(1));
    histogram::draw(&rows, &mut canvas.part(0, 1, width, height));
}

fn facts(view: &View, canvas: &mut Canvas) -> u16 {
    let span = &view.span;
    let switches = &span.sums.switches;
    let each = |count: u64| count as f64 / span.sums.requests.count.max(1) as f64;
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
        format!("{:>9}/s programs executed", rate(switches.execs)),
    ];
    if span.sums.births.count > 0 {
        let mean = span.sums.births.total as f64 / span.sums.births.count as f64 / 1e3;
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
    let span = &view.span;
    let width = canvas.width();
    // Figures where there is room for them beside a bar.
    let figures = if width >= 56 { FIGURES } else { &FIGURES[..2] };
    let room = figures.iter().map(|(_, width)| width + 1).sum::<u16>();
    let bars = width.saturating_sub(LABEL + room);
    let faint = canvas.theme.faint();
    let mut x = LABEL + bars;
    for (name, width) in figures {
        canvas.text(x + 1, 1, &format!("{name:>0$}", usize::from(*width)), faint);
        x += width + 1;
    }
    let seconds = span.seconds.max(1e-9);
    for (y, (number, cpu)) in (2..canvas.height()).zip(span.sums.cpus.iter().enumerate()) {
        let share = (cpu.ran as f64 / 1e9 / seconds).min(1.0);
        canvas.text(0, y, &format!("CPU {number:<4}"), faint);
        bar(canvas, (LABEL, y), bars, share);
        let rate = |count: u64| fmt_count(rounded(span.per_second(count)));
        let cells = [
            fmt_percent(share),
            rate(cpu.switches),
            rate(cpu.arrivals),
            fmt_us(cpu.waited as f64 / seconds / 1e3),
        ];
        let mut x = LABEL + bars;
        for ((_, width), cell) in figures.iter().zip(cells) {
            canvas.text(x + 1, y, &format!("{cell:>0$}", usize::from(*width)), canvas.theme.plain());
            x += width + 1;
        }
    }
}
