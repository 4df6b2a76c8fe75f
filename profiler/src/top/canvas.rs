//! Writing into the cells of the screen, within bounds.

use ratatui::{buffer::Buffer, layout::Rect, style::Style};

use super::theme::Theme;
use crate::printable::is_printable;

/// A part of the screen.
pub struct Canvas<'a> {
    buffer: &'a mut Buffer,
    /// Where it lies.
    pub area: Rect,
    /// Its colours.
    pub theme: Theme,
}

/// How a column's text is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Names.
    Left,
    /// Numbers.
    Right,
}

/// A column of a table: heading, width, alignment.
pub type Column = (&'static str, u16, Align);

impl<'a> Canvas<'a> {
    /// All of the screen.
    pub fn new(buffer: &'a mut Buffer, area: Rect, theme: Theme) -> Self {
        Self { buffer, area, theme }
    }

    /// Width in columns.
    pub fn width(&self) -> u16 {
        self.area.width
    }

    /// Height in rows.
    pub fn height(&self) -> u16 {
        self.area.height
    }

    /// A part of it, `x` and `y` counted from its corner; what lies outside is cut off.
    pub fn part(&mut self, x: u16, y: u16, width: u16, height: u16) -> Canvas<'_> {
        let wanted =
            Rect { x: self.area.x.saturating_add(x), y: self.area.y.saturating_add(y), width, height };
        Canvas { area: self.area.intersection(wanted), buffer: self.buffer, theme: self.theme }
    }

    /// The cells behind it, for a widget that draws itself.
    pub fn buffer(&mut self) -> &mut Buffer {
        self.buffer
    }

    /// Writes a text from column `x` of row `y`; returns the column behind it. What does not fit is cut off, with an ellipsis.
    pub fn text(&mut self, x: u16, y: u16, text: &str, style: Style) -> u16 {
        self.text_within(x, y, self.area.width.saturating_sub(x), text, style)
    }

    /// The same in at most `width` columns.
    pub fn text_within(&mut self, x: u16, y: u16, width: u16, text: &str, style: Style) -> u16 {
        let width = width.min(self.area.width.saturating_sub(x));
        if y >= self.area.height || width == 0 {
            return x;
        }
        let mut at = 0;
        let length = text.chars().count();
        for (place, character) in text.chars().enumerate() {
            let last = at + 1 == width && place + 1 < length;
            // What comes from the wire must not reach the terminal as it is.
            let shown = if last {
                '…'
            } else if is_printable(character) {
                character
            } else {
                '\u{fffd}'
            };
            self.put(x + at, y, shown, style);
            at += 1;
            if at == width {
                break;
            }
        }
        x + at
    }

    /// Writes one character.
    pub fn put(&mut self, x: u16, y: u16, character: char, style: Style) {
        if x < self.area.width && y < self.area.height {
            let position = (self.area.x + x, self.area.y + y);
            if let Some(cell) = self.buffer.cell_mut(position) {
                cell.set_char(character).set_style(style);
            }
        }
    }

    /// Gives a row a style.
    pub fn row_style(&mut self, y: u16, style: Style) {
        if y < self.area.height {
            let row = Rect { y: self.area.y + y, height: 1, ..self.area };
            self.buffer.set_style(row, style);
        }
    }

    /// Makes all of it blank.
    pub fn clear(&mut self) {
        for y in 0..self.area.height {
            for x in 0..self.area.width {
                let position = (self.area.x + x, self.area.y + y);
                if let Some(cell) = self.buffer.cell_mut(position) {
                    cell.reset();
                }
            }
        }
    }

    /// Writes a text from row `y` on, broken between words; returns the row behind it.
    pub fn paragraph(&mut self, y: u16, text: &str, style: Style) -> u16 {
        let mut row = y;
        for line in wrap(text, usize::from(self.area.width)) {
            self.text(0, row, &line, style);
            row += 1;
        }
        row
    }

    /// Writes a heading over a part, with a thin line behind it.
    pub fn heading(&mut self, y: u16, text: &str) {
        let style = self.theme.faint();
        let mut x = self.text(0, y, text, self.theme.strong());
        x += 1;
        while x < self.area.width {
            self.put(x, y, '─', style);
            x += 1;
        }
    }

    /// Writes the headings of a table's columns.
    pub fn columns(&mut self, y: u16, columns: &[Column]) {
        let style = self.theme.faint();
        let names: Vec<&str> = columns.iter().map(|(name, ..)| *name).collect();
        self.cells(y, columns, &names, style);
    }

    /// Writes a row of a table; the last column takes what is left. Returns where the last one begins.
    pub fn cells<S: AsRef<str>>(&mut self, y: u16, columns: &[Column], cells: &[S], style: Style) -> u16 {
        let mut x = 0;
        let mut begins = 0;
        for (place, ((_, width, align), cell)) in columns.iter().zip(cells).enumerate() {
            let last = place + 1 == columns.len();
            let width =
                if last && *align == Align::Left { self.area.width.saturating_sub(x) } else { *width };
            let text = cell.as_ref();
            let length = u16::try_from(text.chars().count()).unwrap_or(u16::MAX);
            let indent = if *align == Align::Right { width.saturating_sub(length) } else { 0 };
            self.text_within(x + indent, y, width - indent, text, style);
            begins = x;
            x = x.saturating_add(width + 1);
        }
        begins
    }
}

/// Breaks a text into lines of at most this width.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    let mut length = 0;
    for word in text.split(' ') {
        let columns = word.chars().count();
        if length > 0 && length + 1 + columns > width {
            lines.push(std::mem::take(&mut line));
            length = 0;
        }
        if length > 0 {
            line.push(' ');
            length += 1;
        }
        line.push_str(word);
        length += columns;
    }
    lines.push(line);
    lines
}
