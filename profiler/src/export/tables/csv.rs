//! Comma-separated values: RFC 4180, moments as RFC 3339.

use std::io::{self, Write};

use super::{Table, TableWriter, Value};
use crate::{export::ExportError, printable::is_printable};

/// Writes a table.
pub struct CsvWriter<W> {
    out: W,
}

impl<W: Write + Send> CsvWriter<W> {
    /// Begins a table with the names of its columns.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(table: Table, mut out: W) -> Result<Self, ExportError> {
        let names: Vec<&str> = table.columns().iter().map(|column| column.name).collect();
        writeln!(out, "{}", names.join(","))?;
        Ok(Self { out })
    }
}

impl<W: Write + Send> TableWriter for CsvWriter<W> {
    fn row(&mut self, values: &[Value<'_>]) -> Result<(), ExportError> {
        for (place, value) in values.iter().enumerate() {
            if place > 0 {
                self.out.write_all(b",")?;
            }
            match value {
                Value::None => {}
                Value::Int(value) => write!(self.out, "{value}")?,
                Value::Bool(value) => write!(self.out, "{value}")?,
                Value::Time(time) => self.out.write_all(time.clock.rfc3339(time.at).as_bytes())?,
                Value::Text(text) => write_text(text, &mut self.out)?,
            }
        }
        Ok(self.out.write_all(b"\n")?)
    }

    fn finish(mut self: Box<Self>) -> Result<(), ExportError> {
        Ok(self.out.flush()?)
    }
}

/// Text, in quotes where it holds what separates fields; text that is empty always, for an empty field is none. What a terminal would obey is marked:
/// the table may be printed on one.
fn write_text(text: &str, out: &mut impl Write) -> io::Result<()> {
    let obeyed = |letter: char| !is_printable(letter) && !matches!(letter, '\n' | '\r' | '\t');
    let text = &text.replace(obeyed, "\u{fffd}");
    if text.is_empty() || text.contains([',', '"', '\n', '\r']) {
        write!(out, "\"{}\"", text.replace('"', "\"\""))
    } else {
        out.write_all(text.as_bytes())
    }
}
