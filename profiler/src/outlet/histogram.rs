//! Times in exponential buckets: the layout that native histograms of Prometheus and OpenTelemetry's exponential histograms share.
//!
//! Bucket boundaries are powers of `2^(2^-SCALE)` **seconds**, each bucket open below and closed above, so one second is a boundary, and so is
//! every power of two of it: the classic buckets, whose bounds are such powers, are exact sums of these.

use std::sync::LazyLock;

/// Buckets in each power of two, as a power of two; what Prometheus calls the schema and OpenTelemetry the scale. A bucket is 9 % wide.
pub const SCALE: u8 = 3;
/// The power of two, in seconds, up to which times are counted as zero: a microsecond, roughly.
pub const ZERO_POWER: i32 = -20;
/// The first power of two, in seconds, that nanoseconds in a `u64` do not reach.
const LAST_POWER: i32 = 35;
/// Nanoseconds that are counted as zero at most: 2⁻²⁰ s.
const ZERO: u64 = 953;
/// Exemplars of a histogram, at most: one for each power of four.
const EXEMPLARS_APART: usize = 2 << SCALE;

/// The longest time of each bucket in nanoseconds.
static UPPER: LazyLock<Vec<u64>> = LazyLock::new(|| {
    let buckets = (LAST_POWER - ZERO_POWER) << SCALE;
    let seconds =
        |bucket: i32| (f64::from(ZERO_POWER) + f64::from(bucket + 1) / f64::from(1 << SCALE)).exp2();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the part below a nanosecond; saturates"
    )]
    let nanos = |bucket| (seconds(bucket) * 1e9) as u64;
    (0..buckets).map(nanos).collect()
});

/// A request by which a bucket is explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exemplar {
    /// The time in nanoseconds.
    pub value: u64,
    /// When it was over, in nanoseconds since 1970.
    pub at: u64,
    /// Its trace.
    pub trace_id: [u8; 16],
    /// Its span.
    pub span_id: [u8; 8],
}

/// A histogram of times in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    count: u64,
    sum: u64,
    zero: u64,
    cells: Vec<u64>,
    /// By the bucket that they stand for.
    exemplars: Vec<(usize, Exemplar)>,
}

/// Bucket of a time that is not counted as zero.
fn cell(nanos: u64) -> usize {
    UPPER.partition_point(|upper| *upper < nanos)
}

impl Histogram {
    /// Adds a time.
    pub fn add(&mut self, nanos: u64) {
        self.add_many(nanos, 1);
    }

    /// Adds a time so many times.
    pub fn add_many(&mut self, nanos: u64, times: u64) {
        self.count += times;
        self.sum = self.sum.saturating_add(nanos.saturating_mul(times));
        if nanos <= ZERO {
            self.zero += times;
            return;
        }
        let cell = cell(nanos);
        if self.cells.len() <= cell {
            self.cells.resize(cell + 1, 0);
        }
        self.cells[cell] += times;
    }

    /// Times so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their sum in seconds.
    pub fn seconds(&self) -> f64 {
        self.sum as f64 / 1e9
    }

    /// Times that are counted as zero.
    pub fn zero(&self) -> u64 {
        self.zero
    }

    /// Times of at most 2 to this power of seconds.
    pub fn up_to(&self, power: i32) -> u64 {
        let buckets = usize::try_from((power - ZERO_POWER) << SCALE).unwrap_or(0);
        self.zero + self.cells.iter().take(buckets).sum::<u64>()
    }

    /// Counts of the buckets from the first to the last that is not empty, and the number of the first: bucket `i` reaches from `2^(i/8)` to
    /// `2^((i+1)/8)` seconds, as OpenTelemetry numbers them; Prometheus' numbers are higher by one.
    pub fn buckets(&self) -> (i32, &[u64]) {
        let first = self.cells.iter().position(|count| *count > 0).unwrap_or(self.cells.len());
        let number = i32::try_from(first).unwrap_or(i32::MAX);
        (number + (ZERO_POWER << SCALE), &self.cells[first..])
    }

    /// A request stands for the bucket that its time lies in from now on.
    pub fn explain(&mut self, exemplar: Exemplar) {
        let stands_for = if exemplar.value <= ZERO { 0 } else { cell(exemplar.value) / EXEMPLARS_APART };
        match self.exemplars.iter_mut().find(|(place, _)| *place == stands_for) {
            Some((_, known)) => *known = exemplar,
            None => self.exemplars.push((stands_for, exemplar)),
        }
    }

    /// Requests that stand for buckets.
    pub fn exemplars(&self) -> impl Iterator<Item = &Exemplar> {
        self.exemplars.iter().map(|(_, exemplar)| exemplar)
    }

    /// The one whose time is more than `over`, and at most `up_to`, powers of two of seconds; without a bound where there is none.
    pub fn exemplar_between(&self, over: Option<i32>, up_to: Option<i32>) -> Option<&Exemplar> {
        let bound = |power: i32| {
            let last = ((power - ZERO_POWER) << SCALE) - 1;
            usize::try_from(last).ok().and_then(|last| UPPER.get(last).copied()).unwrap_or(ZERO)
        };
        self.exemplars().find(|exemplar| {
            over.is_none_or(|power| exemplar.value > bound(power))
                && up_to.is_none_or(|power| exemplar.value <= bound(power))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A power of two of seconds is the last time of its bucket, a nanosecond more the first of the next.
    #[test]
    fn powers_of_two_are_bounds() {
        for power in -19..34 {
            let bound = f64::from(power).exp2() * 1e9;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a bound in nanoseconds"
            )]
            let bound = bound as u64;
            let (mut below, mut above) = (Histogram::default(), Histogram::default());
            below.add(bound);
            above.add(bound + 1);
            assert_eq!((below.up_to(power), above.up_to(power)), (1, 0), "{power}");
            assert_eq!((below.buckets().0, above.buckets().0), (power * 8 - 1, power * 8));
        }
    }

    #[test]
    fn the_longest_time_has_a_bucket() {
        let mut histogram = Histogram::default();
        histogram.add(u64::MAX);
        assert_eq!(histogram.buckets().1, [1]);
    }

    fn exemplar(value: u64) -> Exemplar {
        Exemplar { value, at: 0, trace_id: [1; 16], span_id: [2; 8] }
    }

    /// An exemplar is told with the bucket that it lies in, and nowhere else.
    #[test]
    fn exemplars_lie_in_their_buckets() {
        let mut histogram = Histogram::default();
        for value in [10, 5_000_000, 1_000_000_000, 40_000_000_000] {
            histogram.explain(exemplar(value));
        }
        let between = |over, up_to| histogram.exemplar_between(over, up_to).map(|exemplar| exemplar.value);
        assert_eq!(between(None, Some(-16)), Some(10));
        assert_eq!(between(Some(-8), Some(-7)), Some(5_000_000));
        assert_eq!(between(Some(-1), Some(0)), Some(1_000_000_000));
        assert_eq!(between(Some(0), Some(1)), None);
        assert_eq!(between(Some(5), None), Some(40_000_000_000));
        assert_eq!(histogram.exemplars().count(), 4);
    }

    proptest! {
        /// Nothing is lost or counted twice, whatever the times are; and each bucket's times are within its bounds.
        #[test]
        fn counts_and_sums_are_those_of_the_times(times in prop::collection::vec(0_u64..1 << 40, 0..200)) {
            let mut histogram = Histogram::default();
            for time in &times {
                histogram.add(*time);
            }
            let (first, counts) = histogram.buckets();
            prop_assert_eq!(histogram.zero() + counts.iter().sum::<u64>(), times.len() as u64);
            prop_assert_eq!(histogram.count(), times.len() as u64);
            prop_assert!((histogram.seconds() - times.iter().sum::<u64>() as f64 / 1e9).abs() < 1e-6);
            for (number, count) in (first..).zip(counts) {
                let bound = |number: i32| (f64::from(number) / 8.0).exp2() * 1e9;
                let within = |time: &&u64| **time as f64 > bound(number) && **time as f64 <= bound(number + 1);
                prop_assert_eq!(times.iter().filter(within).count() as u64, *count);
            }
            let mut before = 0;
            for power in ZERO_POWER..20 {
                let now = histogram.up_to(power);
                prop_assert!(now >= before);
                before = now;
            }
            prop_assert_eq!(before, histogram.count());
        }
    }
}
