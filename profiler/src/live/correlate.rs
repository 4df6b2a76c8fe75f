//! What moves together with latency. A correlation is no cause, and is not called one.

use std::sync::Arc;

use super::bucket::{Bucket, Group, LENGTH};
use crate::clock::State;

/// Buckets without a request say nothing; fewer others than this say nothing either.
const LEAST: usize = 12;
/// How far one may follow the other, in buckets.
const LAG: i32 = 4;
/// Weaker than this is chance.
const WEAK: f64 = 0.5;

/// Something that is measured in each bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Series {
    /// A request's mean time in a state.
    State(State),
    /// Requests a second.
    Rate,
    /// Switches a request.
    Switches,
    /// Threads created a request.
    Births,
    /// Time of the target's threads on a CPU.
    Cpu,
    /// Requests that are open.
    InFlight,
}

impl Series {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::State(state) => state.words(),
            Self::Rate => "requests per second",
            Self::Switches => "context switches per request",
            Self::Births => "threads created per request",
            Self::Cpu => "CPU of the server",
            Self::InFlight => "requests in flight",
        }
    }

    fn value(self, bucket: &Bucket) -> f64 {
        let each = |value: u64| value as f64 / bucket.sums.requests.count.max(1) as f64;
        match self {
            Self::State(state) => each(bucket.sums.requests.times[state]),
            Self::Rate => bucket.sums.requests.count as f64,
            Self::Switches => each(bucket.sums.switches.voluntary + bucket.sums.switches.involuntary),
            Self::Births => each(bucket.sums.switches.born),
            Self::Cpu => bucket.sums.ran() as f64 / LENGTH as f64,
            Self::InFlight => mean_in_flight(&bucket.sums.requests),
        }
    }
}

/// By Little's law.
fn mean_in_flight(requests: &Group) -> f64 {
    requests.total as f64 / LENGTH as f64
}

/// How two series move together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// What moves with latency.
    pub series: Series,
    /// Pearson's coefficient, from -1 to 1.
    pub strength: f64,
    /// Seconds by which latency follows it; negative: precedes it.
    pub lag: f64,
}

/// What moves together with the 99th percentile of latency, strongest first.
pub fn links(buckets: &[Arc<Bucket>]) -> Vec<Link> {
    // The last bucket is not over.
    let buckets = &buckets[..buckets.len().saturating_sub(1)];
    let latency: Vec<Option<f64>> = buckets.iter().map(|bucket| p99(bucket)).collect();
    if latency.iter().flatten().count() < LEAST {
        return Vec::new();
    }
    let states = State::ALL.into_iter().map(Series::State);
    let others = [Series::Rate, Series::Switches, Series::Births, Series::Cpu, Series::InFlight];
    let mut links: Vec<Link> =
        states.chain(others).filter_map(|series| link(series, buckets, &latency)).collect();
    links.sort_by(|a, b| b.strength.abs().total_cmp(&a.strength.abs()));
    links
}

fn p99(bucket: &Bucket) -> Option<f64> {
    (bucket.sums.requests.count > 0).then(|| bucket.sums.latencies.quantile(0.99).max(1.0).ln())
}

fn link(series: Series, buckets: &[Arc<Bucket>], latency: &[Option<f64>]) -> Option<Link> {
    let values: Vec<f64> = buckets.iter().map(|bucket| series.value(bucket)).collect();
    // The same moment comes first: of two that are equally strong the nearer one is meant.
    let mut lags: Vec<i32> = (-LAG..=LAG).collect();
    lags.sort_by_key(|lag| lag.abs());
    let mut best: Option<Link> = None;
    for lag in lags {
        let shifted = |place: usize| usize::try_from(i64::try_from(place).ok()? - i64::from(lag)).ok();
        let pairs: Vec<(f64, f64)> = latency
            .iter()
            .enumerate()
            .filter_map(|(place, latency)| Some((*values.get(shifted(place)?)?, (*latency)?)))
            .collect();
        let Some(strength) = pearson(&pairs) else { continue };
        // A later or earlier moment must say clearly more than this one.
        if best.is_none_or(|best| strength.abs() > best.strength.abs() + 0.05) {
            best = Some(Link { series, strength, lag: f64::from(lag) * LENGTH as f64 / 1e9 });
        }
    }
    best.filter(|link| link.strength.abs() >= WEAK)
}

/// Pearson's coefficient; `None` for too few pairs, or where one of the two does not change.
fn pearson(pairs: &[(f64, f64)]) -> Option<f64> {
    if pairs.len() < LEAST {
        return None;
    }
    let count = pairs.len() as f64;
    let (sum_x, sum_y) = pairs.iter().fold((0.0, 0.0), |(x, y), pair| (x + pair.0, y + pair.1));
    let (mean_x, mean_y) = (sum_x / count, sum_y / count);
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (x, y) in pairs {
        xy += (x - mean_x) * (y - mean_y);
        xx += (x - mean_x).powi(2);
        yy += (y - mean_y).powi(2);
    }
    let strength = xy / (xx * yy).sqrt();
    strength.is_finite().then_some(strength)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::StateTimes, units::Ns};

    fn bucket(number: u32, lock: u64) -> Arc<Bucket> {
        let mut bucket = Bucket::new(number, Ns(u64::from(number) * LENGTH));
        let mut times = StateTimes::default();
        times[State::Lock] = lock;
        times[State::OnCpu] = 1_000_000;
        bucket.sums.requests.add(lock + 1_000_000, &times);
        bucket.sums.latencies.add(lock + 1_000_000);
        Arc::new(bucket)
    }

    #[test]
    fn what_makes_latency_longer_is_linked_with_it_at_the_same_moment() {
        let buckets: Vec<_> = (0..40).map(|n| bucket(n, u64::from(n % 7) * 3_000_000)).collect();
        let links = links(&buckets);
        let lock = links.iter().find(|link| link.series == Series::State(State::Lock));
        let lock = lock.expect("the lock's time moves with latency");
        assert!(lock.strength > 0.9 && lock.lag == 0.0, "{lock:?}");
        assert!(links.iter().all(|link| link.series != Series::State(State::OnCpu)), "{links:?}");
    }

    #[test]
    fn a_few_buckets_say_nothing() {
        let buckets: Vec<_> = (0..8).map(|n| bucket(n, u64::from(n % 3) * 3_000_000)).collect();
        assert_eq!(links(&buckets), Vec::new());
    }
}
