//! What the user has chosen: screen, row, moment, zoom. Pure: keys go in, a picture comes out.

use std::sync::Arc;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, MouseButton, MouseEvent, MouseEventKind};
use ratatui::buffer::Buffer;

use super::{
    bar,
    canvas::Canvas,
    frame::{self, tab_places},
    keys::{Action, action},
    screens::{Rows, SCREENS, Screen, chosen_function},
    theme::Theme,
    view::{View, ZOOM},
};
use crate::{
    live::{Cursor, Kept, LockPlace, Snapshot},
    playback::{Command, Moment},
    units::rounded,
};

/// Buckets that a large step goes through time: half a minute.
const LARGE: usize = 60;
/// Rows of a page.
const PAGE: usize = 10;
/// Letters that can be typed.
const LETTERS: usize = 60;

/// What is laid over a screen.
#[derive(Debug)]
pub enum Overlay {
    /// The keys.
    Help,
    /// The explanation as text.
    Explanation,
    /// One request.
    Request(Arc<Kept>),
    /// One lock.
    Lock(LockPlace),
}

/// What is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// The filter.
    Filter,
    /// A moment of a recording.
    Moment,
}

/// What the terminal's side has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Draw again.
    Redraw,
    /// End.
    Quit,
    /// Go to sleep.
    Suspend,
    /// Write the picture to files.
    Screenshot,
    /// Begin to record, or end that.
    Record,
    /// Move the time cursor of a recording.
    Play(Command),
}

/// The dashboard's state.
#[derive(Debug)]
pub struct App {
    /// The chosen screen.
    pub screen: Screen,
    /// What is laid over it.
    pub overlay: Option<Overlay>,
    /// First shown line of what is laid over it.
    pub scroll: usize,
    /// Buckets between the moment that is looked at and the newest.
    pub back: usize,
    /// The filter.
    pub filter: String,
    /// What is being typed, and as far as it is.
    pub typing: Option<(Prompt, String)>,
    /// What is said in the footer until the next key.
    pub message: Option<String>,
    newest: Arc<Snapshot>,
    frozen: Option<Arc<Snapshot>>,
    /// Number of the last answer that was heard.
    heard: u64,
    zoom: usize,
    zoomed: Vec<String>,
    width: u16,
    chosen: [usize; SCREENS.len()],
    switched: [bool; SCREENS.len()],
    rows: Rows,
}

impl App {
    /// A dashboard that shows this.
    pub fn new(snapshot: Arc<Snapshot>) -> Self {
        Self {
            screen: Screen::Overview,
            overlay: None,
            scroll: 0,
            back: 0,
            filter: String::new(),
            typing: None,
            message: None,
            newest: snapshot,
            frozen: None,
            heard: 0,
            zoom: 0,
            zoomed: Vec::new(),
            width: 0,
            chosen: [0; SCREENS.len()],
            switched: [false; SCREENS.len()],
            rows: Rows::default(),
        }
    }

    /// There is something newer. Returns whether the picture changes.
    pub fn update(&mut self, snapshot: Arc<Snapshot>) -> bool {
        // A moment of the past stays the same moment while time goes on.
        if self.back > 0 && self.frozen.is_none() {
            let last =
                |snapshot: &Snapshot| snapshot.buckets.last().map_or(0, |bucket| bucket.number as usize);
            let on = last(&snapshot).saturating_sub(last(&self.newest));
            self.back = (self.back + on).min(snapshot.buckets.len().saturating_sub(1));
        }
        if snapshot.at < self.newest.at {
            self.back = 0;
        }
        self.newest = snapshot;
        self.hear();
        self.frozen.is_none()
    }

    /// Takes an answer to what was asked for in a recording.
    fn hear(&mut self) {
        let newest = Arc::clone(&self.newest);
        let said = newest.cursor.as_ref().and_then(|cursor| cursor.said.as_ref());
        let Some(said) = said.filter(|said| said.number > self.heard) else { return };
        self.heard = said.number;
        self.message = Some(said.text.clone());
        if let Some(kept) = &said.open {
            self.show(Screen::Requests);
            self.lay_over(Overlay::Request(Arc::clone(kept)));
        }
    }

    /// Where in a recording this is, if it is one.
    pub fn cursor(&self) -> Option<&Cursor> {
        self.newest.cursor.as_ref()
    }

    /// Whether the picture is held still.
    pub fn is_frozen(&self) -> bool {
        self.frozen.is_some()
    }

    fn shown(&self) -> &Snapshot {
        self.frozen.as_ref().unwrap_or(&self.newest)
    }

    fn place(&self) -> usize {
        SCREENS.iter().position(|screen| *screen == self.screen).unwrap_or(0)
    }

    /// What is looked at.
    pub fn view(&self, theme: Theme) -> View<'_> {
        let mut view = View::new(self.shown(), theme, self.back, self.zoom);
        view.filter = &self.filter;
        view.chosen = self.chosen[self.place()];
        view.switched = self.switched[self.place()];
        view.zoomed = &self.zoomed;
        view
    }

    /// Draws the picture.
    pub fn draw(&mut self, buffer: &mut Buffer, theme: Theme) {
        let area = buffer.area;
        self.width = area.width;
        let mut canvas = Canvas::new(buffer, area, theme);
        self.rows = frame::draw(self, &mut canvas);
        let place = self.place();
        self.chosen[place] = self.chosen[place].min(self.rows.count.saturating_sub(1));
        self.scroll = self.scroll.min(self.rows.count.saturating_sub(1));
    }

    /// A key was pressed.
    pub fn key(&mut self, event: KeyEvent, theme: Theme) -> Option<Wish> {
        if event.kind == KeyEventKind::Release {
            return None;
        }
        self.message = None;
        if self.typing.is_some()
            && event.modifiers.difference(crossterm::event::KeyModifiers::SHIFT).is_empty()
        {
            return Some(self.typed(event.code));
        }
        let action = action(event, self.cursor().is_some())?;
        Some(self.act(action, theme))
    }

    /// A key was pressed while something is typed.
    fn typed(&mut self, code: KeyCode) -> Wish {
        let Some((prompt, mut text)) = self.typing.take() else { return Wish::Redraw };
        match code {
            KeyCode::Enter if prompt == Prompt::Moment => {
                match text.parse() {
                    Ok(moment) => return self.play(Command::To(moment)),
                    Err(error) => self.message = Some(format!("{error}")),
                }
                return Wish::Redraw;
            }
            KeyCode::Enter => return Wish::Redraw,
            KeyCode::Esc => {
                if prompt == Prompt::Filter {
                    self.filter.clear();
                }
                return Wish::Redraw;
            }
            KeyCode::Backspace => {
                text.pop();
            }
            KeyCode::Char(letter) if text.chars().count() < LETTERS => text.push(letter),
            _ => {}
        }
        if prompt == Prompt::Filter {
            self.filter.clone_from(&text);
        }
        self.typing = Some((prompt, text));
        Wish::Redraw
    }

    /// The time cursor is to be moved: what is looked at is the moment at which it is.
    fn play(&mut self, command: Command) -> Wish {
        if !matches!(command, Command::Pause | Command::Faster | Command::Slower) {
            self.back = 0;
        }
        Wish::Play(command)
    }

    /// The mouse was used.
    pub fn mouse(&mut self, event: MouseEvent) -> Option<Wish> {
        match event.kind {
            MouseEventKind::ScrollUp => self.step(-1),
            MouseEventKind::ScrollDown => self.step(1),
            MouseEventKind::Down(MouseButton::Left) if event.row == 1 => {
                let tab = tab_places(self.width).into_iter().find(|(_, place)| place.contains(&event.column));
                self.show(tab?.0);
            }
            MouseEventKind::Down(MouseButton::Left) if event.row == 2 && self.cursor().is_some() => {
                let (length, bar) = (self.cursor()?.length, bar::place(self.width));
                let column = event.column.checked_sub(bar.start).filter(|_| bar.contains(&event.column))?;
                let columns = (bar.end - bar.start).saturating_sub(1).max(1);
                let nanos = rounded(length as f64 * f64::from(column) / f64::from(columns));
                return Some(self.play(Command::To(Moment::FromBegin(nanos.min(length)))));
            }
            MouseEventKind::Down(MouseButton::Left) => {
                let row = usize::from(event.row.checked_sub(self.rows.top)?) + self.rows.first;
                if self.overlay.is_some() || row >= self.rows.count {
                    return None;
                }
                let place = self.place();
                self.chosen[place] = row;
            }
            _ => return None,
        }
        Some(Wish::Redraw)
    }

    fn show(&mut self, screen: Screen) {
        self.overlay = None;
        self.scroll = 0;
        self.screen = screen;
    }

    fn lay_over(&mut self, overlay: Overlay) {
        self.overlay = Some(overlay);
        self.scroll = 0;
    }

    /// The chosen row, or the first line of what is laid over, goes up or down.
    fn step(&mut self, by: isize) {
        let place = self.place();
        let value = if self.overlay.is_some() { &mut self.scroll } else { &mut self.chosen[place] };
        *value = value.saturating_add_signed(by).min(self.rows.count.saturating_sub(1));
    }

    fn travel(&mut self, back: usize, forward: usize) {
        let most = self.shown().buckets.len().saturating_sub(1);
        self.back = (self.back + back).saturating_sub(forward).min(most);
    }

    fn act(&mut self, action: Action, theme: Theme) -> Wish {
        let page = isize::try_from(PAGE).unwrap_or(1);
        let small = ZOOM[self.zoom];
        match action {
            Action::Quit if self.overlay.is_some() => self.overlay = None,
            Action::Quit => return Wish::Quit,
            Action::Suspend => return Wish::Suspend,
            Action::Screenshot => return Wish::Screenshot,
            Action::Record if self.cursor().is_some() => {
                self.message = Some("there is nothing to record: this is a recording".to_owned());
            }
            Action::Record => return Wish::Record,
            Action::Play(command) => return self.play(command),
            Action::GoTo => self.typing = Some((Prompt::Moment, String::new())),
            Action::Help => self.lay_over(Overlay::Help),
            Action::Explain => self.lay_over(Overlay::Explanation),
            Action::Show(screen) => self.show(screen),
            Action::NextScreen => self.show(SCREENS[(self.place() + 1) % SCREENS.len()]),
            Action::PreviousScreen => self.show(SCREENS[(self.place() + SCREENS.len() - 1) % SCREENS.len()]),
            Action::Freeze => {
                self.frozen = if self.frozen.is_some() { None } else { Some(Arc::clone(&self.newest)) };
            }
            Action::Up => self.step(-1),
            Action::Down => self.step(1),
            Action::PageUp => self.step(-page),
            Action::PageDown => self.step(page),
            Action::Earlier => self.travel(small, 0),
            Action::Later => self.travel(0, small),
            Action::MuchEarlier => self.travel(LARGE * small, 0),
            Action::MuchLater => self.travel(0, LARGE * small),
            Action::ZoomIn => self.zoom = self.zoom.saturating_sub(1),
            Action::ZoomOut => self.zoom = (self.zoom + 1).min(ZOOM.len() - 1),
            Action::Open => {
                if self.overlay.is_none() && self.screen == Screen::Flame {
                    if let Some(path) = chosen_function(&self.view(theme), self.width) {
                        self.zoomed = path;
                        let place = self.place();
                        self.chosen[place] = 0;
                    }
                } else if self.overlay.is_none()
                    && let Some(overlay) = self.screen.open(&self.view(theme))
                {
                    self.lay_over(overlay);
                }
            }
            Action::Back => {
                if self.overlay.take().is_none() {
                    self.zoomed.clear();
                    self.filter.clear();
                    self.back = 0;
                    self.frozen = None;
                }
            }
            Action::Filter => {
                if self.overlay.is_none() {
                    self.typing = Some((Prompt::Filter, self.filter.clone()));
                }
            }
            Action::Switch => {
                let place = self.place();
                self.switched[place] = !self.switched[place];
                self.chosen[place] = 0;
            }
        }
        Wish::Redraw
    }
}
