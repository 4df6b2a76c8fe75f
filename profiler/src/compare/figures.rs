//! The figures of some blocks: of all of them, or of a draw.

use super::{metric::Metric, sample::Block};
use crate::clock::State;

/// The figures by the number of their metric; microseconds, and requests a second.
pub(super) type Figures = [f64; Metric::COUNT];

/// A block, ready to be added up often.
struct Part {
    seconds: f64,
    count: f64,
    total: f64,
    max: f64,
    times: [f64; State::COUNT],
    /// Place among the buckets, requests and the sum of their latencies.
    cells: Vec<(usize, f64, f64)>,
}

/// Blocks of a recording, and room to add them up.
pub(super) struct Parts {
    parts: Vec<Part>,
    /// Requests and the sum of their latencies, by place.
    sums: Vec<(f64, f64)>,
}

impl Parts {
    /// Of these blocks, each with its length in seconds.
    pub fn new(blocks: &[(f64, Block)]) -> Self {
        let mut buckets: Vec<u32> =
            blocks.iter().flat_map(|(_, block)| block.cells.keys().copied()).collect();
        buckets.sort_unstable();
        buckets.dedup();
        let place = |index: &u32| buckets.binary_search(index).unwrap_or(0);
        let parts = blocks
            .iter()
            .map(|(seconds, block)| Part {
                seconds: *seconds,
                count: block.count as f64,
                total: block.total() as f64 / 1e3,
                max: block.max as f64 / 1e3,
                times: State::ALL.map(|state| block.times[state] as f64 / 1e3),
                cells: block
                    .cells
                    .iter()
                    .map(|(index, cell)| (place(index), cell.count as f64, cell.total as f64 / 1e3))
                    .collect(),
            })
            .collect();
        Self { parts, sums: vec![(0.0, 0.0); buckets.len()] }
    }

    /// Number of blocks.
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// Number of requests.
    pub fn count(&self) -> f64 {
        self.parts.iter().map(|part| part.count).sum()
    }

    /// Blocks in which there are requests.
    pub fn filled(&self) -> usize {
        self.parts.iter().filter(|part| part.count > 0.0).count()
    }

    /// The figures of all blocks.
    pub fn figures(&mut self) -> Figures {
        self.figures_of(0..self.parts.len())
    }

    /// The figures of some of the blocks, some of them perhaps several times.
    pub fn figures_of(&mut self, places: impl Iterator<Item = usize>) -> Figures {
        self.sums.fill((0.0, 0.0));
        let (mut seconds, mut count, mut total, mut max) = (0.0, 0.0, 0.0, 0.0_f64);
        let mut times = [0.0; State::COUNT];
        for part in places.map(|place| &self.parts[place]) {
            seconds += part.seconds;
            count += part.count;
            total += part.total;
            max = max.max(part.max);
            for (sum, time) in times.iter_mut().zip(part.times) {
                *sum += time;
            }
            for (place, requests, latencies) in &part.cells {
                self.sums[*place].0 += requests;
                self.sums[*place].1 += latencies;
            }
        }
        let mut figures = [0.0; Metric::COUNT];
        if count > 0.0 {
            let quantiles = self.quantiles(count);
            for metric in Metric::all() {
                figures[metric.number()] = match metric {
                    Metric::Mean => total / count,
                    Metric::P50 => quantiles[0],
                    Metric::P90 => quantiles[1],
                    Metric::P99 => quantiles[2],
                    Metric::P999 => quantiles[3],
                    Metric::Max => max,
                    Metric::Rate if seconds > 0.0 => count / seconds,
                    Metric::Rate => 0.0,
                    Metric::State(state) => times[state as usize] / count,
                };
            }
        }
        figures
    }

    /// Quantiles of what has been added up, as [`Book`](crate::window::Book) takes them: the mean of the bucket that they lie in.
    fn quantiles(&self, count: f64) -> [f64; 4] {
        let ranks = [Metric::P50, Metric::P90, Metric::P99, Metric::P999]
            .map(|metric| (metric.quantile().unwrap_or(1.0) * count).ceil().max(1.0));
        let (mut quantiles, mut found, mut seen) = ([0.0; 4], 0, 0.0);
        for (requests, latencies) in self.sums.iter().filter(|(requests, _)| *requests > 0.0) {
            seen += requests;
            while found < ranks.len() && seen >= ranks[found] {
                quantiles[found] = latencies / requests;
                found += 1;
            }
        }
        quantiles
    }
}
