//! A flame graph as one SVG file: routes at the bottom, their states, and the functions in which requests were in these. A click on a box
//! zooms, its title says what it is; without scripts it is a picture still.

use std::io::{self, Write};

use crate::{
    markup::escaped,
    stacks::{Frame, Place, Placed, Stacks, Tree},
    top::rgb,
    units::{fmt_percent, fmt_us},
};

const WIDTH: f64 = 1200.0;
const ROW: f64 = 17.0;
const TOP: f64 = 46.0;
const MARGIN: f64 = 10.0;
/// Boxes that are narrower are left out.
const NARROWEST: f64 = 0.2;
/// Width of a letter.
const LETTER: f64 = 6.6;

/// What a click does: everything is laid out anew from the box that was clicked, by the shares that it has in `data-x` and `data-w`.
const SCRIPT: &str = include_str!("flame.js");

/// Routes, their states, and the functions in which requests were in these.
fn tree(stacks: &Stacks) -> Tree {
    let none = Frame { name: Some("[no stack]".to_owned()), place: Place::Memory };
    let mut root = Tree::default();
    for state in &stacks.states {
        let route = state.route.as_deref().unwrap_or("requests");
        let mut add = |frames: &mut dyn Iterator<Item = &Frame>, micros: f64| {
            root.micros += micros;
            let mut at = root.child(route, None, micros);
            at = at.child(state.state.words(), Some(state.state), micros);
            for frame in frames {
                at = at.child(&frame.text(), Some(state.state), micros);
                at.is_kernel = frame.place == Place::Kernel;
            }
        };
        for hot in &state.stacks {
            add(&mut hot.frames.iter().rev(), hot.time_us);
        }
        if state.without_us >= 1.0 {
            add(&mut [&none].into_iter(), state.without_us);
        }
    }
    root
}

/// Writes the picture.
///
/// # Errors
/// When it cannot be written.
pub fn write_svg(stacks: &Stacks, title: &str, out: &mut dyn Write) -> io::Result<()> {
    let root = tree(stacks);
    let rows = root.depth() as f64 + 1.0;
    let height = TOP + rows * ROW + MARGIN;
    let title = escaped(&format!("Where requests of {title} spend their time"));
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" font-family=\"monospace\" font-size=\"11\">\n\
         <style>rect{{stroke:#fff;stroke-width:.5}}g.box{{cursor:pointer}}g.box:hover rect{{stroke:#000}}\
         text{{pointer-events:none;fill:#111}}</style>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{MARGIN}\" y=\"18\" font-size=\"15\">{title}</text>\n\
         <text x=\"{MARGIN}\" y=\"36\" id=\"said\">{} of all requests together; a click zooms</text>",
        escaped(&fmt_us(root.micros)),
    )?;
    let span = WIDTH - 2.0 * MARGIN;
    for Placed { node, path, left, share } in root.layout(NARROWEST / span) {
        let depth = path.len();
        let name = path.last().copied().unwrap_or("all requests");
        let (x, width) = (MARGIN + left * span, share * span);
        let y = height - MARGIN - ROW - depth as f64 * ROW;
        let about = format!("{name}: {}, {}", fmt_us(node.micros), fmt_percent(share));
        write!(
            out,
            "<g class=\"box\" data-x=\"{left:.6}\" data-w=\"{share:.6}\" data-n=\"{}\"><title>{}</title>\
             <rect x=\"{x:.2}\" y=\"{y}\" width=\"{width:.2}\" height=\"{ROW}\" fill=\"{}\"/>",
            escaped(name),
            escaped(&about),
            colour(node, depth),
        )?;
        let shown = fitting(name, width);
        writeln!(out, "<text x=\"{:.2}\" y=\"{}\">{}</text></g>", x + 3.0, y + 12.5, escaped(&shown))?;
    }
    writeln!(out, "<script><![CDATA[\n{SCRIPT}]]></script>\n</svg>")
}

/// The colour of its state, paler the higher it is; the kernel's functions are greyer.
fn colour(node: &Tree, depth: usize) -> String {
    let Some(state) = node.state else { return "#e4e6ea".to_owned() };
    let pale = if depth <= 2 {
        0.25
    } else if depth.is_multiple_of(2) {
        0.45
    } else {
        0.55
    };
    let ground = if node.is_kernel { 200.0 } else { 255.0 };
    let mixed = rgb(state).map(|part| {
        let mixed = f64::from(part) * (1.0 - pale) + ground * pale;
        crate::units::rounded(mixed).min(255)
    });
    format!("#{:02x}{:02x}{:02x}", mixed[0], mixed[1], mixed[2])
}

/// As much of a name as fits.
fn fitting(name: &str, width: f64) -> String {
    let room = crate::units::rounded(((width - 6.0) / LETTER).floor().max(0.0));
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    match name.chars().count() {
        length if length <= room => name.to_owned(),
        _ if room < 3 => String::new(),
        _ => name.chars().take(room - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::testing::stacks;

    fn picture() -> String {
        let mut out = Vec::new();
        write_svg(&stacks(), "a \"shop\" & more", &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// A box is as wide as its share, and lies within the box below.
    #[test]
    fn boxes_have_their_shares() {
        let text = picture();
        let of = |name: &str| {
            let line = text.lines().find(|line| line.contains(&format!("data-n=\"{name}\""))).unwrap();
            let value = |key: &str| {
                let rest = line.split_once(&format!("data-{key}=\"")).unwrap().1;
                rest.split_once('"').unwrap().0.parse::<f64>().unwrap()
            };
            (value("x"), value("w"))
        };
        let (all, order, lock) = (of("all requests"), of("POST /order"), of("Mutex::lock"));
        assert_eq!(all, (0.0, 1.0));
        assert!((order.1 - 420.0 / 470.0).abs() < 1e-5 && (lock.1 - 300.0 / 470.0).abs() < 1e-5);
        assert!(lock.0 >= order.0 && lock.0 + lock.1 <= order.0 + order.1 + 1e-5);
    }

    #[test]
    fn names_are_no_markup() {
        let text = picture();
        assert!(text.contains("a &quot;shop&quot; &amp; more") && text.contains("stock &lt;&amp;T&gt;"));
        assert!(!text.contains("<&T>"));
    }
}
