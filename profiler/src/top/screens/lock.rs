//! One lock: what those did that held it, where in the code they let it go, and where requests wait for it.

use super::locks::name;
use crate::{
    clock::State,
    live::{KnownLock, LockPlace},
    report::{HolderUse, counted},
    top::{
        canvas::{Align, Canvas, Column, wrap},
        theme::letter,
        view::View,
    },
    units::{Pid, fmt_count, fmt_percent, fmt_us},
};

const HOLDERS: [Column; 7] = [
    ("thread", 8, Align::Right),
    ("name", 15, Align::Left),
    ("let go", 7, Align::Right),
    ("on a CPU", 9, Align::Right),
    ("no CPU", 9, Align::Right),
    ("blocked", 9, Align::Right),
    ("in", 30, Align::Left),
];
/// What is said of a lock of which nothing more is known.
const UNKNOWN: &str =
    "Nobody waited for it in the last window of five seconds, or that window is still to be explained.";
const KERNEL: &str = "A lock inside the kernel, by the system call that met it: who holds it is not known. `e` tells which locks \
                      of the kernel there are, and 8 where in the code requests wait for them.";
const OTHERS: &str =
    "Locks for which requests waited as well, and of which too many are there to tell them apart.";

/// A line and how it looks.
enum Line {
    Heading(String),
    Columns,
    Holder([String; HOLDERS.len()]),
    Text(String),
    /// A stack of waiters: its share of their time, and itself.
    Waiter(String),
}

/// Draws a lock from line `scroll` on; returns how many lines there are.
pub fn draw(place: LockPlace, view: &View, scroll: usize, canvas: &mut Canvas) -> usize {
    let theme = canvas.theme;
    let known = view.snapshot.locks.iter().find(|known| known.is(place));
    let (text, pid) = (name(place), place.pid);
    let title = match known.and_then(|known| known.name.as_deref()) {
        Some(name) if name.starts_with(&text) => format!("Lock {name}, process {pid}"),
        Some(name) => format!("Lock {name}, at {text} of process {pid}"),
        None => format!("Lock {text} of process {pid}"),
    };
    canvas.heading(0, &title);
    let mut y = canvas.paragraph(1, &waits(view, place), theme.strong());
    let Some(known) = known else {
        let text = match place {
            LockPlace { kernel: Some(_), .. } => KERNEL,
            LockPlace { pid: Pid(0), .. } => OTHERS,
            _ => UNKNOWN,
        };
        canvas.paragraph(y + 1, text, theme.faint());
        return 0;
    };
    y += 1;
    let lines = lines(known, usize::from(canvas.width()));
    for (y, line) in (y..canvas.height()).zip(lines.iter().skip(scroll)) {
        match line {
            Line::Heading(text) => canvas.heading(y, text),
            Line::Columns => canvas.columns(y, &HOLDERS),
            Line::Holder(cells) => {
                canvas.cells(y, &HOLDERS, cells, theme.plain());
            }
            Line::Text(text) => {
                canvas.text(0, y, text, theme.plain());
            }
            Line::Waiter(text) => {
                canvas.put(0, y, letter(Some(State::Lock)), theme.block(Some(State::Lock)));
                canvas.text(2, y, text, theme.plain());
            }
        }
    }
    lines.len()
}

/// What requests waited in the time that is looked at.
fn waits(view: &View, place: LockPlace) -> String {
    let span = &view.span;
    let Some(lock) = span.sums.locks.iter().find(|lock| lock.place == place) else {
        return format!("No request waited for it in the {}.", view.numbers_words());
    };
    let waits = &lock.waits;
    format!(
        "{}: {:.1} waits a second, {} in the mean, {} at worst, up to {} in line; {} of the requests' time.",
        view.numbers_words(),
        span.per_second(waits.count),
        fmt_us(waits.total as f64 / waits.count.max(1) as f64 / 1e3),
        fmt_us(waits.max as f64 / 1e3),
        counted(u64::from(lock.at_once), "thread", "threads"),
        fmt_percent(waits.total as f64 / span.sums.requests.total.max(1) as f64),
    )
}

fn lines(known: &KnownLock, width: usize) -> Vec<Line> {
    let mut lines = vec![
        Line::Heading(format!("Who held it ({}), and what they did while others waited", known.kind)),
        Line::Columns,
    ];
    lines.extend(known.holders.iter().map(|holder| Line::Holder(cells(holder))));
    lines.push(Line::Text(String::new()));
    lines.push(Line::Heading("Where in the code they let it go".to_owned()));
    for release in &known.releases {
        let times = format!("{} × ", fmt_count(release.count));
        lines.extend(wrap(&format!("{times}{}", way(&release.frames)), width).into_iter().map(Line::Text));
    }
    if known.releases.is_empty() {
        lines.push(Line::Text("no stack was taken".to_owned()));
    }
    lines.push(Line::Text(String::new()));
    lines.push(Line::Heading("Where in the code requests wait for it".to_owned()));
    let all: f64 = known.waiters.iter().map(|stack| stack.micros).sum();
    if known.waiters.is_empty() {
        lines.push(Line::Text("no stack was taken".to_owned()));
    }
    for stack in &known.waiters {
        let share = fmt_percent(stack.micros / all.max(1.0));
        lines.extend(
            wrap(&format!("{share} {}", way(&stack.frames)), width - 2).into_iter().map(Line::Waiter),
        );
    }
    lines
}

fn cells(holder: &HolderUse) -> [String; HOLDERS.len()] {
    let call = holder.blocked_in.as_deref().unwrap_or_default();
    let routes = match holder.routes.as_slice() {
        [] => String::new(),
        routes => format!(" for {}", routes.join(", ")),
    };
    [
        holder.tid.to_string(),
        holder.name.clone(),
        fmt_count(holder.woke),
        fmt_us(holder.on_cpu_us),
        fmt_us(holder.runnable_us),
        fmt_us(holder.blocked_us),
        format!("{call}{routes}").trim_start().to_owned(),
    ]
}

/// A stack in a line, innermost first.
fn way(frames: &[String]) -> String {
    let frames: Vec<&str> = frames.iter().rev().map(String::as_str).collect();
    frames.join(" ← ")
}
