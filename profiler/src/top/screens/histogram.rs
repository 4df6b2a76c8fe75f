//! Bars: a histogram of times, a share.

use crate::{
    top::canvas::Canvas,
    units::{fmt_count, fmt_us},
};

/// Columns of a label.
pub const LABEL: u16 = 9;
/// Columns of a count.
const COUNT: u16 = 11;

/// Draws rows of a smallest time in nanoseconds and a count, each as a bar.
pub fn draw(rows: &[(u64, u64)], canvas: &mut Canvas) {
    // The longest times matter: what finds no room is at the short end.
    let shown = &rows[rows.len().saturating_sub(usize::from(canvas.height()))..];
    let most = shown.iter().map(|(_, count)| *count).max().unwrap_or(1).max(1);
    let bars = canvas.width().saturating_sub(LABEL + COUNT + 1);
    let style = canvas.theme.faint();
    for (y, (from, count)) in (0..).zip(shown) {
        canvas.text(0, y, &format!("{:>8}", fmt_us(*from as f64 / 1e3)), style);
        bar(canvas, (LABEL, y), bars, *count as f64 / most as f64);
        canvas.text(LABEL + bars + 1, y, &format!("{:>10}", fmt_count(*count)), style);
    }
}

/// A bar for a share.
pub fn bar(canvas: &mut Canvas, (x, y): (u16, u16), width: u16, share: f64) {
    let text = crate::report::bar(share, usize::from(width));
    let style = canvas.theme.good();
    canvas.text_within(x, y, width, &text, style);
}
