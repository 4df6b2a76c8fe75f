//! The tables for the terminal.

use std::io::{self, Write};

use super::{
    column::{Column, Mark, TABLES, Table},
    report::Race,
};
use crate::report::{Palette, Tone, paragraph};

/// Writes the tables, what they come to, and what has to be known to read them.
///
/// # Errors
/// When they cannot be written.
pub fn write_table(race: &Race, palette: Palette, out: &mut dyn Write) -> io::Result<()> {
    paragraph(out, "", &race.conditions.words(race.sweep))?;
    if !race.rows.is_empty() {
        let labels: Vec<String> = race.rows.iter().map(super::row::Row::label).collect();
        for table in &TABLES {
            writeln!(out)?;
            write_one(table, race, &labels, palette, out)?;
        }
        writeln!(out)?;
        paragraph(out, "", "+ best of its column, ! worst; – not known. Latency is inside the server.")?;
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

fn write_one(
    table: &Table,
    race: &Race,
    labels: &[String],
    palette: Palette,
    out: &mut dyn Write,
) -> io::Result<()> {
    let width = |text: &str| text.chars().count();
    let label = labels.iter().map(|label| width(label)).max().unwrap_or(0).max(width(table.title));
    let columns: Vec<(&Column, Vec<String>, Vec<Option<Mark>>, usize)> = table
        .columns
        .iter()
        .filter(|column| column.is_known(&race.rows))
        .map(|column| {
            let cells: Vec<String> =
                race.rows.iter().map(|row| column.show.write((column.value)(row))).collect();
            let widest = cells.iter().map(|cell| width(cell)).max().unwrap_or(0);
            let widest = widest.max(width(column.title)).max(width(column.group));
            (column, cells, column.marks(&race.rows), widest)
        })
        .collect();
    let heads: [fn(&Column) -> &str; 2] = [|column| column.group, |column| column.title];
    for (at, head) in heads.into_iter().enumerate() {
        let mut line = format!("{:<label$}", if at == 0 { "" } else { table.title });
        for (column, _, _, width) in &columns {
            // One column for the mark, and one between.
            line += &format!(" {:>width$} ", head(column));
        }
        writeln!(out, "{}", palette.paint(Tone::Strong, line.trim_end()))?;
    }
    for (at, name) in labels.iter().enumerate() {
        let mut line = format!("{name:<label$}");
        for (_, cells, marks, width) in &columns {
            let cell = format!("{:>width$}", cells[at]);
            line.push(' ');
            line += &match marks[at] {
                Some(Mark::Best) => palette.paint(Tone::Good, &format!("{cell}+")),
                Some(Mark::Worst) => palette.paint(Tone::Bad, &format!("{cell}!")),
                None => format!("{cell} "),
            };
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
