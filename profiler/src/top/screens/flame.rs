//! Where in the code requests spend their time: an icicle of the stacks of the last whole window, outermost function at the top.

use super::Rows;
use crate::{
    live::Stack,
    stacks::{Placed, Tree},
    top::{canvas::Canvas, theme::letter, view::View},
    units::{fmt_percent, fmt_us, rounded},
};

/// States, and the functions in which requests were in them.
fn tree(stacks: &[Stack]) -> Tree {
    let mut root = Tree::default();
    for stack in stacks {
        root.micros += stack.micros;
        let mut node = root.child(stack.state.words(), Some(stack.state), stack.micros);
        for frame in &stack.frames {
            node = node.child(frame, Some(stack.state), stack.micros);
        }
    }
    root
}

/// A box, and its columns.
struct Drawn<'a> {
    name: &'a str,
    node: &'a Tree,
    path: Vec<String>,
    x: u16,
    width: u16,
    depth: u16,
}

/// Boxes that are at least one column wide, row by row, from the function on that is zoomed.
fn place<'a>(root: &'a Tree, zoomed: &'a [String], width: u16, height: u16) -> Vec<Drawn<'a>> {
    let column = |share: f64| u16::try_from(rounded(share * f64::from(width))).unwrap_or(width).min(width);
    let top = zoomed.last().map_or("all requests", String::as_str);
    let drawn = root.at(zoomed).layout(0.0).into_iter().filter_map(|Placed { node, path, left, share }| {
        let (x, depth) = (column(left), u16::try_from(path.len()).ok()?);
        let width = column(left + share).saturating_sub(x);
        let name = path.last().copied().unwrap_or(top);
        let path = zoomed.iter().cloned().chain(path.iter().map(|name| (*name).to_owned())).collect();
        (width > 0 && depth < height).then_some(Drawn { name, node, path, x, width, depth })
    });
    drawn.collect()
}

/// The path of the chosen function.
pub fn chosen(view: &View, width: u16) -> Option<Vec<String>> {
    let root = tree(&view.snapshot.stacks);
    // Rows that are not shown come last.
    Some(place(&root, view.zoomed, width, u16::MAX).into_iter().nth(view.chosen)?.path)
}

pub fn draw(view: &View, canvas: &mut Canvas) -> Rows {
    let (width, height) = (canvas.width(), canvas.height());
    canvas
        .heading(0, "Where in the code requests spend their time, on and off the CPU; the last whole window");
    if view.snapshot.stacks.is_empty() {
        canvas.text(0, 2, "no stack was taken in it", canvas.theme.faint());
        return Rows::default();
    }
    let root = tree(&view.snapshot.stacks);
    let placed = place(&root, view.zoomed, width, height.saturating_sub(3));
    for (number, one) in placed.iter().enumerate() {
        let y = one.depth + 1;
        let found = !view.filter.is_empty() && view.wants(one.name);
        let style = if number == view.chosen {
            canvas.theme.chosen()
        } else if found {
            canvas.theme.bad().add_modifier(ratatui::style::Modifier::REVERSED)
        } else {
            canvas.theme.block(one.node.state)
        };
        for x in 0..one.width {
            canvas.put(one.x + x, y, ' ', style);
        }
        let label = match one.node.state {
            Some(state) => format!("{} {}", letter(Some(state)), one.name),
            None => one.name.to_owned(),
        };
        // A border between neighbours that does not need a colour.
        canvas.put(one.x, y, '▏', style);
        canvas.text_within(one.x + 1, y, one.width.saturating_sub(1), &label, style);
    }
    if let Some(one) = placed.get(view.chosen) {
        let text = format!(
            "{}: {} of {}, {}",
            one.name,
            fmt_us(one.node.micros),
            fmt_us(root.micros),
            fmt_percent(one.node.micros / root.micros.max(1e-9))
        );
        canvas.text(0, height.saturating_sub(1), &text, canvas.theme.strong());
    }
    // Rows are not those of a list: a click chooses nothing.
    Rows { count: placed.len(), top: height, first: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::State;

    fn stack(state: State, frames: &[&str], micros: f64) -> Stack {
        Stack { state, frames: frames.iter().map(|name| (*name).to_owned()).collect(), micros }
    }

    #[test]
    fn a_function_is_as_wide_as_its_time() {
        let stacks = [
            stack(State::Lock, &["main", "serve", "lock"], 75.0),
            stack(State::OnCpu, &["main", "serve", "work"], 20.0),
            stack(State::OnCpu, &["main", "idle"], 5.0),
        ];
        let root = tree(&stacks);
        let placed = place(&root, &[], 100, 10);
        let width = |path: &[&str]| placed.iter().find(|one| one.path == path).map(|one| one.width);
        assert_eq!(width(&[]), Some(100));
        assert_eq!(width(&["waiting for a lock", "main", "serve", "lock"]), Some(75));
        assert_eq!(width(&["running on a CPU", "main", "serve"]), Some(20));
        let zoomed = ["running on a CPU".to_owned()];
        let placed = place(&root, &zoomed, 100, 10);
        assert_eq!(placed[0].width, 100);
        assert!(placed.iter().all(|one| one.name != "lock"));
    }
}
