//! What is around a screen: header, tabs, footer; and what is laid over it: help, explanation.

use std::collections::BTreeSet;

use super::{
    app::{App, Overlay, Prompt},
    bar,
    canvas::{Canvas, wrap},
    keys::{Key, Place, keys},
    screens::{Rows, SCREENS, Screen},
    theme::letter,
    view::View,
};
use crate::{
    clock::State,
    live::{Note, Snapshot, Status},
    units::{Pid, fmt_count, fmt_percent, fmt_us},
};

/// Columns and rows below which nothing sensible can be shown.
pub const LEAST: (u16, u16) = (80, 24);
/// Rows above a screen; in a recording there is the time cursor as well.
const TOP: u16 = 2;

/// Draws everything. Returns the screen's rows, counted from the top of the terminal.
pub fn draw(app: &App, canvas: &mut Canvas) -> Rows {
    let (width, height) = (canvas.width(), canvas.height());
    if width < LEAST.0 || height < LEAST.1 {
        let text =
            format!("whywait needs {} × {} columns and rows; here are {width} × {height}.", LEAST.0, LEAST.1);
        canvas.paragraph(0, &text, canvas.theme.strong());
        canvas.paragraph(3, "Make the window larger; q quits.", canvas.theme.plain());
        return Rows::default();
    }
    let view = app.view(canvas.theme);
    header(app, &view, canvas);
    tabs(app.screen, canvas);
    let mut top = TOP;
    if let Some(cursor) = app.cursor() {
        bar::draw(cursor, &mut canvas.part(0, TOP, width, 1));
        top += 1;
    }
    let note = note(&view, canvas, height - 1);
    let room = height - top - 1 - note;
    let mut part = canvas.part(0, top, width, room);
    let rows = match &app.overlay {
        Some(Overlay::Request(kept)) => {
            let count = super::screens::draw_request(kept, view.snapshot, app.scroll, &mut part);
            Rows { count, ..Rows::default() }
        }
        Some(Overlay::Lock(place)) => {
            let count = super::screens::draw_lock(*place, &view, app.scroll, &mut part);
            Rows { count, ..Rows::default() }
        }
        Some(Overlay::Help) => {
            Rows { count: help(app.scroll, app.cursor().is_some(), &mut part), ..Rows::default() }
        }
        Some(Overlay::Explanation) => {
            Rows { count: explanation(view.snapshot, app.scroll, &mut part), ..Rows::default() }
        }
        None => app.screen.draw(&view, &mut part),
    };
    footer(app, canvas, height - 1);
    Rows { top: rows.top + top, ..rows }
}

fn who(snapshot: &Snapshot) -> String {
    let target = &snapshot.target;
    let mut facts: Vec<String> = target.pids.first().map(ToString::to_string).into_iter().collect();
    let alive = snapshot.threads.iter().filter(|thread| thread.ended.is_none());
    let processes = alive.map(|thread| thread.pid).collect::<BTreeSet<Pid>>().len();
    if processes > 1 {
        facts.push(format!("{processes} processes"));
    }
    if let Some(port) = target.ports.first() {
        facts.push(format!("port {port}"));
    }
    let facts = if facts.is_empty() { String::new() } else { format!(" ({})", facts.join(", ")) };
    format!("{}{facts}", target.command)
}

fn header(app: &App, view: &View, canvas: &mut Canvas) {
    let snapshot = view.snapshot;
    let theme = canvas.theme;
    let health = &snapshot.health;
    let (lost, lag) = (health.lost.total(), health.lag);
    let mut right = Vec::new();
    if app.back > 0 {
        let ago = view.buckets.last().map_or(0.0, |last| view.ago(last.begin));
        right.push((format!("{ago:.0} s AGO"), theme.warn()));
    }
    if app.is_frozen() {
        right.push(("FROZEN".to_owned(), theme.warn()));
    }
    let replay = snapshot.cursor.is_some();
    if !replay {
        let seconds = snapshot.at.since(snapshot.began) / 1_000_000_000;
        let time = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
        right.push((time, theme.plain()));
    }
    let lost_style = if lost == 0 { theme.faint() } else { theme.bad() };
    right.push((format!("{} {}", if lost == 0 { "lost" } else { "LOST" }, fmt_count(lost)), lost_style));
    let lag_style = if lag == 0 { theme.faint() } else { theme.bad() };
    if !replay {
        right.push((format!("lag {}", fmt_us(lag as f64 / 1e3)), lag_style));
    }
    let length: usize = right.iter().map(|(text, _)| text.chars().count() + 3).sum();
    let mut x = canvas.width().saturating_sub(u16::try_from(length).unwrap_or(0));
    let room = x;
    for (text, style) in right {
        x = canvas.text(x, 0, " │ ", theme.faint());
        x = canvas.text(x, 0, &text, style);
    }
    let mut left = canvas.part(0, 0, room, 1);
    let mut at = left.text(0, 0, if replay { "whywait replay: " } else { "whywait " }, theme.key());
    at = left.text(at, 0, &who(snapshot), theme.strong());
    let status = match &snapshot.status {
        Status::Attaching => Some("attaching…".to_owned()),
        Status::Watching => None,
        Status::Ended => Some("HAS ENDED".to_owned()),
        Status::Waiting { whom } => Some(format!("HAS ENDED, waiting for {whom}")),
    };
    if let Some(status) = status {
        left.text(at + 1, 0, &status, theme.warn());
    } else if let Some(model) = &snapshot.model {
        left.text(at, 0, &format!(" · {} ({})", model.id, fmt_percent(model.confidence)), theme.plain());
    }
}

/// Columns that tabs with a blank behind their numbers take.
const ROOMY: u16 = 90;

/// Where each screen's tab begins and ends on a screen of so many columns.
pub fn tab_places(columns: u16) -> Vec<(Screen, std::ops::Range<u16>)> {
    let mut x = 0;
    let number = if columns < ROOMY { 1 } else { 2 };
    SCREENS
        .iter()
        .map(|screen| {
            let width = u16::try_from(screen.name().len()).unwrap_or(0) + number;
            let place = x..x + width;
            x += width + 1;
            (*screen, place)
        })
        .collect()
}

fn tabs(chosen: Screen, canvas: &mut Canvas) {
    let theme = canvas.theme;
    for (screen, place) in tab_places(canvas.width()) {
        let style = if screen == chosen { theme.chosen() } else { theme.plain() };
        let number = if screen == chosen { style } else { theme.key() };
        let name = screen.name();
        let blank = if place.len() > name.len() + 1 { " " } else { "" };
        canvas.put(place.start, 1, screen.number(), number);
        canvas.text(place.start + 1, 1, &format!("{blank}{name}"), style);
    }
}

/// How long it is told that something happened to the target, in nanoseconds.
const NEWS: u64 = 10_000_000_000;

/// What was said last, above row `bottom`; returns how many rows it takes.
fn note(view: &View, canvas: &mut Canvas, bottom: u16) -> u16 {
    let until = view.buckets.last().map_or(view.snapshot.at, |last| last.begin.plus(crate::live::LENGTH));
    // What happened to the target is news for a while; what is to be seen is said until something else is.
    let is_shown = |note: &&Note| note.at <= until && (!note.text.is_empty() || until.since(note.at) < NEWS);
    let Some(note) = view.snapshot.notes.iter().rev().find(is_shown) else { return 0 };
    let text = if note.text.is_empty() {
        format!("▲ {}", note.title)
    } else {
        format!("▲ {}: {}", note.title, note.text)
    };
    let lines = wrap(&text, usize::from(canvas.width()));
    let rows = u16::try_from(lines.len()).unwrap_or(1).min(3);
    for (y, line) in (bottom.saturating_sub(rows)..bottom).zip(&lines) {
        canvas.text(0, y, line, canvas.theme.key());
    }
    rows
}

fn footer(app: &App, canvas: &mut Canvas, y: u16) {
    let theme = canvas.theme;
    if let Some((prompt, typed)) = &app.typing {
        let (label, hint) = match prompt {
            Prompt::Filter => ("filter: ", "Enter keeps it, Esc drops it"),
            Prompt::Moment => ("go to: ", "12.5, 1:03, -5s from the end; Enter goes there, Esc does not"),
        };
        let x = canvas.text(0, y, label, theme.key());
        canvas.text(x, y, &format!("{typed}▏ ({hint})"), theme.plain());
        return;
    }
    if let Some(message) = &app.message {
        canvas.text(0, y, message, theme.strong());
        return;
    }
    let mut x = 0;
    if app.overlay.is_some() {
        x = canvas.text(x, y, "Esc", theme.key());
        x = canvas.text(x, y, " back  ", theme.plain());
        x = canvas.text(x, y, "↑ ↓", theme.key());
        x = canvas.text(x, y, " scroll  ", theme.plain());
    }
    let open = app.overlay.is_some();
    let shown = |key: &&Key| app.screen.has(key.place) && (!open || key.place == Place::Always);
    for key in keys(app.cursor().is_some()).filter(shown) {
        let length = u16::try_from(key.name.chars().count() + key.short.len() + 3).unwrap_or(0);
        if x + length > canvas.width() + 2 {
            break;
        }
        x = canvas.text(x, y, key.name, theme.key());
        x = canvas.text(x, y, &format!(" {}  ", key.short), theme.plain());
    }
    if !app.filter.is_empty() {
        canvas.text(x, y, &format!("filter: {}", app.filter), theme.warn());
    }
}

/// The keys and the letters; returns how many lines there are.
fn help(scroll: usize, replay: bool, canvas: &mut Canvas) -> usize {
    let theme = canvas.theme;
    canvas.heading(0, "Keys");
    let letters = State::ALL.len() + 2;
    let all = keys(replay).count() + letters;
    let longest = keys(replay).map(|key| key.name.chars().count()).max().unwrap_or(0);
    let column = u16::try_from(longest + 2).unwrap_or(0).max(9);
    let mut y = 1;
    for key in keys(replay).skip(scroll) {
        canvas.text(1, y, key.name, theme.key());
        canvas.text(column, y, key.long, theme.plain());
        y += 1;
    }
    if canvas.height() > y + 1 {
        y += 1;
        canvas.heading(y, "Letters in the charts");
        y += 1;
        let shares = State::ALL.into_iter().map(Some).chain([None]);
        let columns = (canvas.width() / 40).max(1);
        for (place, share) in (0_u16..).zip(shares) {
            let (x, row) = (1 + place % columns * 40, y + place / columns);
            canvas.put(x, row, letter(share), theme.block(share));
            canvas.text(x + 2, row, share.map_or("waiting for something to do", State::words), theme.plain());
        }
    }
    all
}

/// The explanation as text; returns how many lines there are.
fn explanation(snapshot: &Snapshot, scroll: usize, canvas: &mut Canvas) -> usize {
    let Some(explanation) = &snapshot.explanation else {
        canvas.text(
            0,
            0,
            "The first explanation comes five seconds after the beginning.",
            canvas.theme.plain(),
        );
        return 1;
    };
    let mut text = Vec::new();
    if let Err(error) = crate::report::write_text(explanation, crate::report::Palette::PLAIN, &mut text) {
        canvas.text(0, 0, &error.to_string(), canvas.theme.bad());
        return 1;
    }
    let text = String::from_utf8_lossy(&text);
    for (y, line) in (0..canvas.height()).zip(text.lines().skip(scroll)) {
        canvas.text(0, y, line, canvas.theme.plain());
    }
    text.lines().count()
}
