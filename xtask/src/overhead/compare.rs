//! Paired comparison of windows.

use serde::Serialize;

use super::window::{Seen, Window};

/// A window with whywait, and what that saw.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Watched {
    /// The window.
    pub window: Window,
    /// What whywait saw in it.
    pub seen: Seen,
}

/// Windows that were measured right after each other.
#[derive(Clone, Debug, Serialize)]
pub struct Round {
    /// With whywait, once for each set of its options.
    pub attached: Vec<Watched>,
    /// Without.
    pub bare: Window,
    /// Without, a second time: compared to `bare`, it shows the noise.
    pub null: Window,
}

/// By how much one window differs from another, in percent of the other.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// Of the requests per second.
    pub throughput: f64,
    /// Of the median latency.
    pub p50: f64,
    /// Of the latency of the slowest hundredth.
    pub p99: f64,
    /// Of the server's CPU time by request.
    pub server_cpu: f64,
}

impl Change {
    /// From `base` to `window`.
    pub fn of(window: &Window, base: &Window) -> Self {
        let percent = |new: f64, old: f64| (new - old) / old * 100.0;
        Self {
            throughput: percent(window.per_second, base.per_second),
            p50: percent(window.p50_us, base.p50_us),
            p99: percent(window.p99_us, base.p99_us),
            server_cpu: percent(window.server_cpu_us, base.server_cpu_us),
        }
    }
}

/// The middle of a sample and of its halves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// A quarter of the values is below.
    pub q1: f64,
    /// Half of them.
    pub median: f64,
    /// Three quarters.
    pub q3: f64,
}

impl Spread {
    /// Of these values, interpolated linearly between neighbours; all zero without any.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Self { q1: quantile(&sorted, 1), median: quantile(&sorted, 2), q3: quantile(&sorted, 3) }
    }
}

/// The value below which so many quarters of the sorted values lie.
fn quantile(sorted: &[f64], quarters: usize) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let (index, rest) = (last * quarters / 4, last * quarters % 4);
    let low = sorted[index];
    let high = sorted[(index + 1).min(last)];
    low + (high - low) * rest as f64 / 4.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_are_interpolated() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0, 4.0, 5.0]), Spread { q1: 2.0, median: 3.0, q3: 4.0 });
        assert_eq!(Spread::of([1.0, 2.0]), Spread { q1: 1.25, median: 1.5, q3: 1.75 });
        assert_eq!(Spread::of([7.0]), Spread { q1: 7.0, median: 7.0, q3: 7.0 });
        assert_eq!(Spread::of([]), Spread::default());
    }

    /// A loss of throughput is negative, a longer latency positive.
    #[test]
    fn changes_are_signed() {
        let base = Window {
            per_second: 1000.0,
            p50_us: 100.0,
            p99_us: 200.0,
            server_cpu_us: 10.0,
            server_cpu_percent: 1.0,
            profiler_cpu_percent: 0.0,
        };
        let change = Change::of(&Window { per_second: 900.0, p50_us: 110.0, ..base }, &base);
        assert!((change.throughput + 10.0).abs() < 1e-9 && (change.p50 - 10.0).abs() < 1e-9);
        assert!(change.p99.abs() < 1e-9 && change.server_cpu.abs() < 1e-9);
    }
}
