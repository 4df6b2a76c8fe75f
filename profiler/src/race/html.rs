//! One page with plots and tables. It loads nothing: the plots are SVG in the page, and the style follows the reader's choice
//! of light or dark.

mod plot;

use std::io::{self, Write};

use self::plot::{Line, Series, bars, lines, spread};
use super::{
    column::{Column, HEADS, LEGEND, Mark, Show, TABLES, Table},
    report::Race,
    row::Row,
    text::label,
};
use crate::markup::escaped;

/// Colours and tables of a page.
pub const PAGE_STYLE: &str = include_str!("html/style.css");

/// A figure of a row.
type Figure = fn(&Row) -> f64;

/// Writes the page.
///
/// # Errors
/// When it cannot be written.
pub fn write_html(race: &Race, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<title>whywait race</title>\n<style>\n{PAGE_STYLE}</style>\n</head>\n\
         <body>\n<h1>What a request costs</h1>\n<p>{}.</p>",
        escaped(&race.conditions.words(race.sweep))
    )?;
    for line in race.conclusions() {
        writeln!(out, "<p class=\"answer\">{}</p>", escaped(&line))?;
    }
    if !race.rows.is_empty() {
        writeln!(out, "<div class=\"plots\">")?;
        if race.sweep.is_some() {
            write_sweep(race, out)?;
        }
        write_bars(race, out)?;
        writeln!(out, "</div>")?;
        for table in &TABLES {
            write_one(table, race, out)?;
        }
        writeln!(
            out,
            "<p class=\"faint\"><b class=\"best\">+</b> best of its column, <b class=\"worst\">!</b> worst; {}</p>",
            escaped(LEGEND)
        )?;
    }
    let notes = race.notes();
    if !notes.is_empty() {
        writeln!(out, "<h2>Notes</h2>\n<ul>")?;
        for note in notes {
            writeln!(out, "<li>{}</li>", escaped(&note))?;
        }
        writeln!(out, "</ul>")?;
    }
    writeln!(out, "</body>\n</html>")
}

fn write_bars(race: &Race, out: &mut dyn Write) -> io::Result<()> {
    let labels: Vec<String> = race.rows.iter().map(|row| label(row, race)).collect();
    let series = |named: &[(&'static str, Figure)]| -> Vec<Series> {
        let one = |&(name, figure): &(&'static str, Figure)| Series {
            name,
            values: race.rows.iter().map(figure).collect(),
        };
        named.iter().map(one).collect()
    };
    let speed = series(&[("requests a second", |row| row.requests_per_second)]);
    bars(out, "Requests a second", &labels, &speed, Show::Count)?;
    let latency = series(&[
        ("p50", |row| row.latency_us.p50),
        ("p99", |row| row.latency_us.p99),
        ("p99.9", |row| row.latency_us.p999),
    ]);
    spread(out, "Latency (each step is ten times the last)", &labels, &latency)?;
    let undivided = |row: &Row| row.per_request.cpu_us - user(row) - kernel(row);
    let cpu = series(&[("user", user), ("kernel", kernel), ("not divided", undivided)]);
    bars(out, "CPU time of a request", &labels, &cpu, Show::Time)?;
    let switches = series(&[
        ("voluntary", |row| row.per_request.voluntary_switches),
        ("involuntary", |row| row.per_request.involuntary_switches),
    ]);
    bars(out, "Context switches of a request", &labels, &switches, Show::Mean)?;
    let time = series(&[
        ("on CPU", |row| row.per_request.on_cpu_us),
        ("run queue", |row| row.per_request.run_queue_us),
        ("locks", |row| row.per_request.lock_us),
        ("queues", |row| row.per_request.queue_us),
        ("the rest", |row| row.per_request.rest_us),
    ]);
    bars(out, "Where the time of a request goes", &labels, &time, Show::Time)?;
    let memory = series(&[("resident, those that processes share counted for each", |row| {
        row.memory_bytes.rss as f64
    })]);
    bars(out, "Peak memory", &labels, &memory, Show::Bytes)
}

fn write_sweep(race: &Race, out: &mut dyn Write) -> io::Result<()> {
    let plots: [(&str, Show, Figure); 3] = [
        ("Requests a second", Show::Count, |row| row.requests_per_second),
        ("Context switches of a request", Show::Mean, |row| {
            row.per_request.voluntary_switches + row.per_request.involuntary_switches
        }),
        ("p99 of latency", Show::Time, |row| row.latency_us.p99),
    ];
    let mut names: Vec<&str> =
        race.rows.iter().filter(|row| row.setting.is_some()).map(|row| &*row.name).collect();
    names.dedup();
    for (title, show, figure) in plots {
        let line = |name: &str| {
            let its = race.rows.iter().filter(|row| row.name == name);
            let mut points: Vec<(u16, f64)> =
                its.filter_map(|row| Some((row.setting?.value, figure(row)))).collect();
            points.sort_by_key(|point| point.0);
            Line { name: name.to_owned(), points }
        };
        let sweep: Vec<Line> = names.iter().map(|name| line(name)).collect();
        let along = race.sweep.map_or("", |knob| knob.id());
        lines(out, &format!("{title} by {along}"), &sweep, show)?;
    }
    Ok(())
}

fn write_one(table: &Table, race: &Race, out: &mut dyn Write) -> io::Result<()> {
    let columns: Vec<&Column> = table.columns.iter().filter(|column| column.is_known(&race.rows)).collect();
    writeln!(out, "<h2>{}</h2>\n<div class=\"wide\"><table>\n<thead>", table.title)?;
    for head in HEADS {
        if columns.iter().all(|column| head(column).is_empty()) {
            continue;
        }
        write!(out, "<tr><th></th>")?;
        for column in &columns {
            write!(out, "<th>{}</th>", head(column))?;
        }
        writeln!(out, "</tr>")?;
    }
    writeln!(out, "</thead>\n<tbody>")?;
    let marks: Vec<Vec<Option<Mark>>> = columns.iter().map(|column| column.marks(&race.rows)).collect();
    for (at, row) in race.rows.iter().enumerate() {
        write!(out, "<tr><th>{}</th>", escaped(&row.label()))?;
        for (column, marks) in columns.iter().zip(&marks) {
            let (class, sign) = match marks[at] {
                Some(Mark::Best) => (" class=\"best\"", "+"),
                Some(Mark::Worst) => (" class=\"worst\"", "!"),
                None => ("", ""),
            };
            let cell = escaped(&column.show.write((column.value)(row)));
            write!(out, "<td{class}>{cell}<sup>{sign}</sup></td>")?;
        }
        writeln!(out, "</tr>")?;
    }
    writeln!(out, "</tbody>\n</table></div>")
}

fn user(row: &Row) -> f64 {
    row.per_request.cpu_user_us.unwrap_or(0.0)
}

fn kernel(row: &Row) -> f64 {
    row.per_request.cpu_kernel_us.unwrap_or(0.0)
}
