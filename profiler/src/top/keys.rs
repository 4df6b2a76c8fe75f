//! The keys: one table, from which the footer, the help and the README are made.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::screens::Screen;
use crate::playback::{Command, Moment};

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
    /// Moves the time cursor of a recording.
    Play(Command),
    /// Begins to type a moment of a recording.
    GoTo,
}

/// Where a key means what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Always.
    Both,
    /// On a live run.
    Live,
    /// In a recording.
    Replay,
}

impl When {
    /// Whether it holds in a recording, or on a live run.
    fn holds(self, replay: bool) -> bool {
        self == Self::Both || (self == Self::Replay) == replay
    }
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
    /// Where it means that.
    pub when: When,
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
    Key { name, short, long, place, when: When::Both, codes }
}

impl Key {
    const fn only(self, when: When) -> Self {
        Self { when, ..self }
    }
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
        "0…9",
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
            (KeyCode::Char('9'), Action::Show(Screen::Models)),
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
    )
    .only(When::Live),
    key(
        "space",
        "pause",
        "stop the time, or let it go on; at the end begin anew",
        Place::Always,
        &[(KeyCode::Char(' '), Action::Play(Command::Pause))],
    )
    .only(When::Replay),
    key(
        "< >",
        "speed",
        "slower or faster, from a tenth to a hundred times; also , and .",
        Place::Always,
        &[
            (KeyCode::Char('<'), Action::Play(Command::Slower)),
            (KeyCode::Char(','), Action::Play(Command::Slower)),
            (KeyCode::Char('>'), Action::Play(Command::Faster)),
            (KeyCode::Char('.'), Action::Play(Command::Faster)),
        ],
    )
    .only(When::Replay),
    key(
        "g",
        "go to",
        "go to a moment: 12.5 or 1:03 from the beginning, -5s from the end; a click on the bar does it, too",
        Place::Always,
        &[(KeyCode::Char('g'), Action::GoTo)],
    )
    .only(When::Replay),
    key(
        "n p",
        "finding",
        "the next or the previous moment at which a cause is found that was not found before",
        Place::Always,
        &[
            (KeyCode::Char('n'), Action::Play(Command::NextFinding)),
            (KeyCode::Char('p'), Action::Play(Command::PreviousFinding)),
        ],
    )
    .only(When::Replay),
    key(
        "w",
        "worst",
        "go to the slowest request of the recording, and open it",
        Place::Always,
        &[(KeyCode::Char('w'), Action::Play(Command::Slowest))],
    )
    .only(When::Replay),
    key(
        "Home End",
        "",
        "the recording's beginning or its end",
        Place::Help,
        &[
            (KeyCode::Home, Action::Play(Command::To(Moment::FromBegin(0)))),
            (KeyCode::End, Action::Play(Command::To(Moment::FromEnd(0)))),
        ],
    )
    .only(When::Replay),
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
        "another list or order: slowest or latest requests, threads by id or by CPU time, a model's figures or its states",
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
    )
    .only(When::Live),
    key(
        "s",
        "save",
        "write the picture to a text file and an SVG file in the current folder",
        Place::Always,
        &[(KeyCode::Char('s'), Action::Screenshot)],
    ),
];

/// The keys of a recording, or of a live run.
pub fn keys(replay: bool) -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(move |key| key.when.holds(replay))
}

/// What a pressed key does in a recording, or on a live run; `None` for one that does nothing. In a recording that is also what makes no sense
/// there, so that it can be said.
pub fn action(event: KeyEvent, replay: bool) -> Option<Action> {
    if event.modifiers.contains(KeyModifiers::CONTROL) {
        return match event.code {
            KeyCode::Char('c') => Some(Action::Quit),
            KeyCode::Char('z') => Some(Action::Suspend),
            _ => None,
        };
    }
    let live = KEYS.iter().filter(|key| replay && key.when == When::Live);
    let mut codes = keys(replay).chain(live).flat_map(|key| key.codes);
    codes.find(|(code, _)| *code == event.code).map(|(_, action)| *action)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table as the README has it.
    fn markdown(keys: impl Iterator<Item = &'static Key>) -> String {
        let mut table = "| key | what it does |\n| --- | --- |\n".to_owned();
        for key in keys {
            table = format!("{table}| `{}` | {} |\n", key.name, key.long);
        }
        table
    }

    #[test]
    fn no_key_has_two_meanings() {
        for replay in [false, true] {
            let mut codes: Vec<KeyCode> =
                keys(replay).flat_map(|key| key.codes).map(|(code, _)| *code).collect();
            let all = codes.len();
            codes.sort_by_key(|code| format!("{code:?}"));
            codes.dedup();
            assert_eq!(codes.len(), all);
        }
    }

    #[test]
    fn a_key_of_recordings_does_nothing_on_a_live_run() {
        let press = |letter, replay| action(KeyEvent::new(KeyCode::Char(letter), KeyModifiers::NONE), replay);
        assert_eq!((press('g', false), press('g', true)), (None, Some(Action::GoTo)));
        assert_eq!(
            (press(' ', false), press(' ', true)),
            (Some(Action::Freeze), Some(Action::Play(Command::Pause)))
        );
        assert_eq!(press('r', true), Some(Action::Record), "that it makes no sense is said");
    }

    /// The README's tables are these.
    #[test]
    fn the_readme_has_the_tables() {
        let readme = include_str!("../../../README.md");
        for table in [markdown(keys(false)), markdown(KEYS.iter().filter(|key| key.when == When::Replay))] {
            assert!(readme.contains(&table), "put this into README.md:\n\n{table}");
        }
    }
}
