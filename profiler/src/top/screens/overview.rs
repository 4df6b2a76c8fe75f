//! The answer, where request time goes over time, latencies over the same time, routes, and what moves with latency.

use super::{Rows, heat, stack};
use crate::{
    live::{Link, Series, links},
    top::{
        answer::{answer, mostly},
        canvas::{Align, Canvas, Column, wrap},
        view::View,
    },
    units::{fmt_count, fmt_us, rounded},
};

/// Columns of the legend beside the chart.
const LEGEND: u16 = 46;
/// Buckets that correlations are sought in: two minutes.
const LINKED: usize = 240;

const ROUTES: [Column; 5] = [
    ("route", 24, Align::Left),
    ("per s", 8, Align::Right),
    ("mean", 8, Align::Right),
    ("worst", 8, Align::Right),
    ("mostly", 24, Align::Left),
];

pub fn draw(view: &View, canvas: &mut Canvas) -> Rows {
    let (width, height) = (canvas.width(), canvas.height());
    let strong = canvas.theme.strong();
    let lines = wrap(&answer(view), usize::from(width));
    let room = if height < 30 { 3 } else { 4 };
    for (y, line) in (0..room).zip(&lines) {
        let cut = usize::from(y) + 1 == usize::from(room) && lines.len() > usize::from(room);
        let line = if cut { format!("{line} …") } else { line.clone() };
        canvas.text(0, y, &line, strong);
    }
    let mut y = u16::try_from(lines.len()).unwrap_or(room).min(room);
    y = findings(view, canvas, y);
    canvas.text(0, y, &measures(view, width), canvas.theme.plain());
    y += 1;

    let left = height.saturating_sub(y + 1);
    let bottom = (left * 3 / 10).clamp(4, 16);
    let charts = left.saturating_sub(bottom + 1);
    let upper = charts * 11 / 20;
    let legend = if width >= 100 { LEGEND } else { 34 };
    let chart = width.saturating_sub(legend + 1);
    canvas.part(0, y, chart, 1).heading(0, "Where request time goes");
    stack::draw(view, &mut canvas.part(0, y + 1, chart, upper.saturating_sub(1)));
    let mut side = canvas.part(chart + 1, y, legend, upper);
    side.heading(0, &view.numbers_words());
    stack::legend(
        &mut side.part(0, 1, legend, upper.saturating_sub(1)),
        &view.span.sums.requests,
        &view.span.sums.slow,
    );

    let y = y + upper;
    let mut title = canvas.part(0, y, chart, 1);
    title.heading(0, "Latency");
    marks(view, &mut title);
    let lower = charts.saturating_sub(upper);
    heat::draw(view, &mut canvas.part(0, y + 1, chart, lower.saturating_sub(1)));
    let mut side = canvas.part(chart + 1, y, legend, lower);
    side.heading(0, "Moves with p99");
    correlations(view, &mut side.part(0, 1, legend, lower.saturating_sub(1)));
    time_axis(view, &mut canvas.part(0, y + lower, chart, 1));

    let y = y + lower + 1;
    routes(view, &mut canvas.part(0, y, width, height.saturating_sub(y)));
    Rows::default()
}

/// What the last whole window was found to wait for, in words.
fn findings(view: &View, canvas: &mut Canvas, y: u16) -> u16 {
    let snapshot = view.snapshot;
    let Some(explanation) = snapshot.explanation.as_ref().filter(|_| is_recent(view)) else { return y };
    let (room, lines) = if canvas.height() < 30 { (1, 2) } else { (3, 3) };
    let found = &explanation.findings;
    // The first one is told in more than a line where the others leave room for it.
    let spare = lines - found.len().min(room);
    let width = usize::from(canvas.width().saturating_sub(2));
    let style = canvas.theme.warn();
    let mut row = y;
    for (place, finding) in found.iter().take(room).enumerate() {
        let wrapped = wrap(&finding.summary, width);
        let own = 1 + if place == 0 { spare } else { 0 };
        canvas.text(0, row, "▶", style);
        for (line, text) in wrapped.iter().take(own).enumerate() {
            let cut = line + 1 == own && wrapped.len() > own;
            let text = if cut { format!("{} {}", text, wrapped[own]) } else { text.clone() };
            canvas.text(2, row, &text, style);
            row += 1;
        }
    }
    row
}

/// Whether the last whole window is what is looked at: not the past, and not from before something changed.
fn is_recent(view: &View) -> bool {
    const RECENT: u64 = 12_000_000_000;
    let (snapshot, ended) = (view.snapshot, view.snapshot.explained);
    let mut told = snapshot.notes.iter().rev().filter(|note| !note.text.is_empty());
    let changed = told.next().is_some_and(|note| note.at.plus(RECENT / 4) > ended);
    let now = view.buckets.len() == snapshot.buckets.len();
    now && !changed && snapshot.at.since(ended) < RECENT
}

/// The measures in one line.
fn measures(view: &View, width: u16) -> String {
    let span = &view.span;
    // The middle of the last bucket may be beyond the longest latency.
    let at =
        |share: f64| fmt_us(span.sums.latencies.quantile(share).min(span.sums.requests.max as f64) / 1e3);
    let in_flight = span.sums.requests.total as f64 / 1e9 / span.seconds.max(1e-9);
    let cpus = span.on_cpus();
    let rate = span.per_second(span.sums.requests.count);
    let rate = if rate < 10.0 { format!("{rate:.1}") } else { fmt_count(rounded(rate)) };
    let wide = width >= 100;
    let mut parts = vec![format!("{rate} {}", if wide { "requests/s" } else { "req/s" })];
    if span.sums.requests.count > 0 {
        parts.push(format!("p50 {}", at(0.5)));
        parts.push(format!("p99 {}", at(0.99)));
        parts.push(format!("p99.9 {}", at(0.999)));
        if wide {
            parts.push(format!("max {}", fmt_us(span.sums.requests.max as f64 / 1e3)));
        }
        parts.push(format!("in flight {in_flight:.1}"));
    }
    parts.push(format!("on {cpus:.2} CPUs"));
    parts.join(if wide { " · " } else { "  " })
}

/// What moves together with latency.
fn correlations(view: &View, canvas: &mut Canvas) {
    let buckets = &view.buckets[view.buckets.len().saturating_sub(LINKED)..];
    let links = links(buckets);
    if links.is_empty() {
        canvas.paragraph(0, "nothing so far", canvas.theme.faint());
        return;
    }
    for (y, link) in (0..canvas.height()).zip(&links) {
        let sign = if link.strength < 0.0 { '−' } else { '+' };
        let bars = "▪".repeat(usize::from(strength(link)));
        let text = format!("{sign}{:.2} {bars:<3} {}", link.strength.abs(), words(link));
        canvas.text(0, y, &text, canvas.theme.plain());
    }
}

/// How strong, from one to three.
fn strength(link: &Link) -> u8 {
    match link.strength.abs() {
        0.9.. => 3,
        0.7.. => 2,
        _ => 1,
    }
}

fn words(link: &Link) -> String {
    let lag = match link.lag {
        lag if lag > 0.0 => format!(" {lag:.1} s before"),
        lag if lag < 0.0 => format!(" {:.1} s after", -lag),
        _ => String::new(),
    };
    let what = match link.series {
        Series::State(state) => state.words(),
        other => other.words(),
    };
    format!("{what}{lag}")
}

/// Seconds below the charts.
fn time_axis(view: &View, canvas: &mut Canvas) {
    let width = canvas.width().saturating_sub(stack::AXIS);
    let columns = view.columns(usize::from(width));
    let indent = usize::from(width).saturating_sub(columns.len());
    let faint = canvas.theme.faint();
    let mut free = 0;
    for (place, column) in columns.iter().enumerate() {
        let Some(first) = column.first() else { continue };
        let x = stack::AXIS + u16::try_from(indent + place).unwrap_or(0);
        let from_right = columns.len() - 1 - place;
        if from_right.is_multiple_of(20) && x >= free {
            let label = format!("-{:.0}s", view.ago(first.begin));
            let label = if from_right == 0 && view.ago(first.begin) < 60.0 * view.zoom as f64 {
                "now".to_owned()
            } else {
                label
            };
            let length = u16::try_from(label.len()).unwrap_or(0);
            let from = x.min((stack::AXIS + width).saturating_sub(length));
            free = canvas.text(from, 0, &label, faint) + 1;
        }
    }
}

/// Marks in a heading where something was said.
fn marks(view: &View, canvas: &mut Canvas) {
    let width = canvas.width().saturating_sub(stack::AXIS);
    let columns = view.columns(usize::from(width));
    let indent = usize::from(width).saturating_sub(columns.len());
    for (place, column) in columns.iter().enumerate() {
        let (Some(first), Some(last)) = (column.first(), column.last()) else { continue };
        let end = last.begin.plus(crate::live::LENGTH);
        if view.snapshot.notes.iter().any(|note| note.at >= first.begin && note.at < end) {
            let x = stack::AXIS + u16::try_from(indent + place).unwrap_or(0);
            canvas.put(x, 0, '▲', canvas.theme.warn());
        }
    }
}

fn routes(view: &View, canvas: &mut Canvas) {
    let mut columns = ROUTES;
    columns[0].1 = (canvas.width() / 3).clamp(20, 60);
    canvas.columns(0, &columns);
    let span = &view.span;
    for (y, cell) in (1..canvas.height()).zip(&span.sums.routes) {
        let group = &cell.group;
        let name = cell.route.as_deref().unwrap_or("(no HTTP/1 route)");
        let mean = group.total as f64 / group.count.max(1) as f64 / 1e3;
        let cells = [
            name.to_owned(),
            format!("{:.1}", span.per_second(group.count)),
            fmt_us(mean),
            fmt_us(group.max as f64 / 1e3),
            String::new(),
        ];
        let x = canvas.cells(y, &columns, &cells, canvas.theme.plain());
        let bar = canvas.width().saturating_sub(x + 34).min(40);
        if bar >= 10 {
            stack::bar(canvas, (x, y), bar, &group.times);
            canvas.text(x + bar + 1, y, &mostly(&group.times), canvas.theme.faint());
        } else {
            canvas.text(x, y, &mostly(&group.times), canvas.theme.plain());
        }
    }
}
