//! Stacks as trees, small enough for a page: rare branches are left out, names are told once.

use rustc_hash::FxHashMap;
use serde::{Serialize, Serializer, ser::SerializeTuple};

use crate::{
    clock::State,
    stacks::{Hot, StateStacks},
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
            let known_us = stacks.stacks.iter().map(|hot| hot.time_us).sum::<f64>();
            let mut calls = Vec::new();
            for hot in &stacks.stacks {
                grow(&mut calls, hot, &mut |name| flames.name(&mut places, name));
            }
            prune(&mut calls, known_us * LEAST);
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
    fn name(&mut self, places: &mut FxHashMap<String, usize>, name: String) -> usize {
        let names = &mut self.names;
        *places.entry(name).or_insert_with_key(|name| {
            names.push(name.chars().take(LETTERS).collect());
            names.len() - 1
        })
    }
}

/// Adds a stack to a tree.
fn grow(roots: &mut Vec<Branch>, hot: &Hot, name: &mut dyn FnMut(String) -> usize) {
    let mut level = roots;
    for frame in hot.frames.iter().rev().take(DEEPEST) {
        let name = name(frame.folded());
        let place = level.iter().position(|branch| branch.name == name).unwrap_or_else(|| {
            level.push(Branch { name, micros: 0.0, calls: Vec::new() });
            level.len() - 1
        });
        level[place].micros += hot.time_us;
        level = &mut level[place].calls;
    }
}

fn prune(level: &mut Vec<Branch>, least: f64) {
    level.retain(|branch| branch.micros >= least);
    level.sort_by(|a, b| b.micros.total_cmp(&a.micros));
    for branch in level {
        prune(&mut branch.calls, least);
    }
}

fn count(level: &[Branch]) -> usize {
    level.iter().map(|branch| 1 + count(&branch.calls)).sum()
}
