//! Where in the code requests spend their time: an icicle of the stacks of the last whole window, outermost function at the top.

use std::collections::BTreeMap;

use super::Rows;
use crate::{
    clock::State,
    live::Stack,
    top::{canvas::Canvas, theme::letter, view::View},
    units::{fmt_percent, fmt_us},
};

/// A function, or above all functions a state, with what is called from it.
#[derive(Debug, Default)]
struct Node {
    micros: f64,
    state: Option<State>,
    children: BTreeMap<String, Node>,
}

impl Node {
    fn of(stacks: &[Stack]) -> Self {
        let mut root = Self::default();
        for stack in stacks {
            root.micros += stack.micros;
            let mut node = root.child(stack.state.words(), stack.state);
            node.micros += stack.micros;
            for frame in &stack.frames {
                node = node.child(frame, stack.state);
                node.micros += stack.micros;
            }
        }
        root
    }

    fn child(&mut self, name: &str, state: State) -> &mut Self {
        let child = self.children.entry(name.to_owned()).or_default();
        child.state = Some(state);
        child
    }

    /// Children, most time first.
    fn ranked(&self) -> Vec<(&str, &Self)> {
        let mut children: Vec<_> = self.children.iter().map(|(name, node)| (name.as_str(), node)).collect();
        children.sort_by(|a, b| b.1.micros.total_cmp(&a.1.micros).then_with(|| a.0.cmp(b.0)));
        children
    }

    /// The node at the end of a path, as far as there is one.
    fn at(&self, path: &[String]) -> &Self {
        path.iter().fold(self, |node, name| node.children.get(name).unwrap_or(node))
    }
}

/// A node where it is drawn.
struct Placed<'a> {
    name: String,
    node: &'a Node,
    path: Vec<String>,
    x: u16,
    width: u16,
    depth: u16,
}

/// Nodes that are at least one column wide, row by row.
fn place<'a>(root: &'a Node, zoomed: &[String], width: u16, height: u16) -> Vec<Placed<'a>> {
    let top = root.at(zoomed);
    let name = zoomed.last().cloned().unwrap_or_else(|| "all requests".to_owned());
    let mut placed = vec![Placed { name, node: top, path: zoomed.to_vec(), x: 0, width, depth: 0 }];
    let mut next = 0;
    while next < placed.len() {
        let (x, wide, depth, node) = {
            let parent = &placed[next];
            (parent.x, parent.width, parent.depth, parent.node)
        };
        let path = placed[next].path.clone();
        next += 1;
        if depth + 1 >= height {
            continue;
        }
        let mut from = x;
        for (name, child) in node.ranked() {
            let share = child.micros / node.micros.max(1e-9);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "at most the row's width"
            )]
            let columns = (share * f64::from(wide)).round() as u16;
            let columns = columns.min((x + wide).saturating_sub(from));
            if columns == 0 {
                continue;
            }
            let path = path.iter().cloned().chain([name.to_owned()]).collect();
            placed.push(Placed {
                name: name.to_owned(),
                node: child,
                path,
                x: from,
                width: columns,
                depth: depth + 1,
            });
            from += columns;
        }
    }
    placed
}

/// The path of the chosen function.
pub fn chosen(view: &View, width: u16) -> Option<Vec<String>> {
    let root = Node::of(&view.snapshot.stacks);
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
    let root = Node::of(&view.snapshot.stacks);
    let placed = place(&root, view.zoomed, width, height.saturating_sub(3));
    for (number, one) in placed.iter().enumerate() {
        let y = one.depth + 1;
        let found = !view.filter.is_empty() && view.wants(&one.name);
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
            None => one.name.clone(),
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
        let root = Node::of(&stacks);
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
