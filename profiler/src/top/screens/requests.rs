//! The slowest requests of the time in the picture, or the latest.

use std::sync::Arc;

use super::{Rows, stack};
use crate::{
    live::Kept,
    top::{
        answer::{mostly, ranked},
        canvas::{Align, Canvas, Column},
        view::View,
    },
    units::{fmt_us, parse_time},
};

const COLUMNS: [Column; 5] = [
    ("ago", 8, Align::Right),
    ("latency", 8, Align::Right),
    ("thread", 8, Align::Right),
    ("route", 24, Align::Left),
    ("its time", 20, Align::Left),
];

/// Requests that are listed, in their order.
pub fn listed(view: &View) -> Vec<Arc<Kept>> {
    let mut listed: Vec<Arc<Kept>> = if view.switched {
        view.snapshot.latest.clone()
    } else {
        let mut slowest: Vec<Arc<Kept>> =
            view.numbers().iter().flat_map(|bucket| bucket.slowest.iter().cloned()).collect();
        slowest.sort_by_key(|kept| std::cmp::Reverse((kept.request.latency(), kept.request.id)));
        slowest
    };
    let filter = view.filter.to_lowercase();
    listed.retain(|kept| filter.split_whitespace().all(|word| is_as(kept, word)));
    listed
}

/// States that a filter finds have this share of a request's time.
const FOUND: f64 = 0.05;

/// Whether a request is as a word of a filter says: `>20ms` and `<1s` are about its latency, others are parts of its route, of the names of
/// states that it was in for long, of a thread's number.
fn is_as(kept: &Kept, word: &str) -> bool {
    let request = &kept.request;
    let limit = |sign| word.strip_prefix(sign).and_then(parse_time);
    if let Some(nanos) = limit('>') {
        return request.latency() > nanos;
    }
    if let Some(nanos) = limit('<') {
        return request.latency() < nanos;
    }
    let states = ranked(&request.times).into_iter().filter(|(_, share)| *share >= FOUND);
    let threads = request.threads.iter().map(ToString::to_string);
    let mut texts = states
        .flat_map(|(state, _)| [state.id().to_owned(), state.words().to_owned()])
        .chain(threads)
        .chain(request.route.as_deref().map(str::to_lowercase));
    texts.any(|text| text.contains(word))
}

pub fn draw(view: &View, canvas: &mut Canvas) -> Rows {
    let listed = listed(view);
    let title = if view.switched {
        "Latest requests".to_owned()
    } else {
        format!("Slowest requests, {}", view.numbers_words())
    };
    canvas.heading(0, &format!("{title}; / filters: route, state, thread, >20ms, <1s"));
    let mut columns = COLUMNS;
    columns[3].1 = (canvas.width() / 4).clamp(20, 60);
    canvas.columns(1, &columns);
    let rows = Rows::new(listed.len(), 2, canvas.height(), view.chosen);
    for (y, (place, kept)) in (2..canvas.height()).zip(listed.iter().enumerate().skip(rows.first)) {
        let request = &kept.request;
        let cells = [
            format!("{:.1} s", view.ago(request.end)),
            fmt_us(request.latency() as f64 / 1e3),
            request.threads.first().map(ToString::to_string).unwrap_or_default(),
            request.route.as_deref().unwrap_or("-").to_owned(),
            String::new(),
        ];
        let style = if place == view.chosen { canvas.theme.chosen() } else { canvas.theme.plain() };
        let x = canvas.cells(y, &columns, &cells, style);
        let width = canvas.width().saturating_sub(x + 36).clamp(8, 80);
        stack::bar(canvas, (x, y), width, &request.times);
        let flag = if request.touched_by_loss { "LOSS " } else { "" };
        canvas.text(x + width + 1, y, &format!("{flag}{}", mostly(&request.times)), canvas.theme.plain());
    }
    if listed.is_empty() {
        canvas.text(0, 3, "no request", canvas.theme.faint());
    }
    rows
}
