//! The requests of a recording by blocks of time, in constant space.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::{
    clock::{Request, StateTimes},
    decode::Route,
    units::Ns,
    window::{GROUPING, OTHER_ROUTES, index},
};

/// Nanoseconds of a block at first; doubled whenever there are too many of them.
const SHORTEST: u64 = 4_000_000;
/// Blocks, at most.
const MOST: u64 = 128;
/// Routes that are kept apart.
const MOST_ROUTES: usize = 64;
/// Name of the requests that have none.
const NO_ROUTE: &str = "(no route)";

/// Requests of about the same latency.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cell {
    /// How many.
    pub count: u64,
    /// Sum of their latencies in nanoseconds.
    pub total: u64,
}

/// What ended in a block of time.
#[derive(Clone, Debug, Default)]
pub(super) struct Block {
    /// Requests.
    pub count: u64,
    /// The longest latency in nanoseconds.
    pub max: u64,
    /// Sums of their times by state.
    pub times: StateTimes,
    /// Requests by the bucket of their latency.
    pub cells: FxHashMap<u32, Cell>,
}

impl Block {
    fn add(&mut self, latency: u64, times: &StateTimes) {
        self.count += 1;
        self.max = self.max.max(latency);
        self.times.add(times);
        let cell = self.cells.entry(index(latency, GROUPING)).or_default();
        cell.count += 1;
        cell.total += latency;
    }

    /// Takes what is in another one.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.max = self.max.max(other.max);
        self.times.add(&other.times);
        for (index, cell) in &other.cells {
            let sum = self.cells.entry(*index).or_default();
            sum.count += cell.count;
            sum.total += cell.total;
        }
    }

    /// Sum of all latencies in nanoseconds.
    pub fn total(&self) -> u64 {
        self.cells.values().map(|cell| cell.total).sum()
    }
}

/// Requests in blocks of equal length.
#[derive(Clone, Debug)]
pub(super) struct Blocks {
    width: u64,
    /// By the number of their lengths since the clock began.
    blocks: BTreeMap<u64, Block>,
}

impl Default for Blocks {
    fn default() -> Self {
        Self { width: SHORTEST, blocks: BTreeMap::new() }
    }
}

impl Blocks {
    fn add(&mut self, end: Ns, latency: u64, times: &StateTimes) {
        self.blocks.entry(end.0 / self.width).or_default().add(latency, times);
        while self.spread() >= MOST {
            self.widen();
        }
    }

    /// From the first block to the last.
    fn spread(&self) -> u64 {
        let first = self.blocks.first_key_value().map_or(0, |(key, _)| *key);
        self.blocks.last_key_value().map_or(0, |(key, _)| *key) - first
    }

    fn widen(&mut self) {
        self.width *= 2;
        for (key, block) in std::mem::take(&mut self.blocks) {
            self.blocks.entry(key / 2).or_default().merge(&block);
        }
    }

    /// All blocks of a window, those without requests too, each with its length in seconds.
    pub fn between(&self, (begin, end): (Ns, Ns)) -> Vec<(f64, Block)> {
        let mut wide = self.clone();
        while end.since(begin) / wide.width >= MOST {
            wide.widen();
        }
        let (first, last) = (begin.0 / wide.width, end.0.saturating_sub(1).max(begin.0) / wide.width);
        let mut blocks: Vec<(f64, Block)> = (first..=last)
            .map(|key| {
                let (from, to) = (Ns(key * wide.width), Ns((key + 1) * wide.width));
                (to.min(end).since(from.max(begin)) as f64 / 1e9, Block::default())
            })
            .collect();
        for (key, block) in &wide.blocks {
            let place = usize::try_from((*key).clamp(first, last) - first).unwrap_or(0);
            blocks[place].1.merge(block);
        }
        blocks
    }
}

/// The requests of a recording.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    all: Blocks,
    routes: FxHashMap<Route, Blocks>,
    without: Blocks,
    other: Blocks,
}

impl Sample {
    /// Takes a finished request.
    pub fn add(&mut self, request: &Request) {
        self.put(request.end, request.latency(), &request.times, request.route.as_ref());
    }

    /// Takes what a request is made of.
    pub(super) fn put(&mut self, end: Ns, latency: u64, times: &StateTimes, route: Option<&Route>) {
        self.all.add(end, latency, times);
        let blocks = match route {
            None => &mut self.without,
            Some(route) if self.routes.contains_key(route) || self.routes.len() < MOST_ROUTES => {
                self.routes.entry(route.clone()).or_default()
            }
            Some(_) => &mut self.other,
        };
        blocks.add(end, latency, times);
    }

    /// All requests.
    pub(super) fn all(&self) -> &Blocks {
        &self.all
    }

    /// Requests by route.
    pub(super) fn routes(&self) -> BTreeMap<&str, &Blocks> {
        let rest = [(NO_ROUTE, &self.without), (OTHER_ROUTES, &self.other)];
        let rest = rest.into_iter().filter(|(_, blocks)| !blocks.blocks.is_empty());
        self.routes.iter().map(|(route, blocks)| (&**route, blocks)).chain(rest).collect()
    }
}
