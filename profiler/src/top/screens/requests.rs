//! The slowest requests of the time in the picture, or the latest.

use std::sync::Arc;

use super::{Rows, stack};
use crate::{
    live::Kept,
    top::{
        answer::mostly,
        canvas::{Align, Canvas, Column},
        view::View,
    },
    units::fmt_us,
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
    listed.retain(|kept| view.wants(&words(kept)));
    listed
}

/// What a filter looks at: route, states, threads.
fn words(kept: &Kept) -> String {
    let request = &kept.request;
    let threads: Vec<String> = request.threads.iter().map(ToString::to_string).collect();
    let route = request.route.as_deref().unwrap_or("-");
    format!("{route} {} {}", mostly(&request.times), threads.join(" "))
}

pub fn draw(view: &View, canvas: &mut Canvas) -> Rows {
    let listed = listed(view);
    let title = if view.switched {
        "Latest requests".to_owned()
    } else {
        format!("Slowest requests, {}", view.numbers_words())
    };
    canvas.heading(0, &title);
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
