//! The comparison as one page that loads nothing.

use std::io::{self, Write};

use super::{
    Change, Comparison,
    text::{Row, answer, cells, costs, finding_words, latency_rows, notes, origins, route_cells, state_rows},
};
use crate::{clock::State, markup::escaped, race::PAGE_STYLE};

const STYLE: &str = include_str!("html/style.css");

/// Writes the page.
///
/// # Errors
/// When it cannot be written.
pub fn write_page(comparison: &Comparison, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<title>whywait compare</title>\n\
         <style>\n{PAGE_STYLE}{STYLE}</style>\n</head>\n<body>\n<h1>What changed, and by what</h1>"
    )?;
    for (label, words) in origins(comparison) {
        writeln!(out, "<p>{label}: {}.</p>", escaped(&words))?;
    }
    writeln!(out, "<p class=\"answer\">{}</p>", escaped(&answer(comparison)))?;
    for verdict in &comparison.conditions {
        let class = if verdict.failed { "worst" } else { "best" };
        let words = escaped(verdict.words());
        writeln!(
            out,
            "<p><code>{}</code> <span class=\"{class}\">{words}</span></p>",
            escaped(&verdict.condition)
        )?;
    }
    table(out, "Latency", &latency_rows(comparison))?;
    table(out, "The mean by state: the changes sum to that of the mean", &state_rows(comparison))?;
    routes(comparison, out)?;
    writeln!(out, "<h2>Causes and costs</h2>\n<ul>")?;
    for finding in &comparison.findings {
        writeln!(out, "<li>{}</li>", escaped(&finding_words(finding)))?;
    }
    writeln!(out, "<li>Each request costs: {}</li>\n</ul>", escaped(&costs(comparison)))?;
    let notes = notes(comparison);
    if !notes.is_empty() {
        writeln!(out, "<h2>Notes</h2>\n<ul>")?;
        for note in notes {
            writeln!(out, "<li>{}</li>", escaped(&note))?;
        }
        writeln!(out, "</ul>")?;
    }
    writeln!(
        out,
        "<p class=\"faint\">A bar is where the difference lies, to {:.0} %; noise: that interval holds 0. {} and {} blocks of \
         time were drawn from.</p>\n</body>\n</html>",
        comparison.confidence * 100.0,
        comparison.before.blocks,
        comparison.after.blocks
    )
}

fn table(out: &mut dyn Write, title: &str, rows: &[Row]) -> io::Result<()> {
    writeln!(
        out,
        "<h2>{title}</h2>\n<div class=\"wide\"><table>\n<thead><tr><th></th><th>before</th><th>after</th><th>change</th>\
         <th></th><th>interval</th><th></th><th></th></tr></thead>\n<tbody>"
    )?;
    let times = rows.iter().filter(|row| !row.is_rate).filter_map(|row| row.change.interval);
    let widest = times.flatten().fold(0.0, |widest: f64, end| widest.max(end.abs()));
    for row in rows {
        let words = State::ALL.iter().find(|state| state.id() == row.name).map_or("", |state| state.words());
        write!(out, "<tr><th>{} <span class=\"faint\">{words}</span></th>", escaped(&row.name))?;
        let cells = cells(row);
        let class = match row.change.more_than_noise {
            Some(true) => " class=\"real\"",
            _ => "",
        };
        for cell in &cells {
            write!(out, "<td{class}>{}</td>", escaped(cell))?;
        }
        writeln!(
            out,
            "<td>{}</td></tr>",
            if row.is_rate { String::new() } else { bar(&row.change, widest) }
        )?;
    }
    writeln!(out, "</tbody>\n</table></div>")
}

/// The interval of a difference as a line beside 0, to the scale of its table.
fn bar(change: &Change, widest: f64) -> String {
    let Some([from, to]) = change.interval.filter(|_| widest > 0.0) else { return String::new() };
    let place = |value: f64| 100.0 + value / widest * 96.0;
    let (left, right) = (place(from), place(to));
    format!(
        "<svg class=\"interval\" viewBox=\"0 0 200 14\" role=\"img\" aria-label=\"interval\"><path class=\"grid\" d=\"M100 0v14\"/>\
         <rect class=\"{}\" x=\"{left:.1}\" y=\"3\" width=\"{:.1}\" height=\"8\"/></svg>",
        if change.more_than_noise == Some(true) { "s1" } else { "s4" },
        (right - left).max(1.5)
    )
}

fn routes(comparison: &Comparison, out: &mut dyn Write) -> io::Result<()> {
    if comparison.routes.len() < 2 {
        return Ok(());
    }
    writeln!(
        out,
        "<h2>By route</h2>\n<div class=\"wide\"><table>\n<thead><tr><th></th><th>requests</th><th>mean before</th><th>after</th>\
         <th>change</th><th></th><th>of the mean: by itself</th><th>by mix</th></tr></thead>\n<tbody>"
    )?;
    for route in &comparison.routes {
        write!(out, "<tr><th>{}</th>", escaped(&route.name))?;
        for cell in route_cells(route) {
            write!(out, "<td>{}</td>", escaped(&cell))?;
        }
        writeln!(out, "</tr>")?;
    }
    writeln!(out, "</tbody>\n</table></div>")
}
