//! A tree of stacks, and a flame graph's layout of it.

use std::collections::BTreeMap;

use crate::clock::State;

/// A function, or what stands above all functions: a state, a route, everything.
#[derive(Debug, Default)]
pub struct Tree {
    /// Microseconds in it and in what it calls.
    pub micros: f64,
    /// What requests did there.
    pub state: Option<State>,
    /// It is a function of the kernel.
    pub is_kernel: bool,
    children: BTreeMap<String, Tree>,
}

/// A box of a flame graph.
#[derive(Debug)]
pub struct Placed<'a> {
    /// What it stands for.
    pub node: &'a Tree,
    /// Names from the top of the layout, its own the last; empty for the top itself.
    pub path: Vec<&'a str>,
    /// Its left edge, as a share of the whole width.
    pub left: f64,
    /// Its width, as a share of the whole width.
    pub share: f64,
}

impl Tree {
    /// Adds time to a child, which is returned.
    pub fn child(&mut self, name: &str, state: Option<State>, micros: f64) -> &mut Self {
        let child = self.children.entry(name.to_owned()).or_default();
        child.state = state;
        child.micros += micros;
        child
    }

    /// Children, most time first.
    pub fn ranked(&self) -> Vec<(&str, &Self)> {
        let mut children: Vec<_> = self.children.iter().map(|(name, node)| (name.as_str(), node)).collect();
        children.sort_by(|a, b| b.1.micros.total_cmp(&a.1.micros).then_with(|| a.0.cmp(b.0)));
        children
    }

    /// The node at the end of a path, as far as there is one.
    pub fn at(&self, path: &[String]) -> &Self {
        path.iter().fold(self, |node, name| node.children.get(name).unwrap_or(node))
    }

    /// Levels below it.
    pub fn depth(&self) -> usize {
        self.children.values().map(|child| 1 + child.depth()).max().unwrap_or(0)
    }

    /// Boxes of a flame graph that begins with this node, level by level and from left to right; those below a share of the width are left
    /// out with what they call.
    pub fn layout(&self, least: f64) -> Vec<Placed<'_>> {
        let mut placed = vec![Placed { node: self, path: Vec::new(), left: 0.0, share: 1.0 }];
        let mut next = 0;
        while let Some(Placed { node, path, left, .. }) = placed.get(next) {
            let (node, path, mut left): (&Self, _, _) = (node, path.clone(), *left);
            next += 1;
            for (name, child) in node.ranked() {
                let share = if self.micros > 0.0 { child.micros / self.micros } else { 0.0 };
                if share >= least {
                    let path = path.iter().copied().chain([name]).collect();
                    placed.push(Placed { node: child, path, left, share });
                }
                left += share;
            }
        }
        placed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A box is as wide as its share, and lies above what calls it.
    #[test]
    fn a_function_is_as_wide_as_its_time() {
        let mut root = Tree::default();
        for (path, micros) in [(["main", "lock"], 75.0), (["main", "work"], 20.0), (["idle", ""], 5.0)] {
            root.micros += micros;
            let mut node = &mut root;
            for name in path {
                node = node.child(name, None, micros);
            }
        }
        let placed = root.layout(0.1);
        let of = |path: &[&str]| placed.iter().find(|one| one.path == path).map(|one| (one.left, one.share));
        assert_eq!(of(&[]), Some((0.0, 1.0)));
        assert_eq!(of(&["main"]), Some((0.0, 0.95)));
        assert_eq!(of(&["main", "lock"]), Some((0.0, 0.75)));
        assert_eq!(of(&["main", "work"]), Some((0.75, 0.2)));
        assert_eq!(of(&["idle"]), None);
        assert_eq!(root.depth(), 2);
        assert_eq!(root.at(&["main".to_owned()]).layout(0.0)[1].path, ["lock"]);
    }
}
