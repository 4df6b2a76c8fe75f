//! The keys: one table, from which the footer, the help and the README are made.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::screens::Screen;

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ends the dashboard.
    Quit,
    /// Shows the keys.
    Help,
    /// Shows a screen.
    Show(Screen),
    /// The next screen.
    NextScreen,
    /// The screen before.
    PreviousScreen,
    /// Holds the picture still, or lets it go on.
    Freeze,
    /// One row up.
    Up,
    /// One row down.
    Down,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// Back in time.
    Earlier,
    /// Forward in time.
    Later,
    /// Far back in time.
    MuchEarlier,
    /// Far forward in time.
    MuchLater,
    /// More time in the picture.
    ZoomOut,
    /// Less time in the picture.
    ZoomIn,
    /// Opens the chosen row.
    Open,
    /// Closes what is open.
    Back,
    /// Begins to type a filter.
    Filter,
    /// Another order or list.
    Switch,
    /// Writes the picture to files.
    Screenshot,
    /// Begins to record to a file, or ends that.
    Record,
    /// Shows the explanation as text.
    Explain,
    /// Puts the program to sleep, as the shell's Ctrl-Z.
    Suspend,
}

/// Where a key is worth a place in the footer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the help only.
    Help,
    /// On every screen.
    Always,
    /// Where rows can be chosen.
    Lists,
    /// Where rows can be opened.
    Opens,
    /// Where there is another order or list.
    Switches,
}

/// A key of the table.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// What it does, in a word or two.
    pub short: &'static str,
    /// What it does, in a sentence.
    pub long: &'static str,
    /// Where it is shown.
    pub place: Place,
    /// Codes and what each of them does.
    codes: &'static [(KeyCode, Action)],
}

const fn key(
    name: &'static str,
    short: &'static str,
    long: &'static str,
    place: Place,
    codes: &'static [(KeyCode, Action)],
) -> Key {
    Key { name, short, long, place, codes }
}

/// All keys.
pub const KEYS: &[Key] = &[
    key(
        "?",
        "help",
        "these keys, and what the letters mean",
        Place::Always,
        &[(KeyCode::Char('?'), Action::Help)],
    ),
    key(
        "q",
        "quit",
        "end the dashboard; the target goes on",
        Place::Always,
        &[(KeyCode::Char('q'), Action::Quit)],
    ),
    key(
        "1…8 0",
        "screen",
        "show a screen by its number",
        Place::Help,
        &[
            (KeyCode::Char('1'), Action::Show(Screen::Overview)),
            (KeyCode::Char('2'), Action::Show(Screen::Requests)),
            (KeyCode::Char('3'), Action::Show(Screen::Threads)),
            (KeyCode::Char('4'), Action::Show(Screen::Locks)),
            (KeyCode::Char('5'), Action::Show(Screen::Calls)),
            (KeyCode::Char('6'), Action::Show(Screen::Scheduler)),
            (KeyCode::Char('7'), Action::Show(Screen::Connections)),
            (KeyCode::Char('8'), Action::Show(Screen::Flame)),
            (KeyCode::Char('0'), Action::Show(Screen::Health)),
        ],
    ),
    key(
        "Tab",
        "next",
        "the next screen; with Shift the one before",
        Place::Help,
        &[(KeyCode::Tab, Action::NextScreen), (KeyCode::BackTab, Action::PreviousScreen)],
    ),
    key(
        "space",
        "freeze",
        "hold the picture still; watching goes on",
        Place::Always,
        &[(KeyCode::Char(' '), Action::Freeze)],
    ),
    key(
        "← →",
        "time",
        "back and forth through the last ten minutes",
        Place::Always,
        &[(KeyCode::Left, Action::Earlier), (KeyCode::Right, Action::Later)],
    ),
    key(
        "[ ]",
        "",
        "the same in larger steps",
        Place::Help,
        &[(KeyCode::Char('['), Action::MuchEarlier), (KeyCode::Char(']'), Action::MuchLater)],
    ),
    key(
        "+ -",
        "zoom",
        "less or more time in the picture, and in the numbers",
        Place::Always,
        &[
            (KeyCode::Char('+'), Action::ZoomIn),
            (KeyCode::Char('='), Action::ZoomIn),
            (KeyCode::Char('-'), Action::ZoomOut),
        ],
    ),
    key(
        "↑ ↓",
        "choose",
        "choose a row; also j, k, Page Up, Page Down, the mouse wheel and a click",
        Place::Lists,
        &[
            (KeyCode::Up, Action::Up),
            (KeyCode::Down, Action::Down),
            (KeyCode::Char('k'), Action::Up),
            (KeyCode::Char('j'), Action::Down),
            (KeyCode::PageUp, Action::PageUp),
            (KeyCode::PageDown, Action::PageDown),
        ],
    ),
    key("Enter", "open", "open the chosen row", Place::Opens, &[(KeyCode::Enter, Action::Open)]),
    key(
        "Esc",
        "back",
        "close what is open, drop the filter, return to now",
        Place::Help,
        &[(KeyCode::Esc, Action::Back), (KeyCode::Backspace, Action::Back)],
    ),
    key(
        "o",
        "order",
        "another list or order: slowest or latest requests, threads by id or by CPU time",
        Place::Switches,
        &[(KeyCode::Char('o'), Action::Switch)],
    ),
    key(
        "/",
        "filter",
        "show only rows that contain a text; Enter keeps it, Esc drops it",
        Place::Lists,
        &[(KeyCode::Char('/'), Action::Filter)],
    ),
    key(
        "e",
        "explain",
        "the explanation of the last seconds as text",
        Place::Always,
        &[(KeyCode::Char('e'), Action::Explain)],
    ),
    key(
        "r",
        "record",
        "record to a file here, for whywait report; once more to end that",
        Place::Help,
        &[(KeyCode::Char('r'), Action::Record)],
    ),
    key(
        "s",
        "save",
        "write the picture to a text file and an SVG file in the current folder",
        Place::Always,
        &[(KeyCode::Char('s'), Action::Screenshot)],
    ),
];

/// What a pressed key does; `None` for one that does nothing.
pub fn action(event: KeyEvent) -> Option<Action> {
    if event.modifiers.contains(KeyModifiers::CONTROL) {
        return match event.code {
            KeyCode::Char('c') => Some(Action::Quit),
            KeyCode::Char('z') => Some(Action::Suspend),
            _ => None,
        };
    }
    KEYS.iter().flat_map(|key| key.codes).find(|(code, _)| *code == event.code).map(|(_, action)| *action)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table as the README has it.
    fn markdown() -> String {
        let mut table = "| key | what it does |\n| --- | --- |\n".to_owned();
        for key in KEYS {
            table = format!("{table}| `{}` | {} |\n", key.name, key.long);
        }
        table
    }

    #[test]
    fn no_key_has_two_meanings() {
        let mut codes: Vec<KeyCode> = KEYS.iter().flat_map(|key| key.codes).map(|(code, _)| *code).collect();
        let all = codes.len();
        codes.sort_by_key(|code| format!("{code:?}"));
        codes.dedup();
        assert_eq!(codes.len(), all);
    }

    /// The README's table is this one.
    #[test]
    fn the_readme_has_the_table() {
        let readme = include_str!("../../../README.md");
        assert!(readme.contains(&markdown()), "put this into README.md:\n\n{}", markdown());
    }
}
