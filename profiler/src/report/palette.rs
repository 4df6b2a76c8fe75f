//! Colours for the terminal. No meaning is in a colour alone: without them the same words are there.

use std::{env, io::IsTerminal};

/// What a piece of text is, which decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// The answer.
    Strong,
    /// What can be passed over.
    Faint,
    /// As it should be; time in which work is done.
    Good,
    /// Worth a look; time in which a request waits.
    Warn,
    /// Wrong, or lost.
    Bad,
}

/// Whether to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Palette {
    coloured: bool,
}

impl Palette {
    /// No colours.
    pub const PLAIN: Self = Self { coloured: false };

    /// Colours if standard output is a terminal that has them, and `NO_COLOR` (no-color.org) does not forbid them.
    pub fn of_stdout() -> Self {
        let forbidden = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { coloured: !forbidden && !dumb && std::io::stdout().is_terminal() }
    }

    /// The text in its colour.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        if !self.coloured || text.is_empty() {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Strong => "1",
            Tone::Faint => "2",
            Tone::Good => "32",
            Tone::Warn => "33",
            Tone::Bad => "1;31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_palette_leaves_the_text_as_it_is() {
        assert_eq!(Palette::PLAIN.paint(Tone::Bad, "lost"), "lost");
    }

    #[test]
    fn a_colour_ends_where_the_text_ends() {
        let palette = Palette { coloured: true };
        assert_eq!(palette.paint(Tone::Bad, "lost"), "\x1b[1;31mlost\x1b[0m");
        assert_eq!(palette.paint(Tone::Bad, ""), "");
    }
}
