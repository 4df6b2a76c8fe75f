//! Who calls the target, and whom it calls.

use super::Rows;
use crate::{
    live::{PeerCell, Side},
    top::{
        canvas::{Align, Canvas, Column},
        view::View,
    },
    units::{fmt_count, fmt_us, rounded},
};

const COLUMNS: [Column; 9] = [
    ("", 10, Align::Left),
    ("peer", 24, Align::Left),
    ("open", 6, Align::Right),
    ("opened/s", 8, Align::Right),
    ("answers/s", 9, Align::Right),
    ("mean", 8, Align::Right),
    ("worst", 8, Align::Right),
    ("in B/s", 11, Align::Right),
    ("out B/s", 11, Align::Right),
];

pub fn draw(view: &View, canvas: &mut Canvas) -> Rows {
    let ports = &view.snapshot.target.ports;
    let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
    let listens = if ports.is_empty() { "no port that is seen".to_owned() } else { ports.join(", ") };
    canvas.heading(0, &format!("Connections by peer, {}; listens on {listens}", view.numbers_words()));
    let mut columns = COLUMNS;
    if canvas.width() < 100 {
        columns[0].1 = 7;
        columns[1].1 = 18;
        columns[2].1 = 5;
        columns[7].1 = 7;
        columns[8].1 = 7;
        columns[3].1 = 6;
        columns[4].1 = 6;
        columns[3].0 = "new/s";
        columns[4].0 = "answ/s";
    }
    canvas.columns(1, &columns);
    let span = &view.span;
    let mut peers: Vec<(usize, PeerCell)> = (0..view.snapshot.peers.len())
        .map(|place| {
            let cell = span.peers.iter().find(|cell| usize::from(cell.peer) == place);
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
        let side = match (peer.side, columns[0].1 < 10) {
            (Side::Accepted, _) => "client",
            (Side::Called, true) => "service",
            (Side::Called, false) => "downstream",
        };
        let rate = |count: u64| fmt_count(rounded(span.per_second(count)));
        let cells = [
            side.to_owned(),
            peer.name.to_string(),
            fmt_count(peer.open),
            format!("{:.1}", span.per_second(cell.opened)),
            format!("{:.1}", span.per_second(exchanges.count)),
            time(exchanges.total as f64 / exchanges.count.max(1) as f64),
            time(exchanges.max as f64),
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
