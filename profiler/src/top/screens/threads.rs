//! Threads: what each of them did over time, its switches, what it is for.

use super::Rows;
use crate::{
    live::{LENGTH, ThreadView},
    report::counted,
    top::{
        canvas::{Align, Canvas, Column},
        theme::letter,
        view::View,
    },
    units::{fmt_count, fmt_percent},
};

const COLUMNS: [Column; 9] = [
    ("thread", 8, Align::Right),
    ("process", 8, Align::Right),
    ("name", 15, Align::Left),
    ("role", 8, Align::Left),
    ("CPU", 6, Align::Right),
    ("no CPU", 6, Align::Right),
    ("switches", 8, Align::Right),
    ("requests", 8, Align::Right),
    ("over time", 20, Align::Left),
];

pub fn draw(view: &View, canvas: &mut Canvas) -> Rows {
    let numbers = view.numbers();
    let range =
        numbers.first().map_or(0, |first| first.number)..numbers.last().map_or(0, |last| last.number + 1);
    let seconds = (view.span.seconds).max(LENGTH as f64 / 1e9);
    let mut threads: Vec<(&ThreadView, Use)> = view
        .snapshot
        .threads
        .iter()
        .map(|thread| (thread, Use::of(thread, range.clone(), seconds)))
        .collect();
    threads
        .retain(|(thread, _)| view.wants(&format!("{} {} {}", thread.tid, thread.name, thread.role.word())));
    if view.switched {
        threads.sort_by(|a, b| b.1.on_cpu.total_cmp(&a.1.on_cpu));
    }
    let processes: std::collections::BTreeSet<u32> = view
        .snapshot
        .threads
        .iter()
        .filter(|thread| thread.ended.is_none())
        .map(|thread| thread.pid.0)
        .collect();
    let alive = view.snapshot.threads.iter().filter(|thread| thread.ended.is_none()).count();
    let more = match view.snapshot.untold_threads {
        0 => String::new(),
        _ => ", and more than are kept".to_owned(),
    };
    canvas.heading(
        0,
        &format!(
            "{} in {}{more}; numbers of the {}",
            counted(alive as u64, "thread", "threads"),
            counted(processes.len() as u64, "process", "processes"),
            view.numbers_words()
        ),
    );
    let narrow = canvas.width() < 100;
    let mut columns = COLUMNS;
    if narrow {
        columns[2].1 = 10;
        columns[1].1 = 7;
        columns[0].1 = 7;
    }
    canvas.columns(1, &columns);
    let rows = Rows::new(threads.len(), 2, canvas.height(), view.chosen);
    for (y, (place, (thread, used))) in (2..canvas.height()).zip(threads.iter().enumerate().skip(rows.first))
    {
        let cells = [
            thread.tid.to_string(),
            thread.pid.to_string(),
            thread.name.to_string(),
            if thread.ended.is_some() { "ended".to_owned() } else { thread.role.word().to_owned() },
            fmt_percent(used.on_cpu),
            fmt_percent(used.run_queue),
            format!("{:.0}", used.switches),
            fmt_count(thread.read + thread.helped),
            String::new(),
        ];
        let style = if place == view.chosen {
            canvas.theme.chosen()
        } else if thread.ended.is_some() {
            canvas.theme.faint()
        } else {
            canvas.theme.plain()
        };
        let x = canvas.cells(y, &columns, &cells, style);
        lane(view, thread, canvas, (x, y));
    }
    rows
}

/// Shares and rates in the span.
struct Use {
    on_cpu: f64,
    run_queue: f64,
    switches: f64,
}

impl Use {
    fn of(thread: &ThreadView, range: std::ops::Range<u32>, seconds: f64) -> Self {
        use crate::clock::State;
        let mut sums = Self { on_cpu: 0.0, run_queue: 0.0, switches: 0.0 };
        let buckets = f64::from(range.end.saturating_sub(range.start)).max(1.0);
        for number in range {
            let cell = thread.lane.cell(number);
            sums.on_cpu += cell.share(Some(State::OnCpu)) / buckets;
            sums.run_queue += cell.share(Some(State::RunQueue)) / buckets;
            sums.switches += f64::from(cell.voluntary) + f64::from(cell.involuntary);
        }
        Self { switches: sums.switches / seconds, ..sums }
    }
}

/// What it did over time, newest at the right. What it does now is told where its records are still to come.
fn lane(view: &View, thread: &ThreadView, canvas: &mut Canvas, (x, y): (u16, u16)) {
    let width = canvas.width().saturating_sub(x);
    let columns = view.columns(usize::from(width));
    let indent = width.saturating_sub(u16::try_from(columns.len()).unwrap_or(width));
    for (at, column) in (x + indent..).zip(&columns) {
        let (Some(first), Some(last)) = (column.first(), column.last()) else { continue };
        let end = thread.ended.is_some_and(|ended| ended < first.begin);
        let told = thread.lane.cells(first.number..last.number + 1).mostly();
        let now = thread.now.filter(|(_, since)| *since < last.begin.plus(LENGTH)).map(|(share, _)| share);
        if let Some(share) = told.or(now).filter(|_| !end) {
            canvas.put(at, y, letter(share), canvas.theme.block(share));
        }
    }
}
