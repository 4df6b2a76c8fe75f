//! Lines that fit.

use std::io::{self, Write};

use crate::printable::printable;

/// Columns of the text.
pub(super) const WIDTH: usize = 100;
/// Columns of the label in front of a paragraph.
const LABEL: usize = 12;

/// Writes a paragraph behind a label; the lines after the first are indented as far. Without a label it starts at the margin.
///
/// # Errors
/// When it cannot be written.
pub fn paragraph(out: &mut dyn Write, label: &str, text: &str) -> io::Result<()> {
    let indent = if label.is_empty() { String::new() } else { " ".repeat(LABEL) };
    for (at, line) in wrap(text, &indent).iter().enumerate() {
        match (at, line.get(indent.len()..)) {
            (0, Some(first)) if !label.is_empty() => writeln!(out, "{label:<LABEL$}{first}")?,
            _ => writeln!(out, "{line}")?,
        }
    }
    Ok(())
}

/// The text in lines that fit, each behind the indent, without characters that would move the cursor or change the colours. A number and its unit
/// stay together; a word that is too long alone has a line for itself.
pub fn wrap(text: &str, indent: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in printable(text).split(' ') {
        match words.last_mut() {
            Some(last) if is_unit(word) && last.ends_with(|c: char| c.is_ascii_digit()) => {
                last.push(' ');
                last.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
    }
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in words {
        if line.is_empty() {
            line = format!("{indent}{word}");
        } else if columns(&line) + 1 + columns(&word) <= WIDTH {
            line.push(' ');
            line.push_str(&word);
        } else {
            lines.push(std::mem::replace(&mut line, format!("{indent}{word}")));
        }
    }
    lines.push(line);
    lines
}

fn is_unit(word: &str) -> bool {
    matches!(
        word.trim_end_matches(|c: char| c.is_ascii_punctuation() && c != '%'),
        "%" | "ns" | "µs" | "ms" | "s"
    )
}

/// Columns that a text takes, of characters that take one each.
fn columns(text: &str) -> usize {
    text.chars().count()
}

/// A text from outside in at most `width` columns: without characters that would move the cursor or change the colours.
pub(super) fn shown(text: &str, width: usize) -> String {
    let clean = printable(text);
    if columns(text) <= width {
        return clean.into_owned();
    }
    clean.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// A bar for a share (1.0 fills it), to an eighth of a column; always `width` columns wide.
pub fn bar(share: f64, width: usize) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let all = width * 8;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the bar's width")]
    let eighths = (share * all as f64).round().clamp(0.0, all as f64) as usize;
    let bar = format!("{}{}", "█".repeat(eighths / 8), PARTS[eighths % 8]);
    format!("{bar:<width$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_and_units_stay_with_their_numbers() {
        let text = "a request takes 228 µs, of which 65 % is waiting for a CPU; ".repeat(9);
        let lines = wrap(&text, "    ");
        assert!(
            lines.len() > 5 && lines.iter().all(|line| columns(line) <= WIDTH && line.starts_with("    "))
        );
        let broken =
            ["µs", "%"].iter().any(|unit| lines.iter().any(|line| line.trim_start().starts_with(unit)));
        assert!(!broken, "{lines:#?}");
    }

    #[test]
    fn a_label_stands_before_the_first_line_only() {
        let mut out = Vec::new();
        paragraph(&mut out, "Cost", &"word ".repeat(30)).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[0].starts_with("Cost        word") && lines[1].starts_with("            word"),
            "{text}"
        );
    }

    /// A route comes from the wire: what it holds must not reach the terminal.
    #[test]
    fn control_characters_are_not_shown() {
        assert_eq!(shown("GET /\x1b[2J", 20), "GET /\u{fffd}[2J");
        assert_eq!(shown("GET /a-long-path", 8), "GET /a-…");
        assert_eq!(wrap("by \x1b]0;title\x07\n", ""), ["by \u{fffd}]0;title\u{fffd}\u{fffd}"]);
    }

    #[test]
    fn a_bar_keeps_its_width() {
        for share in [-1.0, 0.0, 0.001, 0.37, 0.999, 1.0, 2.0, f64::NAN] {
            assert_eq!(columns(&bar(share, 10)), 10, "{share}");
        }
        assert_eq!(bar(0.55, 10), "█████▌    ");
    }
}
