//! When each request is to be sent, decided before the first one is.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::nanos;
use crate::rng::SplitMix64;

/// How requests are spread over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Arrivals {
    /// At equal intervals.
    Constant,
    /// At exponentially distributed intervals, as many clients that do not know each other make them.
    Poisson,
}

/// The moments at which requests are due, in nanoseconds from the start.
#[derive(Debug)]
pub struct Schedule {
    rate: f64,
    /// For exponential intervals; equal ones need no chance.
    rng: Option<SplitMix64>,
    /// Intervals so far, in means of them. A sum of their lengths would be off by a request after many.
    intervals: f64,
    end: u64,
}

impl Schedule {
    /// `rate` requests a second for `length`. A Poisson schedule begins with an interval, a constant one at zero.
    pub fn new(rate: f64, length: Duration, poisson_seed: Option<u64>) -> Self {
        let rng = poisson_seed.map(SplitMix64::new);
        let mut schedule = Self { rate, rng, intervals: 0.0, end: nanos(length) };
        if schedule.rng.is_some() {
            schedule.step();
        }
        schedule
    }

    /// The next moment; `None` when the schedule is over.
    pub fn peek(&self) -> Option<u64> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative; the cast saturates"
        )]
        let next = (self.intervals * 1e9 / self.rate) as u64;
        (next < self.end).then_some(next)
    }

    /// Goes on to the moment after it.
    pub fn step(&mut self) {
        // Inversion: -ln(U) of a uniform U is exponentially distributed with mean 1.
        self.intervals += self.rng.as_mut().map_or(1.0, |rng| -rng.unit().ln());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut schedule: Schedule) -> Vec<u64> {
        std::iter::from_fn(|| {
            let due = schedule.peek();
            schedule.step();
            due
        })
        .collect()
    }

    #[test]
    fn a_constant_schedule_has_rate_times_duration_requests() {
        let due = all(Schedule::new(500.0, Duration::from_secs(2), None));
        assert_eq!((due.len(), due[0], due[1]), (1000, 0, 2_000_000));
    }

    /// Whatever the rate, its interval being no whole number of nanoseconds, or of anything that a float holds.
    #[test]
    fn no_request_is_scheduled_too_many() {
        for rate in 1..=9_973_u32 {
            let due = all(Schedule::new(f64::from(rate), Duration::from_secs(5), None));
            assert_eq!(due.len(), rate as usize * 5);
        }
    }

    /// Mean and coefficient of variation of the intervals are those of a Poisson process, and a seed fixes them.
    #[test]
    fn a_poisson_schedule_has_exponential_intervals() {
        let draw = |seed| all(Schedule::new(1000.0, Duration::from_secs(20), Some(seed)));
        let due = draw(3);
        assert_eq!(due, draw(3));
        assert_ne!(due, draw(4));
        let gaps: Vec<f64> = due.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((mean / 1e6 - 1.0).abs() < 0.03, "mean {mean}");
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.03, "variation {}", variance.sqrt() / mean);
    }
}
