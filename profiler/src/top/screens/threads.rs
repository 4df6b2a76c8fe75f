//! Threads: what each of them did over time, its switches and wake-ups, what it is for; and the same of each process that has several.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::{AddAssign, Range},
};

use super::Rows;
use crate::{
    clock::State,
    live::{LENGTH, ThreadView},
    report::counted,
    top::{
        canvas::{Align, Canvas, Column},
        theme::letter,
        view::View,
    },
    units::{Pid, fmt_count, fmt_percent, rounded},
};

const COLUMNS: [Column; 10] = [
    ("thread", 9, Align::Right),
    ("name", 15, Align::Left),
    ("role", 10, Align::Left),
    ("CPU", 6, Align::Right),
    ("no CPU", 6, Align::Right),
    ("switches/s", 10, Align::Right),
    ("woken/s", 8, Align::Right),
    ("wakes/s", 8, Align::Right),
    ("requests", 9, Align::Right),
    ("over time", 20, Align::Left),
];

/// The same where there is little room.
const NARROW: [Column; 10] = [
    ("thread", 7, Align::Right),
    ("name", 10, Align::Left),
    ("role", 9, Align::Left),
    ("CPU", 5, Align::Right),
    ("no CPU", 6, Align::Right),
    ("sw/s", 6, Align::Right),
    ("woken", 6, Align::Right),
    ("wakes", 6, Align::Right),
    ("req.", 6, Align::Right),
    ("over time", 8, Align::Left),
];

pub fn draw(view: &View, canvas: &mut Canvas) -> Rows {
    let threads = &view.snapshot.threads;
    let alive = threads.iter().filter(|thread| thread.ended.is_none());
    let processes: BTreeSet<Pid> = alive.clone().map(|thread| thread.pid).collect();
    let more = match view.snapshot.untold_threads {
        0 => String::new(),
        _ => ", and more than are kept".to_owned(),
    };
    canvas.heading(
        0,
        &format!(
            "{} in {}{more}; numbers of the {}",
            counted(alive.count() as u64, "thread", "threads"),
            counted(processes.len() as u64, "process", "processes"),
            view.numbers_words()
        ),
    );
    let columns = if canvas.width() < 110 { NARROW } else { COLUMNS };
    canvas.columns(1, &columns);
    let list = rows(view);
    let rows = Rows::new(list.len(), 2, canvas.height(), view.chosen);
    for (y, (place, row)) in (2..canvas.height()).zip(list.iter().enumerate().skip(rows.first)) {
        let theme = canvas.theme;
        let style = match row.what {
            _ if place == view.chosen => theme.chosen(),
            What::Process(..) => theme.strong(),
            What::Thread(thread) if thread.ended.is_some() => theme.faint(),
            What::Thread(_) => theme.plain(),
        };
        let x = canvas.cells(y, &columns, &cells(row), style);
        if let What::Thread(thread) = row.what {
            lane(view, thread, canvas, (x, y));
        }
    }
    rows
}

/// What a row is about.
#[derive(Clone, Copy)]
enum What<'a> {
    /// A process with several threads: its first one, and how many are alive.
    Process(&'a ThreadView, usize),
    /// A thread.
    Thread(&'a ThreadView),
}

struct Row<'a> {
    what: What<'a>,
    used: Use,
    requests: u64,
}

/// Processes one after the other, each with its threads; those that have ended come last.
fn rows<'a>(view: &View<'a>) -> Vec<Row<'a>> {
    let numbers = view.numbers();
    let range =
        numbers.first().map_or(0, |first| first.number)..numbers.last().map_or(0, |last| last.number + 1);
    let seconds = view.span.seconds.max(LENGTH as f64 / 1e9);
    let mut groups: BTreeMap<(bool, Pid), Vec<Row>> = BTreeMap::new();
    let threads = || view.snapshot.threads.iter();
    let alive: BTreeSet<Pid> =
        threads().filter(|thread| thread.ended.is_none()).map(|thread| thread.pid).collect();
    for thread in threads() {
        let used = Use::of(thread, range.clone(), seconds);
        let row = Row { what: What::Thread(thread), used, requests: thread.read + thread.helped };
        groups.entry((!alive.contains(&thread.pid), thread.pid)).or_default().push(row);
    }
    let mut groups: Vec<(Row, Vec<Row>)> = groups
        .into_values()
        .filter_map(|threads| Some((total(&threads)?, threads)))
        .map(|(total, mut threads)| {
            threads.retain(|row| view.wants(&words(row)));
            (total, threads)
        })
        .collect();
    if view.switched {
        groups.sort_by(|a, b| b.0.used.on_cpu.total_cmp(&a.0.used.on_cpu));
        for (_, threads) in &mut groups {
            threads.sort_by(|a, b| b.used.on_cpu.total_cmp(&a.used.on_cpu));
        }
    }
    let mut rows = Vec::new();
    for (total, threads) in groups {
        if threads.len() > 1 {
            rows.push(total);
        }
        rows.extend(threads);
    }
    rows
}

/// What a process's threads come to; one that has ended counts with what it did.
fn total<'a>(threads: &[Row<'a>]) -> Option<Row<'a>> {
    let of = |row: &Row<'a>| match row.what {
        What::Process(thread, _) | What::Thread(thread) => thread,
    };
    let first = threads.first().map(of)?;
    let main = threads.iter().map(of).find(|thread| thread.tid.0 == thread.pid.0).unwrap_or(first);
    let alive = threads.iter().filter(|row| of(row).ended.is_none()).count();
    let mut sum = Row { what: What::Process(main, alive), used: Use::default(), requests: 0 };
    for row in threads {
        sum.used += row.used;
        sum.requests += row.requests;
    }
    Some(sum)
}

/// What a filter looks at.
fn words(row: &Row) -> String {
    let (What::Process(thread, _) | What::Thread(thread)) = row.what;
    format!("{} {} {} {}", thread.tid, thread.pid, thread.name, thread.role.word())
}

fn cells(row: &Row) -> [String; COLUMNS.len()] {
    let Row { what, used, requests } = row;
    let (number, name, role) = match what {
        What::Process(main, alive) => {
            (main.pid.to_string(), main.name.to_string(), counted(*alive as u64, "thread", "threads"))
        }
        What::Thread(thread) => {
            let role = if thread.ended.is_some() { "ended" } else { thread.role.word() };
            (thread.tid.to_string(), thread.name.to_string(), role.to_owned())
        }
    };
    [
        number,
        name,
        role,
        fmt_percent(used.on_cpu),
        fmt_percent(used.run_queue),
        fmt_count(rounded(used.switches)),
        fmt_count(rounded(used.woken)),
        fmt_count(rounded(used.woke)),
        fmt_count(*requests),
        String::new(),
    ]
}

/// Shares and rates in the span.
#[derive(Clone, Copy, Default)]
struct Use {
    on_cpu: f64,
    run_queue: f64,
    switches: f64,
    woken: f64,
    woke: f64,
}

impl Use {
    fn of(thread: &ThreadView, range: Range<u32>, seconds: f64) -> Self {
        let mut sum = Self::default();
        let buckets = f64::from(range.end.saturating_sub(range.start)).max(1.0);
        for number in range {
            let cell = thread.lane.cell(number);
            sum += Self {
                on_cpu: cell.share(Some(State::OnCpu)) / buckets,
                run_queue: cell.share(Some(State::RunQueue)) / buckets,
                switches: (f64::from(cell.voluntary) + f64::from(cell.involuntary)) / seconds,
                woken: f64::from(cell.woken) / seconds,
                woke: f64::from(cell.woke) / seconds,
            };
        }
        sum
    }
}

impl AddAssign for Use {
    fn add_assign(&mut self, other: Self) {
        self.on_cpu += other.on_cpu;
        self.run_queue += other.run_queue;
        self.switches += other.switches;
        self.woken += other.woken;
        self.woke += other.woke;
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
