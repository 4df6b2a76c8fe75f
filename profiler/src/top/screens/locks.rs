//! Locks that requests waited for.

use super::{Rows, waterfall::call_name};
use crate::{
    live::{KnownLock, LockCell, LockPlace},
    top::{
        canvas::{Align, Canvas, Column},
        view::View,
    },
    units::{Pid, fmt_count, fmt_percent, fmt_us},
};

const COLUMNS: [Column; 9] = [
    ("process", 8, Align::Right),
    ("lock", 18, Align::Left),
    ("waits/s", 8, Align::Right),
    ("waited", 9, Align::Right),
    ("of time", 7, Align::Right),
    ("mean", 8, Align::Right),
    ("worst", 8, Align::Right),
    ("in line", 7, Align::Right),
    ("last let go by", 20, Align::Left),
];

/// A lock by its address.
pub fn name(place: LockPlace) -> String {
    match place {
        LockPlace { kernel: Some(..0), .. } => "kernel, page fault".to_owned(),
        LockPlace { kernel: Some(call), .. } => format!("kernel, {}", call_name(call)),
        LockPlace { pid: Pid(0), .. } => "(others)".to_owned(),
        LockPlace { address, .. } => format!("{address:#x}"),
    }
}

/// What it is, and what its holders do.
fn known(lock: &KnownLock) -> String {
    let held = &lock.held;
    let total = held.total().max(1) as f64;
    let mut parts = vec![lock.name.clone().unwrap_or_else(|| lock.kind.to_owned())];
    for (nanos, what) in [(held.on_cpu, "on a CPU"), (held.runnable, "without a CPU")] {
        if nanos as f64 / total >= 0.1 {
            parts.push(format!("held {} {what}", fmt_percent(nanos as f64 / total)));
        }
    }
    if held.blocked as f64 / total >= 0.1 {
        let call =
            if held.blocked_in < 0 { String::new() } else { format!(" in {}", call_name(held.blocked_in)) };
        parts.push(format!("held {} blocked{call}", fmt_percent(held.blocked as f64 / total)));
    }
    parts.join(", ")
}

/// A row.
type Cells = [String; COLUMNS.len()];

/// Locks that are listed, most time first, with their rows.
pub fn listed(view: &View) -> Vec<(LockCell, Cells)> {
    let span = &view.span;
    let holder = |tid| {
        let thread = view.snapshot.threads.iter().find(|thread| thread.tid == tid);
        thread.map_or_else(
            || if tid.0 == 0 { "nobody of the target".to_owned() } else { tid.to_string() },
            |thread| format!("{tid} {}", thread.name),
        )
    };
    let row = |lock: &LockCell| {
        let waits = &lock.waits;
        let cells = [
            lock.place.pid.to_string(),
            name(lock.place),
            format!("{:.1}", span.per_second(waits.count)),
            fmt_us(waits.total as f64 / 1e3),
            fmt_percent(waits.total as f64 / span.sums.requests.total.max(1) as f64),
            fmt_us(waits.total as f64 / waits.count.max(1) as f64 / 1e3),
            fmt_us(waits.max as f64 / 1e3),
            fmt_count(u64::from(lock.at_once)),
            holder(lock.holder),
        ];
        (*lock, cells)
    };
    span.sums.locks.iter().map(row).filter(|(_, cells)| view.wants(&cells.join(" "))).collect()
}

pub fn draw(view: &View, canvas: &mut Canvas) -> Rows {
    canvas.heading(0, &format!("Locks that requests waited for, {}", view.numbers_words()));
    canvas.columns(1, &COLUMNS);
    let locks = listed(view);
    let rows = Rows::new(locks.len(), 2, canvas.height(), view.chosen);
    for (y, (place, (lock, cells))) in (2..canvas.height()).zip(locks.iter().enumerate().skip(rows.first)) {
        let style = if place == view.chosen { canvas.theme.chosen() } else { canvas.theme.plain() };
        let x = canvas.cells(y, &COLUMNS, cells, style);
        let length = u16::try_from(cells[COLUMNS.len() - 1].chars().count()).unwrap_or(0);
        if let Some(lock) = view.snapshot.locks.iter().find(|known| known.is(lock.place)) {
            canvas.text(x + length + 2, y, &known(lock), canvas.theme.faint());
        }
    }
    if locks.is_empty() {
        canvas.text(0, 3, "no request waited for a lock", canvas.theme.faint());
    }
    rows
}
