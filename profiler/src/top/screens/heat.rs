//! Latencies over time: how many requests took how long, on the time axis of the chart above.

use super::stack::AXIS;
use crate::{
    live::Latencies,
    top::{canvas::Canvas, theme::level, view::View},
    units::fmt_us,
};

/// Few to many.
const DENSITY: [char; 5] = ['·', '░', '▒', '▓', '█'];

/// Draws the heat map into all of the canvas.
pub fn draw(view: &View, canvas: &mut Canvas) {
    let (width, height) = (canvas.width().saturating_sub(AXIS), usize::from(canvas.height()));
    let columns = view.columns(usize::from(width));
    let columns: Vec<Latencies> = columns
        .iter()
        .map(|buckets| {
            let mut sum = Latencies::default();
            buckets.iter().for_each(|bucket| sum.merge(&bucket.sums.latencies));
            sum
        })
        .collect();
    let Some((low, high)) = bounds(&columns) else { return };
    let rows = height.max(1) as f64;
    let span = (high / low).ln().max(1e-9);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the rows")]
    let row = |nanos: f64| (((nanos / low).ln() / span * rows) as usize).min(height.saturating_sub(1));
    let indent = usize::from(width).saturating_sub(columns.len());
    let mut most = 1;
    let grid: Vec<Vec<u32>> = columns
        .iter()
        .map(|column| {
            let mut counts = vec![0; height];
            for ((lower, upper), count) in column.buckets() {
                counts[row(f64::midpoint(lower as f64, upper as f64).max(low))] += count;
            }
            most = most.max(counts.iter().copied().max().unwrap_or(0));
            counts
        })
        .collect();
    for (place, counts) in grid.iter().enumerate() {
        let x = AXIS + u16::try_from(indent + place).unwrap_or(u16::MAX);
        for (from_below, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let density = f64::from(*count).ln_1p() / f64::from(most).ln_1p();
            let y = u16::try_from(height - 1 - from_below).unwrap_or(0);
            let style = canvas.theme.heat(density);
            canvas.put(x, y, DENSITY[level(density, DENSITY.len())], style);
        }
    }
    let faint = canvas.theme.faint();
    let labels =
        if height >= 7 { vec![0, height / 2, height - 1] } else { vec![0, height.saturating_sub(1)] };
    for from_below in labels {
        let nanos = low * (span * (from_below as f64 + 0.5) / rows).exp();
        let y = u16::try_from(height - 1 - from_below).unwrap_or(0);
        canvas.text(0, y, &format!("{:>7}", fmt_us(nanos / 1e3)), faint);
    }
}

/// Whole powers of two around all latencies, in nanoseconds.
fn bounds(columns: &[Latencies]) -> Option<(f64, f64)> {
    let buckets = || columns.iter().flat_map(Latencies::buckets);
    let low = buckets().map(|((lower, _), _)| lower.max(1)).min()?;
    let high = buckets().map(|((_, upper), _)| upper).max()?;
    Some(((low as f64).log2().floor().exp2(), (high as f64).log2().ceil().exp2()))
}
