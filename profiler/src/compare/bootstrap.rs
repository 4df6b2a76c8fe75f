//! How far figures would differ by chance alone: the block bootstrap.
//!
//! Requests that end near one another are alike, so single requests say less than their number suggests. Whole blocks of time are drawn
//! anew, with replacement, from each recording (Carlstein 1986, "The use of subseries values for estimating the variance of a general
//! statistic from a stationary sequence"), and blocks that are still alike their neighbours are joined first.

use demo_servers::rng::SplitMix64;
use serde::Serialize;

use super::{
    figures::{Figures, Parts},
    metric::Metric,
    sample::{Block, Blocks},
};
use crate::units::Ns;

/// Always the same: the same recordings give the same answer.
const SEED: u64 = 0x7768_7977_6169_7421;

/// How sure an interval is. Mean, p50, p90 and p99 are looked at together: with 95 % for each, one of them would be called different by
/// chance far more often than in one comparison of twenty.
pub const CONFIDENCE: f64 = 0.99;
/// The quantile of the normal distribution that goes with it.
const Z: f64 = 2.575_829_303_548_901;
/// Draws.
const DRAWS: usize = 2000;
/// Blocks below which none are joined: fewer would tell nothing.
const FEWEST_JOINED: usize = 24;
/// Blocks with requests below which nothing is said about noise.
const FEWEST: usize = 8;
/// Requests beyond a quantile below which nothing is said about it.
const BEYOND: f64 = 5.0;

/// An interval of confidence: from, to.
pub type Interval = [f64; 2];

/// A metric of both sides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Estimate {
    /// Before.
    pub before: f64,
    /// After.
    pub after: f64,
    /// Where the first one lies; nothing where there is too little to tell.
    pub before_interval: Option<Interval>,
    /// Where the second one lies.
    pub after_interval: Option<Interval>,
    /// Where the difference lies.
    pub interval: Option<Interval>,
}

/// Blocks of a recording, joined until they do not resemble their neighbours.
pub(super) fn parts(blocks: &Blocks, span: (Ns, Ns)) -> Parts {
    let mut blocks = blocks.between(span);
    while blocks.len() >= 2 * FEWEST_JOINED && are_alike(&blocks) {
        blocks = blocks
            .chunks(2)
            .map(|pair| {
                let mut joined = pair[0].clone();
                for (seconds, block) in &pair[1..] {
                    joined.0 += seconds;
                    joined.1.merge(block);
                }
                joined
            })
            .collect();
    }
    Parts::new(&blocks)
}

/// Whether neighbours are more alike than chance makes them: an autocorrelation above `1.645 / √n`, which one in twenty independent
/// sequences has.
fn are_alike(blocks: &[(f64, Block)]) -> bool {
    let means: Vec<f64> = blocks
        .iter()
        .filter(|(_, block)| block.count > 0)
        .map(|(_, block)| block.total() as f64 / block.count as f64)
        .collect();
    let rates: Vec<f64> = blocks
        .iter()
        .filter(|(seconds, _)| *seconds > 0.0)
        .map(|(seconds, block)| block.count as f64 / seconds)
        .collect();
    [means, rates].iter().any(|values| autocorrelation(values) > 1.645 / (values.len() as f64).sqrt())
}

/// The correlation of values with their successors; 0 where all are the same.
fn autocorrelation(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    let square = |value: &f64| (value - mean) * (value - mean);
    let variance: f64 = values.iter().map(square).sum();
    let pairs = values.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean));
    if variance > 0.0 { pairs.sum::<f64>() / variance } else { 0.0 }
}

/// All metrics of both sides, by number. The same blocks give the same answer.
pub(super) fn estimates(before: &mut Parts, after: &mut Parts) -> Vec<Estimate> {
    let figures = [before.figures(), after.figures()];
    let said = [before.filled(), after.filled()].map(|filled| filled >= FEWEST);
    let mut random = SplitMix64::new(SEED);
    let drawn: Vec<[Figures; 2]> = if said.contains(&true) {
        (0..DRAWS).map(|_| [draw(&mut random, before), draw(&mut random, after)]).collect()
    } else {
        Vec::new()
    };
    let sizes = [before.len(), after.len()];
    let counts = [before.count(), after.count()];
    Metric::all()
        .map(|metric| {
            let number = metric.number();
            let beyond = |side: usize| metric.quantile().is_none_or(|q| counts[side] * (1.0 - q) >= BEYOND);
            let told = |side: usize| said[side] && beyond(side);
            let one = |side: usize| {
                told(side)
                    .then(|| interval(drawn.iter().map(|draw| draw[side][number]).collect(), sizes[side]))
            };
            let difference = || {
                let differences = drawn.iter().map(|[before, after]| after[number] - before[number]);
                interval(differences.collect(), sizes[0].min(sizes[1]))
            };
            Estimate {
                before: figures[0][number],
                after: figures[1][number],
                before_interval: one(0),
                after_interval: one(1),
                interval: (told(0) && told(1)).then(difference),
            }
        })
        .collect()
}

/// The expanded percentile interval (Hesterberg 2015, "What Teachers Should Know About the Bootstrap", section 5.1): the plain one is too
/// narrow for few blocks, so its percentiles are moved as Student's t and the missing degree of freedom ask for.
fn interval(mut drawn: Vec<f64>, blocks: usize) -> Interval {
    drawn.sort_unstable_by(f64::total_cmp);
    let n = blocks.max(2) as f64;
    let tail = normal_tail((n / (n - 1.0)).sqrt() * student(n - 1.0));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a length")]
    let cut = (tail * drawn.len() as f64).floor() as usize;
    let cut = cut.min(drawn.len().saturating_sub(1) / 2);
    let at = |place: usize| drawn.get(place).copied().unwrap_or(0.0);
    [at(cut), at(drawn.len().saturating_sub(1 + cut))]
}

/// The quantile of Student's t that goes with [`Z`] (Abramowitz and Stegun 26.7.5, three terms).
fn student(freedom: f64) -> f64 {
    let first = (Z.powi(3) + Z) / 4.0;
    let second = (5.0 * Z.powi(5) + 16.0 * Z.powi(3) + 3.0 * Z) / 96.0;
    let third = (3.0 * Z.powi(7) + 19.0 * Z.powi(5) + 17.0 * Z.powi(3) - 15.0 * Z) / 384.0;
    Z + first / freedom + second / freedom.powi(2) + third / freedom.powi(3)
}

/// The share of the normal distribution above `z`, which is positive (Abramowitz and Stegun 26.2.17, to within 1e-7).
fn normal_tail(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z);
    let series = [0.319_381_530, -0.356_563_782, 1.781_477_937, -1.821_255_978, 1.330_274_429];
    let polynomial: f64 = series.iter().rev().fold(0.0, |sum, factor| (sum + factor) * t);
    (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * polynomial
}

/// The figures of as many blocks as there are, drawn with replacement.
fn draw(random: &mut SplitMix64, parts: &mut Parts) -> Figures {
    let blocks = parts.len();
    parts.figures_of((0..blocks).map(|_| {
        let product = u128::from(random.next_u64()) * blocks as u128;
        usize::try_from(product >> 64).unwrap_or(0)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against tables of the distributions.
    #[test]
    fn the_distributions_are_those_of_the_tables() {
        assert!(
            (normal_tail(1.959_964) - 0.025).abs() < 1e-6 && (normal_tail(2.575_829) - 0.005).abs() < 1e-6
        );
        for (freedom, quantile) in [(10.0, 3.169), (30.0, 2.750), (100.0, 2.626)] {
            assert!((student(freedom) - quantile).abs() < 0.005, "{freedom}: {}", student(freedom));
        }
    }

    #[test]
    fn waves_are_alike_and_alternation_is_not() {
        let wave: Vec<f64> = (0..64_i32).map(|at| (f64::from(at) / 8.0).sin()).collect();
        assert!(autocorrelation(&wave) > 0.8);
        let turns: Vec<f64> = (0..64_i32).map(|at| f64::from(at % 2)).collect();
        assert!(autocorrelation(&turns) < -0.8);
        assert!(autocorrelation(&[3.0; 9]).abs() < 1e-12 && autocorrelation(&[]).abs() < 1e-12);
    }
}
