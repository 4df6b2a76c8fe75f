//! The explanation for people.

use std::io::{self, Write};

use super::explanation::Explanation;

/// Writes the explanation as text.
///
/// # Errors
/// When it cannot be written.
pub fn write_text(explanation: &Explanation, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{} requests, mean {} µs", explanation.requests.count, explanation.requests.latency_us.mean)
}
