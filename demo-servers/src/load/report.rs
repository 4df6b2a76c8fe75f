//! What a load run found.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::mix::WeightedUrl;
use crate::clock::nanos;

/// The result of a run. Times are in microseconds; requests of the warm-up appear nowhere in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadReport {
    /// Answered requests, whatever the status, late answers included.
    pub requests: u64,
    /// Requests that were sent.
    pub sent: u64,
    /// Requests whose moment came, but for which no connection became free before the end.
    pub unsent: u64,
    /// Requests that failed, by reason.
    pub errors: LoadErrors,
    /// For how long requests were sent.
    pub duration_s: f64,
    /// `requests` by `duration_s`.
    pub per_second: f64,
    /// From the moment at which the request was due to the last byte of its answer.
    pub latency_us: LatencySummary,
    /// From the moment at which it was really sent (in the closed loop the same).
    pub service_us: LatencySummary,
    /// Most requests that were sent and not answered at one time.
    pub max_in_flight: u64,
    /// The same for each URL, if there were several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_url: Vec<UrlReport>,
}

/// What a load run found about one of several URLs; the fields are those of [`LoadReport`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UrlReport {
    /// What was asked for, by its path.
    pub target: String,
    /// Answered requests.
    pub requests: u64,
    /// Requests for which no connection became free.
    pub unsent: u64,
    /// Requests that failed.
    pub errors: LoadErrors,
    /// From when they were due.
    pub latency_us: LatencySummary,
    /// From when they were sent.
    pub service_us: LatencySummary,
}

/// Requests that failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadErrors {
    /// The connection could not be opened.
    pub connect: u64,
    /// The connection ended, or the bytes made no sense, before the answer was complete.
    pub read: u64,
    /// The request could not be written.
    pub write: u64,
    /// Answered, but not with a status from 200 to 399; these are counted in `requests` as well.
    pub status: u64,
    /// Not answered within two seconds after the end.
    pub timeout: u64,
}

impl LoadErrors {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.connect + self.read + self.write + self.status + self.timeout
    }

    fn add(&mut self, other: &Self) {
        self.connect += other.connect;
        self.read += other.read;
        self.write += other.write;
        self.status += other.status;
        self.timeout += other.timeout;
    }
}

/// A latency distribution, in microseconds. `mean` and `max` are exact, the quantiles to three digits. All zero if
/// nothing was answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct LatencySummary {
    /// Arithmetic mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 90 % were at most this.
    pub p90: f64,
    /// 99 % were at most this.
    pub p99: f64,
    /// 99.9 % were at most this.
    pub p999: f64,
    /// 99.99 % were at most this.
    pub p9999: f64,
    /// The longest.
    pub max: f64,
}

/// Everything that a run has measured.
#[derive(Debug)]
pub(super) struct Measured {
    /// For how long requests were sent.
    pub duration: Duration,
    /// Most requests that were sent and not answered at one time.
    pub max_in_flight: u64,
    /// One for each URL, in their order.
    pub by_url: Vec<Tally>,
    /// All URLs taken together, once the run is over.
    pub total: Tally,
}

/// What has been measured of one URL, or of all.
#[derive(Debug)]
pub(super) struct Tally {
    /// Its path.
    pub target: String,
    /// Requests for which no connection became free.
    pub unsent: u64,
    /// Requests that failed.
    pub errors: LoadErrors,
    /// From when they were due.
    pub latency: Latencies,
    /// From when they were sent.
    pub service: Latencies,
}

impl Measured {
    /// With nothing measured yet.
    pub(super) fn new(urls: &[WeightedUrl]) -> Result<Self> {
        Ok(Self {
            duration: Duration::ZERO,
            max_in_flight: 0,
            total: Tally::new("")?,
            by_url: urls.iter().map(|weighted| Tally::new(weighted.url.target())).collect::<Result<_>>()?,
        })
    }

    /// Takes the URLs together, when the run is over.
    pub(super) fn finish(&mut self, duration: Duration) {
        self.duration = duration;
        for part in &self.by_url {
            self.total.unsent += part.unsent;
            self.total.errors.add(&part.errors);
            self.total.latency.add(&part.latency);
            self.total.service.add(&part.service);
        }
    }

    /// The numbers that are told.
    pub(super) fn report(&self) -> LoadReport {
        let Tally { unsent, errors, latency, service, .. } = &self.total;
        let (unsent, errors) = (*unsent, *errors);
        let (answered, seconds) = (latency.count(), self.duration.as_secs_f64());
        let several = self.by_url.len() > 1;
        LoadReport {
            requests: answered,
            sent: answered + errors.read + errors.write + errors.timeout,
            unsent,
            errors,
            duration_s: seconds,
            per_second: if seconds > 0.0 { answered as f64 / seconds } else { 0.0 },
            latency_us: latency.summary(),
            service_us: service.summary(),
            max_in_flight: self.max_in_flight,
            by_url: if several { self.by_url.iter().map(Tally::report).collect() } else { Vec::new() },
        }
    }
}

impl Tally {
    /// Of nothing yet.
    fn new(target: &str) -> Result<Self> {
        Ok(Self {
            target: target.to_owned(),
            unsent: 0,
            errors: LoadErrors::default(),
            latency: Latencies::new()?,
            service: Latencies::new()?,
        })
    }

    fn report(&self) -> UrlReport {
        UrlReport {
            target: self.target.clone(),
            requests: self.latency.count(),
            unsent: self.unsent,
            errors: self.errors,
            latency_us: self.latency.summary(),
            service_us: self.service.summary(),
        }
    }
}

/// Collects one distribution.
#[derive(Debug)]
pub(super) struct Latencies {
    histogram: Histogram<u64>,
    sum: u128,
    max: u64,
}

impl Latencies {
    /// 1 ns to 60 s, three significant digits.
    pub(super) fn new() -> Result<Self> {
        let histogram =
            Histogram::new_with_bounds(1, 60_000_000_000, 3).context("cannot make a histogram")?;
        Ok(Self { histogram, sum: 0, max: 0 })
    }

    pub(super) fn record(&mut self, latency: Duration) {
        let latency = nanos(latency);
        self.histogram.saturating_record(latency);
        self.sum += u128::from(latency);
        self.max = self.max.max(latency);
    }

    fn add(&mut self, other: &Self) {
        // All have the same bounds, so that no value can be out of them.
        let _ = self.histogram.add(&other.histogram);
        self.sum += other.sum;
        self.max = self.max.max(other.max);
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The distribution in nanoseconds.
    pub(super) fn histogram(&self) -> &Histogram<u64> {
        &self.histogram
    }

    pub(super) fn summary(&self) -> LatencySummary {
        let micros = |nanos: u64| nanos as f64 / 1e3;
        // The top of a bucket may lie above the largest value in it.
        let quantile = |q| micros(self.histogram.value_at_quantile(q).min(self.max));
        LatencySummary {
            mean: self.sum as f64 / self.histogram.len().max(1) as f64 / 1e3,
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            p999: quantile(0.999),
            p9999: quantile(0.9999),
            max: micros(self.max),
        }
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LoadErrors { connect, read, write, status, timeout } = self.errors;
        writeln!(
            f,
            "{} requests answered in {:.2} s: {:.1} per second, at most {} in flight",
            self.requests, self.duration_s, self.per_second, self.max_in_flight
        )?;
        writeln!(
            f,
            "errors: connect {connect}, read {read}, write {write}, status {status}, timeout {timeout}; unsent {}",
            self.unsent
        )?;
        writeln!(
            f,
            "{:>12} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10}",
            "µs", "mean", "p50", "p90", "p99", "p99.9", "p99.99", "max"
        )?;
        write!(f, "{:>12}{}\n{:>12}{}\n", "latency", self.latency_us, "service", self.service_us)?;
        for url in &self.by_url {
            writeln!(
                f,
                "\n{}: {} answered, {} errors, {} unsent",
                url.target,
                url.requests,
                url.errors.total(),
                url.unsent
            )?;
            write!(f, "{:>12}{}\n{:>12}{}\n", "latency", url.latency_us, "service", url.service_us)?;
        }
        Ok(())
    }
}

/// The numbers, each in a column of eleven characters.
impl fmt::Display for LatencySummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mean, p50, p90, p99, p999, p9999, max } = self;
        [mean, p50, p90, p99, p999, p9999, max].iter().try_for_each(|value| write!(f, " {value:>10.1}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_maximum_are_exact_and_quantiles_close() {
        let mut latencies = Latencies::new().unwrap();
        assert_eq!(latencies.summary(), LatencySummary::default());
        for micros in 1..=1000 {
            latencies.record(Duration::from_micros(micros));
        }
        let summary = latencies.summary();
        assert!((summary.mean - 500.5).abs() < 1e-9 && (summary.max - 1000.0).abs() < 1e-9);
        assert!(
            (summary.p50 - 500.0).abs() < 1.0 && (summary.p99 - 990.0).abs() < 2.0 && summary.p9999 <= 1000.0
        );
        latencies.record(Duration::from_secs(100));
        assert!((latencies.summary().max - 1e8).abs() < 1e-9);
    }
}
