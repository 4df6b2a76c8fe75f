//! The table for spreadsheets: RFC 4180, one line for each run, times in microseconds.

use std::io::{self, Write};

use super::{
    column::{Column, TABLES},
    report::Race,
};

/// Writes all columns; a figure that is absent is an empty field.
///
/// # Errors
/// When it cannot be written.
pub fn write_csv(race: &Race, out: &mut dyn Write) -> io::Result<()> {
    let columns: Vec<&Column> = TABLES.iter().flat_map(|table| table.columns).collect();
    let mut head = vec!["name", "option", "value"];
    head.extend(columns.iter().map(|column| column.key));
    head.push("check");
    writeln!(out, "{}", head.join(","))?;
    for row in &race.rows {
        let (option, value) =
            row.setting.map_or_else(Default::default, |s| (s.option.id(), s.value.to_string()));
        let check: Vec<String> = row.check.iter().map(ToString::to_string).collect();
        let mut fields = vec![quoted(&row.name), option.to_owned(), value];
        fields.extend(columns.iter().map(|column| (column.value)(row).map_or_else(String::new, number)));
        fields.push(quoted(&check.join("; ")));
        writeln!(out, "{}", fields.join(","))?;
    }
    Ok(())
}

/// To three digits after the point.
fn number(value: f64) -> String {
    ((value * 1e3).round() / 1e3).to_string()
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
