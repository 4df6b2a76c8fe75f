//! The page.

use std::io::{self, Write};

use super::report::Race;

/// Writes it.
pub fn write_html(race: &Race, out: &mut dyn Write) -> io::Result<()> {
    write!(out, "{}", race.schema)
}
