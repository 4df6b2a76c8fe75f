//! Where request time goes, over time: a column of letters for each moment.

use ratatui::style::Style;

use crate::{
    clock::{State, StateTimes},
    live::Group,
    top::{
        canvas::Canvas,
        theme::{Theme, letter},
        view::View,
    },
    units::fmt_percent,
};

/// Columns left of a chart, for what its rows mean.
pub const AXIS: u16 = 8;

/// States from the bottom up: work first, then what is waited for.
const ORDER: [State; State::COUNT] = [
    State::OnCpu,
    State::RunQueue,
    State::Lock,
    State::KernelLock,
    State::Disk,
    State::PageFault,
    State::Downstream,
    State::Child,
    State::Sleep,
    State::Send,
    State::AcceptQueue,
    State::RecvQueue,
    State::AppQueue,
    State::Other,
];

/// How many of `rows` rows each state gets: in proportion, by largest remainders.
fn rows_of(times: &StateTimes, rows: usize) -> Vec<(State, usize)> {
    let total = times.total();
    if total == 0 || rows == 0 {
        return Vec::new();
    }
    let exact = |state: State| times[state] as f64 / total as f64 * rows as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most the rows")]
    let mut given: Vec<(State, usize, f64)> =
        ORDER.iter().map(|state| (*state, exact(*state) as usize, exact(*state).fract())).collect();
    let left = rows.saturating_sub(given.iter().map(|(_, rows, _)| rows).sum());
    let mut by_rest: Vec<usize> = (0..given.len()).collect();
    by_rest.sort_by(|a, b| given[*b].2.total_cmp(&given[*a].2));
    for place in by_rest.into_iter().take(left) {
        given[place].1 += 1;
    }
    given.into_iter().filter(|(_, rows, _)| *rows > 0).map(|(state, rows, _)| (state, rows)).collect()
}

/// Draws the chart into all of the canvas; the last row is left to the axis.
pub fn draw(view: &View, canvas: &mut Canvas) {
    let (width, height) = (canvas.width().saturating_sub(AXIS), canvas.height());
    let faint = canvas.theme.faint();
    for (y, label) in [(0, "100 %"), (height / 2, "50 %"), (height.saturating_sub(1), "0 %")] {
        canvas.text(0, y, &format!("{label:>6} "), faint);
    }
    let columns = view.columns(usize::from(width));
    let indent = width - u16::try_from(columns.len()).unwrap_or(width).min(width);
    for (x, column) in (AXIS + indent..).zip(&columns) {
        let mut sum = Group::default();
        column.iter().for_each(|bucket| sum.merge(&bucket.sums.requests));
        let mut y = height;
        for (state, rows) in rows_of(&sum.times, usize::from(height)) {
            let style = canvas.theme.block(Some(state));
            for _ in 0..rows {
                y = y.saturating_sub(1);
                canvas.put(x, y, letter(Some(state)), style);
            }
        }
    }
}

/// A bar of letters: one request's, or one route's time by state.
pub fn bar(canvas: &mut Canvas, (x, y): (u16, u16), width: u16, times: &StateTimes) {
    let mut at = x;
    for (state, columns) in rows_of(times, usize::from(width)) {
        let style = canvas.theme.block(Some(state));
        for _ in 0..columns {
            canvas.put(at, y, letter(Some(state)), style);
            at += 1;
        }
    }
}

/// States with their shares, most first, one a row.
pub fn legend(canvas: &mut Canvas, all: &Group, slow: &Group) {
    let theme: Theme = canvas.theme;
    canvas.text(0, 0, "  all", theme.faint());
    canvas.text(8, 0, "slowest", theme.faint());
    let share = |group: &Group, state: State| {
        let total = group.times.total();
        if total == 0 { 0.0 } else { group.times[state] as f64 / total as f64 }
    };
    let mut states: Vec<State> = State::ALL.into_iter().collect();
    states.sort_by(|a, b| {
        let most = |state: State| share(all, state).max(share(slow, state));
        most(*b).total_cmp(&most(*a))
    });
    states.retain(|state| share(all, *state) >= 0.005 || share(slow, *state) >= 0.005);
    for (y, state) in (1..canvas.height()).zip(states) {
        let percent =
            |group: &Group| if group.count == 0 { "-".to_owned() } else { fmt_percent(share(group, state)) };
        canvas.text(0, y, &format!("{:>6} {:>7}", percent(all), percent(slow)), Style::new());
        canvas.put(15, y, letter(Some(state)), theme.block(Some(state)));
        canvas.text(17, y, state.words(), Style::new());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_given_in_proportion_and_none_is_left() {
        let mut times = StateTimes::default();
        times[State::OnCpu] = 9;
        times[State::Lock] = 60;
        times[State::Disk] = 31;
        assert_eq!(rows_of(&times, 5), [(State::Lock, 3), (State::Disk, 2)]);
        for rows in 0..40 {
            assert_eq!(rows_of(&times, rows).iter().map(|(_, rows)| rows).sum::<usize>(), rows);
        }
        assert!(rows_of(&StateTimes::default(), 5).is_empty());
    }
}
