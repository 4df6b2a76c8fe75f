//! The comparison for people.

use std::io::{self, Write};

use super::{Change, Comparison, FindingChange, Metric, RouteChange};
use crate::{
    clock::State,
    printable::printable,
    report::{Palette, Tone, paragraph, wrap},
    units::{fmt_count, fmt_percent, fmt_us},
};

/// Routes that are printed.
const ROUTES: usize = 12;
/// Columns of a route's name.
const NAME: usize = 24;

/// Writes the comparison as text.
///
/// # Errors
/// When it cannot be written.
pub fn write_comparison(comparison: &Comparison, palette: Palette, out: &mut dyn Write) -> io::Result<()> {
    for (label, words) in origins(comparison) {
        paragraph(out, label, &words)?;
    }
    for note in notes(comparison) {
        paragraph(out, "Note", &note)?;
    }
    writeln!(out)?;
    for line in wrap(&answer(comparison), "") {
        writeln!(out, "{}", palette.paint(Tone::Strong, &line))?;
    }
    writeln!(out)?;
    table(out, palette, "Latency", &latency_rows(comparison))?;
    writeln!(out)?;
    table(out, palette, "The mean by state", &state_rows(comparison))?;
    if comparison.routes.len() > 1 {
        writeln!(out)?;
        routes(comparison, palette, out)?;
    }
    writeln!(out)?;
    for finding in &comparison.findings {
        paragraph(out, "Cause", &finding_words(finding))?;
    }
    paragraph(out, "Each costs", &costs(comparison))?;
    for verdict in &comparison.conditions {
        let tone = if verdict.failed { Tone::Bad } else { Tone::Good };
        writeln!(out, "{:<11} {}", verdict.condition, palette.paint(tone, verdict.words()))?;
    }
    Ok(())
}

/// Where each side comes from.
pub(super) fn origins(comparison: &Comparison) -> [(&'static str, String); 2] {
    let words = |side: &super::report::Origin| {
        format!(
            "{}: {}, {} requests in {:.1} s",
            side.name,
            side.command,
            fmt_count(side.requests),
            side.window_s
        )
    };
    [("Before", words(&comparison.before)), ("After", words(&comparison.after))]
}

/// What has to be known to trust it.
pub(super) fn notes(comparison: &Comparison) -> Vec<String> {
    let sides = [&comparison.before, &comparison.after];
    let mut notes: Vec<String> = sides
        .iter()
        .flat_map(|side| side.missing.iter().map(|missing| format!("{}: {missing}", side.name)))
        .collect();
    notes.extend(sides.iter().filter(|side| side.lost_events > 0).map(|side| {
        format!("{}: {} records were lost; some figures may be wrong", side.name, fmt_count(side.lost_events))
    }));
    if comparison.before.model != comparison.after.model {
        notes.push(format!(
            "the concurrency model is another one: {} became {}",
            comparison.before.model.id(),
            comparison.after.model.id()
        ));
    }
    notes
}

/// The answer in a sentence or two.
pub(super) fn answer(comparison: &Comparison) -> String {
    let mean = comparison.change(Metric::Mean);
    let Some([from, to]) = mean.interval else {
        return format!(
            "There are too few requests, or too short a time, to tell a difference from noise: the mean was {} and is {}.",
            fmt_us(mean.before),
            fmt_us(mean.after)
        );
    };
    if mean.more_than_noise == Some(true) {
        let causes = causes(comparison, mean.difference);
        return format!(
            "A request takes {} instead of {} in the mean: {} ({} to {}).{}",
            fmt_us(mean.after),
            fmt_us(mean.before),
            by_how_much(&mean),
            signed(from),
            signed(to),
            if causes.is_empty() { String::new() } else { format!(" Of that, {}.", causes.join(", ")) }
        );
    }
    let shown = [Metric::P50, Metric::P90, Metric::P99];
    let others: Vec<String> = shown
        .into_iter()
        .filter(|metric| comparison.change(*metric).more_than_noise == Some(true))
        .map(|metric| {
            let change = comparison.change(metric);
            format!("{} is {} instead of {}", metric.id(), fmt_us(change.after), fmt_us(change.before))
        })
        .collect();
    if others.is_empty() {
        format!(
            "There is no difference that is more than noise: the mean was {} and is {}.",
            fmt_us(mean.before),
            fmt_us(mean.after)
        )
    } else {
        format!("The mean has no difference that is more than noise, but {}.", others.join(", "))
    }
}

/// States that make a tenth of the difference at least, and are more than noise.
fn causes(comparison: &Comparison, difference: f64) -> Vec<String> {
    let mut states: Vec<(State, Change)> = State::ALL
        .into_iter()
        .map(|state| (state, comparison.change(Metric::State(state))))
        .filter(|(_, change)| {
            change.more_than_noise == Some(true) && change.difference.abs() >= 0.1 * difference.abs()
        })
        .collect();
    states.sort_by(|(_, a), (_, b)| b.difference.abs().total_cmp(&a.difference.abs()));
    states
        .into_iter()
        .map(|(state, change)| format!("{} is {}", state.words(), signed(change.difference)))
        .collect()
}

/// A row of a table: its name, and what changed.
pub(super) struct Row {
    /// Words in front.
    pub name: String,
    /// The figures.
    pub change: Change,
    /// Requests a second, rather than microseconds.
    pub is_rate: bool,
}

/// Latency and rate.
pub(super) fn latency_rows(comparison: &Comparison) -> Vec<Row> {
    let latency = comparison.latency_us.iter().map(|(metric, change)| Row {
        name: metric.id().to_owned(),
        change: *change,
        is_rate: false,
    });
    let rate =
        Row { name: "requests a second".to_owned(), change: comparison.requests_per_second, is_rate: true };
    latency.chain([rate]).collect()
}

/// States that are not nothing on both sides, the largest difference first.
pub(super) fn state_rows(comparison: &Comparison) -> Vec<Row> {
    let mut rows: Vec<Row> = State::ALL
        .into_iter()
        .map(|state| (state, comparison.change(Metric::State(state))))
        .filter(|(_, change)| change.before > 0.0 || change.after > 0.0)
        .map(|(state, change)| Row { name: state.id().to_owned(), change, is_rate: false })
        .collect();
    rows.sort_by(|a, b| b.change.difference.abs().total_cmp(&a.change.difference.abs()));
    rows
}

/// The cells of a row behind its name: before, after, difference, in percent, its interval, and what that means.
pub(super) fn cells(row: &Row) -> [String; 6] {
    let plain = |value: f64| if row.is_rate { format!("{value:.1}") } else { fmt_us(value) };
    let with_sign = |value: f64| if row.is_rate { format!("{value:+.1}") } else { signed(value) };
    let change = &row.change;
    let interval = change
        .interval
        .map_or_else(|| "?".to_owned(), |[from, to]| format!("{} … {}", with_sign(from), with_sign(to)));
    [
        plain(change.before),
        plain(change.after),
        with_sign(change.difference),
        percent(change),
        interval,
        verdict(change).to_owned(),
    ]
}

/// What a change is, in a word or two.
pub(super) fn verdict(change: &Change) -> &'static str {
    match change.more_than_noise {
        Some(true) if change.difference > 0.0 => "more",
        Some(true) => "less",
        Some(false) => "noise",
        None => "too few",
    }
}

fn table(out: &mut dyn Write, palette: Palette, title: &str, rows: &[Row]) -> io::Result<()> {
    let head = format!(
        "{title:<20} {:>8} {:>8} {:>9} {:>7}  {:<20}",
        "before", "after", "change", "", "99 % interval"
    );
    writeln!(out, "{}", palette.paint(Tone::Faint, head.trim_end()))?;
    for row in rows {
        let [before, after, difference, percent, interval, verdict] = cells(row);
        let tone = match verdict.as_str() {
            "more" | "less" => Tone::Strong,
            _ => Tone::Faint,
        };
        let line = format!("{:<20} {before:>8} {after:>8} {difference:>9} {percent:>7}  ", row.name);
        writeln!(out, "{line}{interval:<20} {}", palette.paint(tone, &verdict))?;
    }
    Ok(())
}

fn routes(comparison: &Comparison, palette: Palette, out: &mut dyn Write) -> io::Result<()> {
    let head = format!(
        "{:<NAME$} {:>17} {:>8} {:>8} {:>9}  {:<8} {:>9} {:>9}",
        "By route", "requests", "mean", "after", "change", "", "by itself", "by mix"
    );
    writeln!(out, "{}", palette.paint(Tone::Faint, head.trim_end()))?;
    for route in comparison.routes.iter().take(ROUTES) {
        let name: String = printable(&route.name).chars().take(NAME).collect();
        let [counts, before, after, difference, verdict, itself, mix] = route_cells(route);
        writeln!(
            out,
            "{name:<NAME$} {counts:>17} {before:>8} {after:>8} {difference:>9}  {verdict:<8} {itself:>9} {mix:>9}"
        )?;
    }
    let left = comparison.routes.len().saturating_sub(ROUTES);
    if left > 0 {
        writeln!(out, "and {left} more")?;
    }
    Ok(())
}

/// The cells of a route behind its name.
pub(super) fn route_cells(route: &RouteChange) -> [String; 7] {
    let mean = &route.mean;
    let time = |count: u64, time: f64| if count == 0 { "–".to_owned() } else { fmt_us(time) };
    let both = route.before_count > 0 && route.after_count > 0;
    [
        format!("{} → {}", fmt_count(route.before_count), fmt_count(route.after_count)),
        time(route.before_count, mean.before),
        time(route.after_count, mean.after),
        if both { signed(mean.difference) } else { "–".to_owned() },
        if both { verdict(mean) } else { "" }.to_owned(),
        signed(route.by_itself_us),
        signed(route.by_mix_us),
    ]
}

/// A finding that came, went or stayed.
pub(super) fn finding_words(finding: &FindingChange) -> String {
    let summary = finding.summary.trim_end_matches('.');
    let what = match (finding.before, finding.after) {
        (Some(before), Some(after)) => {
            format!("explains {} instead of {}", fmt_percent(after), fmt_percent(before))
        }
        (None, Some(after)) => format!("is new, and explains {}", fmt_percent(after)),
        (before, None) => format!("is gone; it explained {}", fmt_percent(before.unwrap_or(0.0))),
    };
    format!("{} {what} of the time of the slowest 10 %: {summary}", finding.id.id())
}

/// What a request costs on both sides.
pub(super) fn costs(comparison: &Comparison) -> String {
    let known = comparison.per_request.iter().filter(|(_, cost)| cost.before > 0.0 || cost.after > 0.0);
    let words = known
        .map(|(name, cost)| format!("{} {:.2} → {:.2}", name.replace('_', " "), cost.before, cost.after));
    words.collect::<Vec<_>>().join(", ")
}

fn by_how_much(change: &Change) -> String {
    let percent = percent(change);
    if percent.is_empty() {
        signed(change.difference)
    } else {
        format!("{}, {percent}", signed(change.difference))
    }
}

fn percent(change: &Change) -> String {
    change.relative.map_or_else(String::new, |share| {
        let sign = if share > 0.0 { "+" } else { "" };
        format!("{sign}{}", fmt_percent(share))
    })
}

/// A time with its sign.
fn signed(us: f64) -> String {
    let sign = if us > 0.0 { "+" } else { "" };
    format!("{sign}{}", fmt_us(us))
}
