//! Stacks as trees, small enough for a page: rare branches are left out, names are told once.

use rustc_hash::FxHashMap;
use serde::{Serialize, Serializer, ser::SerializeTuple};

use crate::{
    clock::State,
    stacks::{StateStacks, Tree},
};

/// A branch below this share of its profile is left out.
const LEAST: f64 = 0.003;
/// Frames from the root on.
const DEEPEST: usize = 128;
/// Branches of all profiles; once there are as many, no further profile is told.
const BRANCHES: usize = 60_000;
/// Letters of a name.
const LETTERS: usize = 240;

/// A function, and those that it called.
#[derive(Debug)]
struct Branch {
    name: usize,
    micros: f64,
    calls: Vec<Branch>,
}

impl Serialize for Branch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut parts = serializer.serialize_tuple(3)?;
        parts.serialize_element(&self.name)?;
        parts.serialize_element(&self.micros.round())?;
        parts.serialize_element(&self.calls)?;
        parts.end()
    }
}

/// Stacks of a state.
#[derive(Debug, Serialize)]
struct Profile {
    /// Its place among [`State::ALL`].
    state: usize,
    /// The route; `null` for all requests.
    route: Option<String>,
    /// Microseconds in the state.
    time_us: f64,
    /// Microseconds that have a stack.
    known_us: f64,
    /// Outermost functions.
    calls: Vec<Branch>,
}

/// Profiles, and the names in them.
#[derive(Debug, Default, Serialize)]
pub(super) struct Flames {
    names: Vec<String>,
    profiles: Vec<Profile>,
}

impl Flames {
    /// Trees of these stacks, in their order, as far as there is room.
    pub fn new(all: &[StateStacks]) -> Self {
        let mut flames = Self::default();
        let mut places = FxHashMap::default();
        let mut room = BRANCHES;
        for stacks in all {
            let tree = tree(stacks);
            let known_us = tree.micros;
            let calls = branches(&tree, known_us * LEAST, &mut |name| flames.name(&mut places, name));
            let Some(left) = room.checked_sub(count(&calls)) else { break };
            room = left;
            flames.profiles.push(Profile {
                state: State::ALL.iter().position(|state| *state == stacks.state).unwrap_or_default(),
                route: stacks.route.clone(),
                time_us: stacks.time_us,
                known_us,
                calls,
            });
        }
        flames
    }

    /// The place of a name.
    fn name(&mut self, places: &mut FxHashMap<String, usize>, name: &str) -> usize {
        let names = &mut self.names;
        *places.entry(name.to_owned()).or_insert_with(|| {
            names.push(name.chars().take(LETTERS).collect());
            names.len() - 1
        })
    }
}

/// A profile's stacks as a tree.
fn tree(stacks: &StateStacks) -> Tree {
    let mut root = Tree::default();
    for hot in &stacks.stacks {
        root.micros += hot.time_us;
        let mut node = &mut root;
        for frame in hot.frames.iter().rev().take(DEEPEST) {
            node = node.child(&frame.folded(), Some(stacks.state), hot.time_us);
        }
    }
    root
}

/// Branches that are not rare.
fn branches(tree: &Tree, least: f64, name: &mut dyn FnMut(&str) -> usize) -> Vec<Branch> {
    let ranked = tree.ranked().into_iter().take_while(|(_, child)| child.micros >= least);
    ranked
        .map(|(text, child)| Branch {
            name: name(text),
            micros: child.micros,
            calls: branches(child, least, name),
        })
        .collect()
}

fn count(level: &[Branch]) -> usize {
    level.iter().map(|branch| 1 + count(&branch.calls)).sum()
}
