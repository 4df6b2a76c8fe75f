//! The picture as files: text, and SVG.

use std::{
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use ratatui::{
    buffer::{Buffer, Cell},
    style::{Color, Modifier},
};

use crate::markup::escaped;

/// Size of a cell in the SVG.
const CELL: (u32, u32) = (9, 18);
/// Ground and ink where a cell has none.
const GROUND: &str = "#16181d";
const INK: &str = "#d8dce4";
/// The sixteen colours of ANSI, as xterm shows them.
const SIXTEEN: [&str; 16] = [
    "#000000", "#cd0000", "#00cd00", "#cdcd00", "#0000ee", "#cd00cd", "#00cdcd", "#e5e5e5", "#7f7f7f",
    "#ff0000", "#00ff00", "#ffff00", "#5c5cff", "#ff00ff", "#00ffff", "#ffffff",
];

/// The picture as text.
pub fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width).max(1);
    let mut text = String::new();
    for row in buffer.content().chunks(width) {
        let line: String = row.iter().map(Cell::symbol).collect();
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// The picture as SVG, with its colours.
pub fn svg(buffer: &Buffer) -> String {
    let (width, height) = (u32::from(buffer.area.width) * CELL.0, u32::from(buffer.area.height) * CELL.1);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"{GROUND}\"/>\n\
         <g font-family=\"DejaVu Sans Mono,Menlo,Consolas,monospace\" font-size=\"15\" xml:space=\"preserve\">\n"
    );
    let columns = usize::from(buffer.area.width).max(1);
    for (y, row) in (0_u32..).zip(buffer.content().chunks(columns)) {
        let mut x = 0;
        for run in row.chunk_by(|a, b| look(a) == look(b)) {
            let length = u32::try_from(run.len()).unwrap_or(0);
            let (ink, ground, bold) = look(&run[0]);
            let (left, top) = (x * CELL.0, y * CELL.1);
            if ground != GROUND {
                let _ = writeln!(
                    svg,
                    "<rect x=\"{left}\" y=\"{top}\" width=\"{}\" height=\"{}\" fill=\"{ground}\"/>",
                    length * CELL.0,
                    CELL.1
                );
            }
            let text: String = run.iter().map(Cell::symbol).collect();
            if !text.trim().is_empty() {
                let weight = if bold { " font-weight=\"bold\"" } else { "" };
                let escaped = escaped(&text);
                let _ = writeln!(
                    svg,
                    "<text x=\"{left}\" y=\"{}\" fill=\"{ink}\"{weight} textLength=\"{}\">{escaped}</text>",
                    top + 14,
                    length * CELL.0
                );
            }
            x += length;
        }
    }
    svg += "</g>\n</svg>\n";
    svg
}

/// Ink, ground, and whether it is bold.
fn look(cell: &Cell) -> (String, String, bool) {
    let ink = hex(cell.fg).unwrap_or_else(|| INK.to_owned());
    let ground = hex(cell.bg).unwrap_or_else(|| GROUND.to_owned());
    let bold = cell.modifier.contains(Modifier::BOLD);
    if cell.modifier.contains(Modifier::REVERSED) { (ground, ink, bold) } else { (ink, ground, bold) }
}

fn hex(colour: Color) -> Option<String> {
    let named = match colour {
        Color::Reset => return None,
        Color::Rgb(red, green, blue) => return Some(format!("#{red:02x}{green:02x}{blue:02x}")),
        Color::Indexed(number) => return Some(indexed(number)),
        Color::Black => 0,
        Color::Red => 1,
        Color::Green => 2,
        Color::Yellow => 3,
        Color::Blue => 4,
        Color::Magenta => 5,
        Color::Cyan => 6,
        Color::Gray => 7,
        Color::DarkGray => 8,
        Color::LightRed => 9,
        Color::LightGreen => 10,
        Color::LightYellow => 11,
        Color::LightBlue => 12,
        Color::LightMagenta => 13,
        Color::LightCyan => 14,
        Color::White => 15,
    };
    Some(SIXTEEN[named].to_owned())
}

/// A colour of xterm's 256.
fn indexed(number: u8) -> String {
    match number {
        0..16 => SIXTEEN[usize::from(number)].to_owned(),
        16..232 => {
            let part = |step: u8| if step == 0 { 0 } else { 55 + 40 * step };
            let number = number - 16;
            format!("#{:02x}{:02x}{:02x}", part(number / 36), part(number / 6 % 6), part(number % 6))
        }
        _ => {
            let grey = 8 + 10 * (number - 232);
            format!("#{grey:02x}{grey:02x}{grey:02x}")
        }
    }
}

/// Writes both into a folder; returns the text's path.
///
/// # Errors
/// When they cannot be written there.
pub fn save(buffer: &Buffer, folder: &Path) -> io::Result<PathBuf> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let path = |extension: &str| folder.join(format!("whywait-{seconds}.{extension}"));
    fs::write(path("svg"), svg(buffer))?;
    fs::write(path("txt"), text(buffer))?;
    Ok(path("txt"))
}
