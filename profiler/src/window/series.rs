//! How many intervals overlap over time: a series of means, in constant space.

use crate::units::Ns;

/// Parts of a series, at most.
pub const MOST: usize = 60;
/// Nanoseconds of a part at first; doubled whenever the parts do not reach.
const SHORTEST: u64 = 10_000_000;

/// A series.
#[derive(Clone, Debug)]
pub struct Series {
    begin: Ns,
    width: u64,
    parts: Vec<u64>,
    /// The part that was asked for last, and when it begins: most moments lie in the same one, and to divide is slow.
    last: (usize, Ns),
}

impl Series {
    /// A series that begins at `begin`.
    pub fn new(begin: Ns) -> Self {
        Self { begin, width: SHORTEST, parts: vec![0], last: (0, begin) }
    }

    /// Part in which a moment lies, once the parts are wide enough for it.
    fn part(&mut self, at: Ns) -> usize {
        let (last, begins) = self.last;
        if at >= begins && at.since(begins) < self.width {
            return last;
        }
        let since = at.since(self.begin);
        while since / self.width >= MOST as u64 {
            self.double();
        }
        let part = usize::try_from(since / self.width).unwrap_or(MOST - 1);
        if self.parts.len() <= part {
            self.parts.resize(part + 1, 0);
        }
        self.last = (part, self.begin.plus(part as u64 * self.width));
        part
    }

    /// Adds an interval.
    pub fn add(&mut self, from: Ns, to: Ns) {
        let from = from.max(self.begin);
        if to <= from {
            return;
        }
        let last = self.part(Ns(to.0 - 1));
        for part in self.part(from)..=last {
            let begins = self.begin.0 + part as u64 * self.width;
            let ends = begins + self.width;
            let inside = to.0.min(ends).saturating_sub(from.0.max(begins));
            self.parts[part] = self.parts[part].saturating_add(inside);
        }
    }

    /// Adds something that happened at a moment.
    pub fn count(&mut self, at: Ns) {
        let part = self.part(at);
        self.parts[part] += 1;
    }

    /// Makes the parts twice as wide.
    fn double(&mut self) {
        self.width *= 2;
        self.parts = self
            .parts
            .chunks(2)
            .map(|pair| pair.iter().fold(0, |sum: u64, part| sum.saturating_add(*part)))
            .collect();
        self.last = (0, self.begin);
    }

    /// Makes the parts as wide as those of another series.
    fn widen(&mut self, width: u64) {
        while self.width < width {
            self.double();
        }
    }
}

/// A part of the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Point {
    /// When it began, in seconds since the window began.
    pub at_s: f64,
    /// Requests in flight, in the mean.
    pub concurrency: f64,
    /// Threads of the target on a CPU, in the mean.
    pub parallelism: f64,
    /// Requests that ended in it, a second.
    pub requests_per_second: f64,
}

/// The window over time, up to `end`.
pub(super) fn points(in_flight: &Series, running: &Series, ended: &Series, end: Ns) -> Vec<Point> {
    let mut all = [in_flight.clone(), running.clone(), ended.clone()];
    // An empty series is as narrow as it began: all reach up to the end.
    for series in &mut all {
        if end > series.begin {
            series.part(Ns(end.0 - 1));
        }
    }
    let width = all.iter().map(|series| series.width).max().unwrap_or(SHORTEST);
    for series in &mut all {
        series.widen(width);
    }
    let [in_flight, running, ended] = &all;
    let length = end.since(in_flight.begin);
    (0..length.div_ceil(width))
        .map(|part| {
            let at = usize::try_from(part).unwrap_or(MOST);
            // The last part may be cut off by the end of the window.
            let span = width.min(length - part * width) as f64;
            let value = |series: &Series| series.parts.get(at).copied().unwrap_or(0) as f64;
            Point {
                at_s: (part * width) as f64 / 1e9,
                concurrency: value(in_flight) / span,
                parallelism: value(running) / span,
                requests_per_second: value(ended) / span * 1e9,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn a_series_keeps_its_sum_however_wide_its_parts_become() {
        let mut series = Series::new(Ns(S));
        series.add(Ns(0), Ns(S + 5_000_000));
        series.add(Ns(S + 100), Ns(40 * S));
        assert!(series.parts.len() <= MOST);
        assert_eq!(series.parts.iter().sum::<u64>(), 5_000_000 + 39 * S - 100);
    }

    #[test]
    fn points_cover_the_window_with_means() {
        let mut in_flight = Series::new(Ns(0));
        let mut ended = Series::new(Ns(0));
        in_flight.add(Ns(0), Ns(S));
        in_flight.add(Ns(S / 2), Ns(S));
        ended.count(Ns(S - 1));
        let points = points(&in_flight, &Series::new(Ns(0)), &ended, Ns(S));
        assert!((30..=MOST).contains(&points.len()), "{}", points.len());
        assert!((points[0].concurrency - 1.0).abs() < 1e-9 && points[0].parallelism.abs() < 1e-9);
        let last = points[points.len() - 1];
        assert!((last.concurrency - 2.0).abs() < 1e-9 && last.requests_per_second > 0.0, "{last:?}");
    }
}
