//! A flame graph as one SVG file: routes at the bottom, their states, and the functions in which requests were in these. A click on a box
//! zooms, its title says what it is; without scripts it is a picture still.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use crate::{
    clock::State,
    stacks::{Frame, Place, Stacks},
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

/// A route, a state or a function, with what is above it.
#[derive(Debug, Default)]
struct Node {
    micros: f64,
    state: Option<State>,
    kernel: bool,
    children: BTreeMap<String, Node>,
}

impl Node {
    fn of(stacks: &Stacks) -> Self {
        let none = Frame { name: Some("[no stack]".to_owned()), place: Place::Memory };
        let mut root = Self::default();
        for state in &stacks.states {
            let route = state.route.as_deref().unwrap_or("requests");
            for hot in &state.stacks {
                root.add(route, state.state, hot.frames.iter().rev(), hot.time_us);
            }
            if state.without_us >= 1.0 {
                root.add(route, state.state, [&none].into_iter(), state.without_us);
            }
        }
        root
    }

    fn add<'a>(&mut self, route: &str, state: State, frames: impl Iterator<Item = &'a Frame>, micros: f64) {
        self.micros += micros;
        let mut node = self.child(route, None, micros).child(state.words(), Some(state), micros);
        for frame in frames {
            node = node.child(&frame.text(), Some(state), micros);
            node.kernel = frame.place == Place::Kernel;
        }
    }

    fn child(&mut self, name: &str, state: Option<State>, micros: f64) -> &mut Self {
        let child = self.children.entry(name.to_owned()).or_default();
        child.state = state;
        child.micros += micros;
        child
    }

    fn depth(&self) -> usize {
        self.children.values().map(|child| 1 + child.depth()).max().unwrap_or(0)
    }
}

/// Writes the picture.
///
/// # Errors
/// When it cannot be written.
pub fn write_svg(stacks: &Stacks, title: &str, out: &mut dyn Write) -> io::Result<()> {
    let root = Node::of(stacks);
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
    let picture = Picture { all: root.micros, bottom: height - MARGIN - ROW };
    picture.node("all requests", &root, (0.0, 0), out)?;
    writeln!(out, "<script><![CDATA[\n{SCRIPT}]]></script>\n</svg>")
}

/// What all boxes are measured by.
struct Picture {
    all: f64,
    bottom: f64,
}

impl Picture {
    /// Draws a node whose left edge is this share of the whole, and what is above it.
    fn node(
        &self,
        name: &str,
        node: &Node,
        (left, depth): (f64, usize),
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let share = if self.all > 0.0 { node.micros / self.all } else { 1.0 };
        let span = WIDTH - 2.0 * MARGIN;
        let (x, width) = (MARGIN + left * span, share * span);
        if width < NARROWEST {
            return Ok(());
        }
        let y = self.bottom - depth as f64 * ROW;
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
        let mut children: Vec<_> = node.children.iter().collect();
        children.sort_by(|a, b| b.1.micros.total_cmp(&a.1.micros).then_with(|| a.0.cmp(b.0)));
        let mut left = left;
        for (name, child) in children {
            self.node(name, child, (left, depth + 1), out)?;
            left += child.micros / self.all;
        }
        Ok(())
    }
}

/// The colour of its state, paler the higher it is; the kernel's functions are greyer.
fn colour(node: &Node, depth: usize) -> String {
    let Some(state) = node.state else { return "#e4e6ea".to_owned() };
    let pale = if depth <= 2 {
        0.25
    } else if depth.is_multiple_of(2) {
        0.45
    } else {
        0.55
    };
    let ground = if node.kernel { 200.0 } else { 255.0 };
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

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            // XML has no way to write these.
            letter if letter.is_control() => safe.push('\u{fffd}'),
            letter => safe.push(letter),
        }
    }
    safe
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
