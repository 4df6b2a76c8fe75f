//! The time cursor of a recording, in a row: how time goes on, where it is, what there is to jump to.

use std::ops::Range;

use super::canvas::Canvas;
use crate::{
    live::{Cursor, Motion},
    playback::clock_time,
    units::{fmt_percent, rounded},
};

/// Columns in front of the bar, so that it stays where it is while numbers change.
const WORDS: u16 = 44;
/// Columns behind it.
const BEHIND: u16 = 12;

/// Columns of the bar on a screen of so many.
pub fn place(width: u16) -> Range<u16> {
    WORDS..width.saturating_sub(BEHIND).max(WORDS)
}

/// The speed, as people write it.
fn speed(cursor: &Cursor) -> String {
    format!("{}×", cursor.speed)
}

/// How time goes on, in a sign and in words.
fn words(cursor: &Cursor) -> String {
    match cursor.motion {
        Motion::Playing => format!("▶ playing {}", speed(cursor)),
        Motion::Paused => format!("‖ paused {}", speed(cursor)),
        Motion::AtEnd => format!("■ end {}", speed(cursor)),
        Motion::Jumping { to, done } => format!("» to {} {}", clock_time(to), fmt_percent(done)),
    }
}

pub fn draw(cursor: &Cursor, canvas: &mut Canvas) {
    let theme = canvas.theme;
    let strong = if cursor.motion == Motion::Playing { theme.good() } else { theme.warn() };
    canvas.text(0, 0, &words(cursor), strong);
    let position = format!("{} / {}", clock_time(cursor.position), clock_time(cursor.length));
    let length = u16::try_from(position.chars().count()).unwrap_or(0);
    canvas.text(WORDS.saturating_sub(length + 1), 0, &position, theme.strong());

    let bar = place(canvas.width());
    let columns = bar.end - bar.start;
    if columns == 0 {
        return;
    }
    let column = |at: u64| {
        let share = at.min(cursor.length) as f64 / cursor.length.max(1) as f64;
        bar.start + u16::try_from(rounded(share * f64::from(columns - 1))).unwrap_or(0).min(columns - 1)
    };
    let here = column(cursor.position);
    for x in bar.clone() {
        let (sign, style) = if x < here { ('━', theme.good()) } else { ('─', theme.faint()) };
        canvas.put(x, 0, sign, style);
    }
    for at in cursor.appearances.iter() {
        canvas.put(column(*at), 0, '◆', theme.warn());
    }
    if let Some(at) = cursor.slowest {
        canvas.put(column(at), 0, 'w', theme.bad());
    }
    canvas.put(here, 0, '●', theme.strong());
    if cursor.looked_through < 1.0 {
        let read = format!("{} read", fmt_percent(cursor.looked_through));
        canvas.text(bar.end + 1, 0, &read, theme.faint());
    }
}
