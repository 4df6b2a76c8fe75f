//! The table of states: where the time of all requests goes, and that of the slowest beside it.

use std::io::{self, Write};

use super::{
    super::{
        explanation::{Breakdown, Explanation},
        palette::{Palette, Tone},
    },
    answer::{slowest_title, total},
    layout::bar,
};
use crate::{
    clock::State,
    units::{fmt_percent, fmt_us},
};

/// States below this share are left out.
const SHOWN: f64 = 0.001;
/// Columns of a bar.
const BAR: usize = 10;

pub(super) fn write(explanation: &Explanation, palette: Palette, out: &mut dyn Write) -> io::Result<()> {
    let (mean, slowest) = (&explanation.breakdown_us.mean, &explanation.breakdown_us.p99);
    let mut rows: Vec<Row> = State::ALL
        .into_iter()
        .map(|state| Row { state, mean: Cell::of(mean, state), slowest: Cell::of(slowest, state) })
        .filter(|row| row.mean.share > SHOWN || row.slowest.share > SHOWN)
        .collect();
    rows.sort_by(|a, b| b.mean.time.total_cmp(&a.mean.time));
    let title = format!(
        "{:<43} {:<25}  {}",
        "A request spends its time",
        "all requests (mean)",
        slowest_title(explanation)
    );
    writeln!(out, "{}", palette.paint(Tone::Faint, &title))?;
    for row in rows {
        let tone = if row.state == State::OnCpu { Tone::Good } else { Tone::Warn };
        let id = palette.paint(Tone::Faint, &format!("{:<12}", row.state.id()));
        let cell = |cell: Cell| {
            let (time, share) = (fmt_us(cell.time), fmt_percent(cell.share));
            (format!("{time:>7} {share:>6} "), bar(cell.share, BAR))
        };
        let ((mean, mean_bar), (slowest, slowest_bar)) = (cell(row.mean), cell(row.slowest));
        let mean_bar = palette.paint(tone, &mean_bar);
        let slowest_bar = palette.paint(tone, slowest_bar.trim_end());
        let line = format!("{:<30} {id} {mean}{mean_bar}  {slowest}{slowest_bar}", row.state.words());
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

struct Row {
    state: State,
    mean: Cell,
    slowest: Cell,
}

#[derive(Clone, Copy)]
struct Cell {
    time: f64,
    share: f64,
}

impl Cell {
    fn of(times: &Breakdown, state: State) -> Self {
        let time = times.0.iter().find(|(other, _)| *other == state).map_or(0.0, |(_, time)| *time);
        let total = total(times);
        Self { time, share: if total > 0.0 { time / total } else { 0.0 } }
    }
}
