//! System calls: those in which threads were blocked, with how long; all calls, errors and times where they are traced one by one.

use super::{Rows, histogram, waterfall::call_name};
use crate::{
    live::{CallCell, OTHER_CALLS, Waits, length_rows},
    top::{
        canvas::{Align, Canvas, Column},
        view::View,
    },
    units::{fmt_count, fmt_percent, fmt_us, rounded},
};

/// When a figure of a call is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    /// Where calls are traced.
    Traced,
    /// Where they are traced and there is room.
    TracedWide,
    /// Always.
    Always,
    /// Where there is room beside those of traced calls.
    Roomy,
}

/// A column: heading, width, when it is shown, and what it says.
type Figure = (&'static str, u16, When, fn(&CallCell, &View) -> String);

/// What is told of a call.
const FIGURES: &[Figure] = &[
    ("calls/s", 8, When::Traced, |call, view| traced(call, |all| rate(view, all.count))),
    ("errors/s", 8, When::Traced, |call, view| traced(call, |all| rate(view, all.errors))),
    ("call mean", 9, When::Traced, |call, _| {
        traced(call, |all| fmt_us(all.total_ns as f64 / all.count.max(1) as f64 / 1e3))
    }),
    ("time/s", 8, When::TracedWide, |call, view| {
        traced(call, |all| fmt_us(all.total_ns as f64 / 1e3 / view.span.seconds.max(1e-9)))
    }),
    ("waits/s", 8, When::Always, |call, view| tenth(view, call.busy.waits.count)),
    ("blocked", 9, When::Always, |call, _| fmt_us(call.busy.waits.total as f64 / 1e3)),
    ("of time", 7, When::Always, |call, view| {
        fmt_percent(call.busy.waits.total as f64 / view.span.sums.requests.total.max(1) as f64)
    }),
    ("mean", 8, When::Always, |call, _| mean(&call.busy.waits)),
    ("worst", 8, When::Roomy, |call, _| fmt_us(call.busy.waits.max as f64 / 1e3)),
    ("idle/s", 8, When::Roomy, |call, view| tenth(view, call.idle.waits.count)),
    ("idle mean", 9, When::Roomy, |call, _| mean(&call.idle.waits)),
];

/// What the screen shows without tracing, and why not more.
const UNTRACED: &str = "Time blocked is known of every wait. Counts of all calls, errors and time in calls need `--syscalls`, which makes every call slower.";

fn traced(call: &CallCell, text: impl Fn(&crate::probe::SyscallCount) -> String) -> String {
    call.traced.as_ref().map_or_else(|| "-".to_owned(), |all| text(all))
}

fn rate(view: &View, count: u64) -> String {
    fmt_count(rounded(view.span.per_second(count)))
}

fn tenth(view: &View, count: u64) -> String {
    format!("{:.1}", view.span.per_second(count))
}

fn mean(waits: &Waits) -> String {
    if waits.count == 0 { "-".to_owned() } else { fmt_us(waits.total as f64 / waits.count as f64 / 1e3) }
}

fn name(call: &CallCell) -> String {
    match call.syscall {
        OTHER_CALLS => "(others)".to_owned(),
        number if number < 0 => "(none: page fault)".to_owned(),
        number => call_name(number),
    }
}

pub fn draw(view: &View, canvas: &mut Canvas) -> Rows {
    let (width, height) = (canvas.width(), canvas.height());
    let is_traced = view.snapshot.health.syscalls;
    canvas.heading(
        0,
        &format!(
            "System calls, {}: waits in them for requests, and (idle) for something to do",
            view.numbers_words()
        ),
    );
    let top = if is_traced { 1 } else { canvas.paragraph(1, UNTRACED, canvas.theme.faint()) };
    let wide = width >= 120;
    let is_shown = |when| match when {
        When::Traced => is_traced,
        When::TracedWide => is_traced && wide,
        When::Always => true,
        When::Roomy => wide || !is_traced,
    };
    let figures: Vec<&Figure> = FIGURES.iter().filter(|(_, _, when, _)| is_shown(*when)).collect();
    let mut columns: Vec<Column> = vec![("call", if wide { 18 } else { 15 }, Align::Left)];
    columns.extend(figures.iter().map(|(name, width, ..)| (*name, *width, Align::Right)));
    canvas.columns(top, &columns);
    let calls: Vec<&CallCell> = view.span.sums.calls.iter().filter(|call| view.wants(&name(call))).collect();
    // The lower part is the chosen call's.
    let room = (height / 2).max(top + 3);
    let rows = Rows::new(calls.len(), top + 1, room, view.chosen);
    for (y, (place, call)) in (top + 1..room).zip(calls.iter().enumerate().skip(rows.first)) {
        let style = if place == view.chosen { canvas.theme.chosen() } else { canvas.theme.plain() };
        let mut row = vec![name(call)];
        row.extend(figures.iter().map(|(.., of)| of(call, view)));
        canvas.cells(y, &columns, &row, style);
    }
    match calls.get(view.chosen.min(calls.len().saturating_sub(1))) {
        Some(call) => chosen(call, &mut canvas.part(0, room, width, height.saturating_sub(room))),
        None => {
            canvas.text(0, top + 2, "no thread waited", canvas.theme.faint());
        }
    }
    rows
}

/// How long waits in a call took, and calls where they are traced: histograms side by side.
fn chosen(call: &CallCell, canvas: &mut Canvas) {
    let name = name(call);
    let mut parts = vec![
        (format!("Blocked in {name}, for requests"), call.busy.lengths.rows()),
        ("Idle in it".to_owned(), call.idle.lengths.rows()),
    ];
    if let Some(all) = &call.traced {
        parts.push((format!("All calls of {name}"), length_rows(&all.by_time)));
    }
    let (height, count) = (canvas.height(), u16::try_from(parts.len()).unwrap_or(1));
    let wide = canvas.width() / count;
    for (place, (title, rows)) in (0..).zip(parts) {
        let mut part = canvas.part(place * wide, 0, wide.saturating_sub(2), height);
        part.heading(0, &title);
        if rows.is_empty() {
            let style = part.theme.faint();
            part.text(0, 1, "none", style);
        }
        let (width, below) = (part.width(), height.saturating_sub(1));
        histogram::draw(&rows, &mut part.part(0, 1, width, below));
    }
}
