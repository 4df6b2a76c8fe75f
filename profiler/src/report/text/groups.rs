//! Requests by route, and by process.

use std::io::{self, Write};

use super::{
    super::{
        explanation::{Breakdown, Group},
        palette::{Palette, Tone},
    },
    answer::{ranked, total},
    layout::shown,
};
use crate::units::{fmt_count, fmt_percent, fmt_us};

/// Groups that are listed.
const MOST: usize = 8;
/// Columns of a name.
const NAME: usize = 28;

/// Writes the groups whose requests took most time; nothing when there is none.
pub(super) fn write(title: &str, groups: &[Group], palette: Palette, out: &mut dyn Write) -> io::Result<()> {
    if groups.is_empty() {
        return Ok(());
    }
    let head = format!("{title:<NAME$} {:>10} {:>8} {:>8}  mostly", "requests", "mean", "p99");
    writeln!(out, "\n{}", palette.paint(Tone::Faint, &head))?;
    for group in groups.iter().take(MOST) {
        writeln!(
            out,
            "{:<NAME$} {:>10} {:>8} {:>8}  {}",
            shown(&group.name, NAME),
            fmt_count(group.count),
            fmt_us(group.latency_us.mean),
            fmt_us(group.latency_us.p99),
            largest(&group.mean)
        )?;
    }
    if groups.len() > MOST {
        let rest = &groups[MOST..];
        let requests = fmt_count(rest.iter().map(|group| group.count).sum());
        writeln!(out, "{:<NAME$} {requests:>10}", format!("and {} more", rest.len()))?;
    }
    Ok(())
}

/// The two largest states, by the ids of the table above.
fn largest(times: &Breakdown) -> String {
    let total = total(times);
    let parts = ranked(times).into_iter().take(2).map(|(state, time)| (state, time / total));
    let parts = parts.filter(|(_, share)| *share >= 0.01);
    parts
        .map(|(state, share)| format!("{} {}", state.id(), fmt_percent(share)))
        .collect::<Vec<_>>()
        .join(", ")
}
