//! System calls that threads were blocked in; all of them by number where they are traced.

use super::{Rows, waterfall::call_name};
use crate::{
    live::Waits,
    top::{
        canvas::{Align, Canvas, Column},
        view::View,
    },
    units::{fmt_count, fmt_percent, fmt_us},
};

const COLUMNS: [Column; 9] = [
    ("blocked in", 18, Align::Left),
    ("waits/s", 8, Align::Right),
    ("waited", 9, Align::Right),
    ("of time", 7, Align::Right),
    ("mean", 8, Align::Right),
    ("worst", 8, Align::Right),
    ("idle/s", 8, Align::Right),
    ("idle mean", 9, Align::Right),
    ("", 1, Align::Left),
];
const TRACED: [Column; 4] = [
    ("system call", 18, Align::Left),
    ("calls", 12, Align::Right),
    ("mean", 9, Align::Right),
    ("in all", 9, Align::Right),
];

fn mean(waits: &Waits) -> String {
    if waits.count == 0 { "-".to_owned() } else { fmt_us(waits.total as f64 / waits.count as f64 / 1e3) }
}

pub fn draw(view: &View, canvas: &mut Canvas) -> Rows {
    canvas.heading(
        0,
        &format!(
            "System calls in which threads waited, for requests and (idle) for something to do; {}",
            view.numbers_words()
        ),
    );
    canvas.columns(1, &COLUMNS);
    let span = &view.span;
    let calls: Vec<[String; 9]> = span
        .calls
        .iter()
        .map(|call| {
            let name =
                if call.syscall < 0 { "(none: page fault)".to_owned() } else { call_name(call.syscall) };
            [
                name,
                format!("{:.1}", span.per_second(call.busy.count)),
                fmt_us(call.busy.total as f64 / 1e3),
                fmt_percent(call.busy.total as f64 / span.requests.total.max(1) as f64),
                mean(&call.busy),
                fmt_us(call.busy.max as f64 / 1e3),
                format!("{:.1}", span.per_second(call.idle.count)),
                mean(&call.idle),
                String::new(),
            ]
        })
        .filter(|cells| view.wants(&cells[0]))
        .collect();
    let traced = traced(view);
    let room = if traced.is_empty() { canvas.height() } else { canvas.height() / 2 };
    let rows = Rows::new(calls.len(), 2, room, view.chosen);
    for (y, (place, cells)) in (2..room).zip(calls.iter().enumerate().skip(rows.first)) {
        let style = if place == view.chosen { canvas.theme.chosen() } else { canvas.theme.plain() };
        canvas.cells(y, &COLUMNS, cells, style);
    }
    if calls.is_empty() {
        canvas.text(0, 3, "no thread waited", canvas.theme.faint());
    }
    if !traced.is_empty() {
        canvas.heading(room, "All system calls since the beginning");
        canvas.columns(room + 1, &TRACED);
        for (y, cells) in (room + 2..canvas.height()).zip(&traced) {
            canvas.cells(y, &TRACED, cells, canvas.theme.plain());
        }
    }
    rows
}

/// System calls that are traced one by one, most time first.
fn traced(view: &View) -> Vec<[String; 4]> {
    let mut calls = view.snapshot.syscalls.clone();
    calls.sort_by_key(|(number, _, nanos)| std::cmp::Reverse((*nanos, *number)));
    calls
        .into_iter()
        .map(|(number, count, nanos)| {
            [
                i32::try_from(number).map_or_else(|_| number.to_string(), call_name),
                fmt_count(count),
                fmt_us(nanos as f64 / count.max(1) as f64 / 1e3),
                fmt_us(nanos as f64 / 1e3),
            ]
        })
        .collect()
}
