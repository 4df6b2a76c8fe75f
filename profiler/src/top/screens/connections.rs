//! Who calls the target, and whom it calls; connections that wait to be accepted.

use super::Rows;
use crate::{
    live::{Backlog, PeerCell, Side},
    top::{
        canvas::{Align, Canvas, Column},
        view::View,
    },
    units::{fmt_count, fmt_us, rounded},
};

const COLUMNS: [Column; 10] = [
    ("", 10, Align::Left),
    ("peer", 24, Align::Left),
    ("open", 6, Align::Right),
    ("opened/s", 8, Align::Right),
    ("answers/s", 9, Align::Right),
    ("mean", 8, Align::Right),
    ("worst", 8, Align::Right),
    ("queued", 8, Align::Right),
    ("in B/s", 8, Align::Right),
    ("out B/s", 8, Align::Right),
];

/// The same where there is little room.
const NARROW: [Column; 10] = [
    ("", 6, Align::Left),
    ("peer", 17, Align::Left),
    ("open", 4, Align::Right),
    ("new/s", 5, Align::Right),
    ("answ/s", 6, Align::Right),
    ("mean", 7, Align::Right),
    ("worst", 7, Align::Right),
    ("queued", 7, Align::Right),
    ("in/s", 6, Align::Right),
    ("out/s", 6, Align::Right),
];

/// Columns of a queue's bar.
const GAUGE: u16 = 20;

/// The accept queues; returns the row below.
fn backlogs(view: &View, canvas: &mut Canvas) -> u16 {
    let theme = canvas.theme;
    let all = &view.snapshot.backlogs;
    let ports = &view.snapshot.target.ports;
    if all.is_empty() {
        let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
        let listens = if ports.is_empty() { "no port that is seen".to_owned() } else { ports.join(", ") };
        let waiting = match view.snapshot.cursor {
            Some(_) => "; how many connections wait to be accepted is not in a recording",
            None => "",
        };
        canvas.heading(0, &format!("Listens on {listens}{waiting}"));
        return 1;
    }
    let most = usize::from(canvas.height() / 4).max(1);
    let more = if all.len() > most { format!(" ({most} of {})", all.len()) } else { String::new() };
    canvas.heading(0, &format!("Waiting to be accepted, now{more}"));
    // What is full first.
    let mut shown: Vec<&Backlog> = all.iter().collect();
    shown.sort_by_key(|backlog| {
        std::cmp::Reverse((backlog.has_been_full(), backlog.dropped > 0, backlog.most))
    });
    let mut y = 1;
    for backlog in shown.into_iter().take(most) {
        let full = backlog.has_been_full();
        let style = if full || backlog.dropped > 0 { theme.bad() } else { theme.plain() };
        let sockets = match backlog.sockets {
            1 => String::new(),
            count => format!(" ({count} sockets)"),
        };
        let x = canvas.text(0, y, &format!("{}{sockets} ", backlog.address), style);
        let x = gauge(backlog, canvas, (x.max(24), y));
        let words = format!(
            "{} {} of {}, most in 10 s {}, {} refused",
            if full { " FULL" } else { "" },
            fmt_count(u64::from(backlog.queued)),
            fmt_count(u64::from(backlog.limit)),
            fmt_count(u64::from(backlog.most)),
            fmt_count(backlog.dropped),
        );
        canvas.text(x, y, &words, style);
        y += 1;
    }
    y + 1
}

/// A queue as a bar: what waits now, and the most that has waited.
fn gauge(backlog: &Backlog, canvas: &mut Canvas, (x, y): (u16, u16)) -> u16 {
    let width = if canvas.width() < 120 { GAUGE / 2 } else { GAUGE };
    let columns = |count: u32| {
        let share = f64::from(count) / f64::from(backlog.limit.max(1));
        let columns = (share * f64::from(width)).ceil();
        u16::try_from(rounded(columns)).unwrap_or(width).min(width)
    };
    let theme = canvas.theme;
    for column in 0..width {
        let (sign, style) = match column {
            column if column < columns(backlog.queued) => ('█', theme.warn()),
            column if column < columns(backlog.most) => ('▒', theme.warn()),
            _ => ('·', theme.faint()),
        };
        canvas.put(x + column, y, sign, style);
    }
    x + width
}

pub fn draw(view: &View, canvas: &mut Canvas) -> Rows {
    let top = backlogs(view, canvas);
    let (width, height) = (canvas.width(), canvas.height());
    let rows = peers(view, &mut canvas.part(0, top, width, height.saturating_sub(top)));
    Rows { top: rows.top + top, ..rows }
}

/// A number of bytes in at most six columns.
fn compact(bytes: f64) -> String {
    match bytes {
        ..10_000.0 => fmt_count(rounded(bytes)),
        ..1e6 => format!("{:.0}k", bytes / 1e3),
        ..1e9 => format!("{:.1}M", bytes / 1e6),
        _ => format!("{:.1}G", bytes / 1e9),
    }
}

/// Who is at the other end of connections. What a client's requests waited for in the queues in front of the program is told as well.
fn peers(view: &View, canvas: &mut Canvas) -> Rows {
    canvas.heading(0, &format!("Connections by peer, {}", view.numbers_words()));
    let narrow = canvas.width() < 110;
    let columns = if narrow { NARROW } else { COLUMNS };
    canvas.columns(1, &columns);
    let span = &view.span;
    let mut peers: Vec<(usize, PeerCell)> = (0..view.snapshot.peers.len())
        .map(|place| {
            let cell = span.sums.peers.iter().find(|cell| usize::from(cell.peer) == place);
            (place, cell.copied().unwrap_or_default())
        })
        .collect();
    peers.retain(|(place, cell)| {
        let peer = &view.snapshot.peers[*place];
        (peer.open > 0 || *cell != PeerCell::default()) && view.wants(&peer.name)
    });
    peers.sort_by_key(|(place, cell)| {
        let peer = &view.snapshot.peers[*place];
        (peer.side, std::cmp::Reverse((cell.exchanges.total, peer.open)))
    });
    let rows = Rows::new(peers.len(), 2, canvas.height(), view.chosen);
    for (y, (row, (place, cell))) in (2..canvas.height()).zip(peers.iter().enumerate().skip(rows.first)) {
        let peer = &view.snapshot.peers[*place];
        let exchanges = &cell.exchanges;
        let time = |nanos: f64| if exchanges.count == 0 { "-".to_owned() } else { fmt_us(nanos / 1e3) };
        let side = match (peer.side, narrow) {
            (Side::Accepted, _) => "client",
            (Side::Called, true) => "called",
            (Side::Called, false) => "downstream",
        };
        let each = exchanges.count.max(1) as f64;
        let queued = match peer.side {
            Side::Accepted => time(cell.queued as f64 / each),
            Side::Called => "-".to_owned(),
        };
        let rate = |count: u64| compact(span.per_second(count));
        let cells = [
            side.to_owned(),
            peer.name.to_string(),
            fmt_count(peer.open),
            format!("{:.1}", span.per_second(cell.opened)),
            format!("{:.1}", span.per_second(exchanges.count)),
            time(exchanges.total as f64 / each),
            time(exchanges.max as f64),
            queued,
            rate(cell.received),
            rate(cell.sent),
        ];
        let style = if row == view.chosen { canvas.theme.chosen() } else { canvas.theme.plain() };
        canvas.cells(y, &columns, &cells, style);
    }
    if peers.is_empty() {
        canvas.text(0, 3, "no connection so far", canvas.theme.faint());
    }
    rows
}
