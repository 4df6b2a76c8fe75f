//! Text from strangers on its way to a terminal.
//!
//! Names of threads, routes, functions and files can hold whatever their maker wanted: sequences that clear the screen, set the window's title or
//! write into its input, and marks that turn the direction of writing around.

use std::borrow::Cow;

/// Whether a character only stands where it is written.
pub fn is_printable(letter: char) -> bool {
    // Marks of direction, as in "Trojan Source" (CVE-2021-42574).
    let turns = matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !letter.is_control() && !turns
}

/// The text with a mark in the place of each character that does more than stand there.
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_printable) {
        return Cow::Borrowed(text);
    }
    text.chars().map(|letter| if is_printable(letter) { letter } else { '\u{fffd}' }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_marked() {
        assert_eq!(printable("a\x1b[2Jb\u{9b}c\u{202e}d\n"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d\u{fffd}");
        assert!(matches!(printable("GET /größe 東京 …"), Cow::Borrowed("GET /größe 東京 …")));
    }

    proptest! {
        #[test]
        fn any_text_becomes_printable(text: String) {
            let shown = printable(&text);
            prop_assert!(shown.chars().all(is_printable));
            prop_assert_eq!(shown.chars().count(), text.chars().count());
        }
    }
}
