//! The tables for the terminal.

use std::io::{self, Write};

use super::{
    column::{Column, HEADS, LEGEND, Mark, TABLES, Table},
    report::Race,
    row::Row,
};
use crate::report::{Palette, Tone, paragraph};

/// Columns of a row's name, at most.
const LABEL: usize = 26;

/// Writes the tables, what they come to, and what has to be known to read them.
///
/// # Errors
/// When they cannot be written.
pub fn write_table(race: &Race, palette: Palette, out: &mut dyn Write) -> io::Result<()> {
    let conditions = race.conditions.words(race.sweep);
    let name = race.rows.first().filter(|row| row.setting.is_some() && is_alone(race, row));
    paragraph(
        out,
        "",
        &name.map_or_else(|| conditions.clone(), |row| format!("{}: {conditions}", row.name)),
    )?;
    if !race.rows.is_empty() {
        let labels: Vec<String> = race.rows.iter().map(|row| label(row, race)).collect();
        for table in &TABLES {
            writeln!(out)?;
            write_one(table, race, &labels, palette, out)?;
        }
        writeln!(out)?;
        paragraph(out, "", &format!("+ best of its column, ! worst; {LEGEND}"))?;
    }
    for line in race.conclusions() {
        paragraph(out, "", &line)?;
    }
    let notes = race.notes();
    if !notes.is_empty() {
        writeln!(out)?;
    }
    for note in notes {
        paragraph(out, "Note", &note)?;
    }
    Ok(())
}

/// What a row is called in tables and plots: without the name where all have the same, and short enough for their width.
pub(super) fn label(row: &Row, race: &Race) -> String {
    let setting = row.setting.map(|setting| setting.to_string());
    let name = match &setting {
        Some(setting) if is_alone(race, row) => return setting.clone(),
        Some(setting) => shortened(&row.name, LABEL - 1 - columns(setting)),
        None => shortened(&row.name, LABEL),
    };
    setting.map_or_else(|| name.clone(), |setting| format!("{name} {setting}"))
}

/// Whether all rows are of this server.
fn is_alone(race: &Race, row: &Row) -> bool {
    race.rows.iter().all(|other| other.name == row.name)
}

fn shortened(name: &str, width: usize) -> String {
    if columns(name) <= width {
        return name.to_owned();
    }
    name.chars().take(width - 1).chain(['…']).collect()
}

/// A column as it is written.
struct Written<'a> {
    column: &'a Column,
    cells: Vec<String>,
    marks: Vec<Option<Mark>>,
    width: usize,
}

impl<'a> Written<'a> {
    fn new(column: &'a Column, race: &Race) -> Self {
        let cells: Vec<String> = race.rows.iter().map(|row| column.show.write((column.value)(row))).collect();
        let heads = HEADS.iter().map(|head| columns(head(column)));
        let width = cells.iter().map(|cell| columns(cell)).chain(heads).max().unwrap_or(0);
        Self { column, cells, marks: column.marks(&race.rows), width }
    }

    /// A cell with its mark, one column from its neighbour.
    fn cell(&self, at: usize, palette: Palette) -> String {
        let cell = format!("{:>width$}", self.cells[at], width = self.width);
        match self.marks[at] {
            Some(Mark::Best) => format!(" {}", palette.paint(Tone::Good, &format!("{cell}+"))),
            Some(Mark::Worst) => format!(" {}", palette.paint(Tone::Bad, &format!("{cell}!"))),
            None => format!(" {cell} "),
        }
    }
}

fn columns(text: &str) -> usize {
    text.chars().count()
}

fn write_one(
    table: &Table,
    race: &Race,
    labels: &[String],
    palette: Palette,
    out: &mut dyn Write,
) -> io::Result<()> {
    let label = labels.iter().map(|label| columns(label)).max().unwrap_or(0).max(columns(table.title));
    let known = table.columns.iter().filter(|column| column.is_known(&race.rows));
    let written: Vec<Written<'_>> = known.map(|column| Written::new(column, race)).collect();
    for (at, head) in HEADS.iter().enumerate() {
        if written.iter().all(|written| head(written.column).is_empty()) {
            continue;
        }
        let mut line = format!("{:<label$}", if at == 0 { "" } else { table.title });
        for Written { column, width, .. } in &written {
            line.extend([" ", &format!("{:>width$}", head(column)), " "]);
        }
        writeln!(out, "{}", palette.paint(Tone::Strong, line.trim_end()))?;
    }
    for (at, name) in labels.iter().enumerate() {
        let cells: Vec<String> = written.iter().map(|written| written.cell(at, palette)).collect();
        writeln!(out, "{}", format!("{name:<label$}{}", cells.concat()).trim_end())?;
    }
    Ok(())
}
