//! One request: its way through states and threads.

use whywait_ebpf::syscalls;

use super::stack::AXIS;
use crate::{
    clock::{StartedAt, State},
    live::{Kept, Kind, Snapshot, Step},
    top::{
        answer::ranked,
        canvas::{Align, Canvas, Column},
        theme::letter,
    },
    units::{Ns, Tid, fmt_percent, fmt_us},
};

const STEPS: [Column; 5] = [
    ("at", 9, Align::Right),
    ("for", 9, Align::Right),
    ("thread", 8, Align::Right),
    ("state", 5, Align::Left),
    ("what", 30, Align::Left),
];

/// Time on a line of so many columns.
struct Scale {
    start: Ns,
    length: u64,
    width: u16,
}

impl Scale {
    fn column(&self, at: Ns) -> u16 {
        let share = at.since(self.start) as f64 / self.length.max(1) as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the width")]
        let column = (share * f64::from(self.width)) as u16;
        column.min(self.width)
    }

    /// Columns of an interval: at least one.
    fn columns(&self, from: Ns, to: Ns) -> std::ops::Range<u16> {
        let from = self.column(from).min(self.width.saturating_sub(1));
        from..self.column(to).max(from + 1)
    }
}

/// Draws a request from row `scroll` of its steps on; returns how many steps there are.
pub fn draw(kept: &Kept, snapshot: &Snapshot, scroll: usize, canvas: &mut Canvas) -> usize {
    let request = &kept.request;
    let (theme, width) = (canvas.theme, canvas.width());
    let route = request.route.as_deref().unwrap_or("a request");
    canvas.heading(0, &format!("{route}: {}", fmt_us(request.latency() as f64 / 1e3)));
    let states: Vec<String> = ranked(&request.times)
        .into_iter()
        .take(4)
        .map(|(state, share)| {
            format!(
                "{} {} ({})",
                state.words(),
                fmt_us(request.times[state] as f64 / 1e3),
                fmt_percent(share)
            )
        })
        .collect();
    let mut y = canvas.paragraph(1, &states.join(", "), theme.strong());
    for line in facts(kept, snapshot) {
        y = canvas.paragraph(y, &line, theme.plain());
    }
    y += 1;
    let scale =
        Scale { start: request.start, length: request.latency(), width: width.saturating_sub(AXIS + 8) };
    let x = AXIS + 8;
    canvas.text(0, y, "request", theme.strong());
    for piece in &request.path {
        let style = theme.block(Some(piece.state));
        for column in scale.columns(piece.from, piece.to) {
            canvas.put(x + column, y, letter(Some(piece.state)), style);
        }
    }
    y += 1;
    for tid in request.threads.iter().take(usize::from(canvas.height() / 4).max(1)) {
        canvas.text(0, y, &format!("{tid} {}", name(snapshot, *tid)), theme.faint());
        thread_line(kept, *tid, &scale, canvas, (x, y));
        y += 1;
    }
    let end = fmt_us(request.latency() as f64 / 1e3);
    canvas.text(x, y, "0", theme.faint());
    let length = u16::try_from(end.chars().count()).unwrap_or(0);
    canvas.text(width.saturating_sub(length), y, &end, theme.faint());
    y += 2;
    canvas.columns(y, &STEPS);
    let rows = lines(kept, snapshot);
    for (y, row) in (y + 1..canvas.height()).zip(rows.iter().skip(scroll)) {
        let style = theme.plain();
        canvas.cells(y, &STEPS, &row.cells, style);
        if let Shown::Share(share) = row.share {
            canvas.put(29, y, letter(share), theme.block(share));
        }
    }
    rows.len()
}

/// What is to be said of it beside its states.
fn facts(kept: &Kept, snapshot: &Snapshot) -> Vec<String> {
    let request = &kept.request;
    let mut facts = Vec::new();
    let port = if request.port == 0 { "a Unix socket".to_owned() } else { format!("port {}", request.port) };
    facts.push(format!(
        "on {port}, {} in, {} out, connection {}, read by {} {}",
        bytes(request.received.0),
        bytes(request.sent.0),
        request.conn.0,
        request.threads.first().map_or(Tid(0), |tid| *tid),
        request.threads.first().map(|tid| name(snapshot, *tid)).unwrap_or_default(),
    ));
    for ahead in &kept.ahead {
        let meanwhile = ahead.kept_waiting(request);
        facts.push(format!(
            "In front of it: {}, on which thread {} worked for {} while this one waited.",
            ahead.route.as_deref().unwrap_or("another request"),
            ahead.tid,
            fmt_us(meanwhile as f64 / 1e3)
        ));
    }
    if request.started_at == StartedAt::Read {
        facts.push("When it arrived is not known: it begins with its first read.".to_owned());
    }
    if request.touched_by_loss {
        facts.push("LOSS: records were lost that may have been about it.".to_owned());
    }
    facts
}

fn bytes(count: u64) -> String {
    format!("{} bytes", crate::units::fmt_count(count))
}

fn name(snapshot: &Snapshot, tid: Tid) -> String {
    let thread = snapshot.threads.iter().find(|thread| thread.tid == tid);
    thread.map(|thread| thread.name.to_string()).unwrap_or_default()
}

/// A thread's states in the request's time; blank where nothing is told, for it may have worked for others.
fn thread_line(kept: &Kept, tid: Tid, scale: &Scale, canvas: &mut Canvas, (x, y): (u16, u16)) {
    let mut paint = |from: Ns, to: Ns, share: Option<State>| {
        if to <= scale.start {
            return;
        }
        let style = canvas.theme.block(share);
        for column in scale.columns(from.max(scale.start), to) {
            canvas.put(x + column, y, letter(share), style);
        }
    };
    let request = &kept.request;
    let owned = request
        .path
        .iter()
        .filter(|piece| piece.state == State::OnCpu && request.owner_of(piece) == Some(tid));
    for piece in owned {
        paint(piece.from, piece.to, Some(State::OnCpu));
    }
    for step in kept.steps.iter().filter(|step| step.tid == tid) {
        if let Kind::Off { state, .. } = step.kind {
            if step.ready > step.from {
                paint(step.from, step.ready, state);
            }
            if step.to > step.ready {
                paint(step.ready, step.to, Some(State::RunQueue));
            }
        }
    }
}

/// What a line shows in its column of states.
#[derive(Clone, Copy)]
enum Shown {
    Nothing,
    Share(Option<State>),
}

struct Line {
    cells: [String; 5],
    share: Shown,
}

/// The steps, one a line.
fn lines(kept: &Kept, snapshot: &Snapshot) -> Vec<Line> {
    let request = &kept.request;
    let mut lines = Vec::new();
    let mut line = |at: Ns, nanos: u64, tid: Tid, share: Shown, what: String| {
        let offset = if at >= request.start {
            format!("+{}", fmt_us(at.since(request.start) as f64 / 1e3))
        } else {
            format!("-{}", fmt_us(request.start.since(at) as f64 / 1e3))
        };
        let time = if nanos > 0 { fmt_us(nanos as f64 / 1e3) } else { String::new() };
        lines.push(Line { cells: [offset, time, tid.to_string(), String::new(), what], share });
    };
    for step in &kept.steps {
        let what = what(step, snapshot);
        match step.kind {
            Kind::Off { state, .. } => {
                if step.ready > step.from {
                    line(step.from, step.ready.since(step.from), step.tid, Shown::Share(state), what);
                }
                if step.to > step.ready {
                    let share = Shown::Share(Some(State::RunQueue));
                    line(step.ready, step.to.since(step.ready), step.tid, share, "had no CPU".to_owned());
                }
            }
            _ => line(step.from, 0, step.tid, Shown::Nothing, what),
        }
    }
    lines
}

fn what(step: &Step, snapshot: &Snapshot) -> String {
    let peer = step.peer.as_deref().unwrap_or("somebody");
    match &step.kind {
        Kind::Read => format!("read from {peer}"),
        Kind::Write => format!("wrote to {peer}"),
        Kind::Call => format!("called {peer}"),
        Kind::Answer => format!("read the answer of {peer}"),
        Kind::Off { state, syscall, object, waker } => {
            let call = if *syscall < 0 { String::new() } else { format!(" in {}", call_name(*syscall)) };
            let on = match state {
                Some(State::Lock) => format!(" on {object:#x}"),
                Some(State::Downstream | State::Send) if step.peer.is_some() => format!(" ({peer})"),
                _ => String::new(),
            };
            let by = if waker.0 == 0 {
                String::new()
            } else {
                format!("; woken by {waker} {}", name(snapshot, *waker))
            };
            let words = state.map_or("waited for something to do", State::words);
            format!("{words}{call}{on}{by}")
        }
    }
}

/// A system call's name, or its number.
pub fn call_name(number: i32) -> String {
    syscalls::name(number).map_or_else(|| number.to_string(), str::to_owned)
}
