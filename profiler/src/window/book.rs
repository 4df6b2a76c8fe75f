//! Latencies and what they were made of, in constant space: buckets of a log-linear histogram, each with the sums of its requests.

use rustc_hash::FxHashMap;

use crate::clock::StateTimes;

/// Buckets in each power of two, as a power of two: a bucket is narrower than 1 % of its values.
pub const GROUPING: u32 = 7;

/// Requests of about the same latency.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bucket {
    /// How many.
    pub count: u64,
    /// Sum of their latencies in nanoseconds.
    pub total: u64,
    /// Sums of their times by state.
    pub times: StateTimes,
}

/// Requests by latency.
#[derive(Clone, Debug, Default)]
pub struct Book {
    buckets: FxHashMap<u32, Bucket>,
    count: u64,
    max: u64,
}

impl Book {
    /// Adds a request.
    pub fn add(&mut self, latency: u64, times: &StateTimes) {
        let bucket = self.buckets.entry(index(latency, GROUPING)).or_default();
        bucket.count += 1;
        bucket.total = bucket.total.saturating_add(latency);
        bucket.times.add(times);
        self.count += 1;
        self.max = self.max.max(latency);
    }

    /// The requests of all of these.
    pub(super) fn sum<'a>(books: impl Iterator<Item = &'a Self>) -> Self {
        let mut sum = Self::default();
        for book in books {
            for (index, bucket) in &book.buckets {
                let to = sum.buckets.entry(*index).or_default();
                to.count += bucket.count;
                to.total = to.total.saturating_add(bucket.total);
                to.times.add(&bucket.times);
            }
            sum.count += book.count;
            sum.max = sum.max.max(book.max);
        }
        sum
    }

    /// Number of requests.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Sum of all latencies in nanoseconds.
    pub fn total(&self) -> u64 {
        self.buckets.values().fold(0, |sum: u64, bucket| sum.saturating_add(bucket.total))
    }

    /// Mean latency in microseconds.
    pub fn mean_us(&self) -> f64 {
        ratio_us(self.total(), self.count)
    }

    /// Buckets from the lowest latency to the highest.
    fn sorted(&self) -> Vec<&Bucket> {
        let mut sorted: Vec<_> = self.buckets.iter().collect();
        sorted.sort_unstable_by_key(|(index, _)| **index);
        sorted.into_iter().map(|(_, bucket)| bucket).collect()
    }

    /// The longest latency in microseconds.
    pub fn max_us(&self) -> f64 {
        self.max as f64 / 1e3
    }

    /// The latency in microseconds that this share of the requests does not exceed, to within 1 %.
    pub fn quantile_us(&self, share: f64) -> f64 {
        let rank = (share * self.count as f64).ceil().max(1.0);
        let mut seen = 0.0;
        for bucket in self.sorted() {
            seen += bucket.count as f64;
            if seen >= rank {
                return ratio_us(bucket.total, bucket.count).min(self.max_us());
            }
        }
        self.max_us()
    }

    /// Mean times by state over all requests, in microseconds.
    pub fn mean_times_us(&self) -> Vec<f64> {
        let mut sum = StateTimes::default();
        self.buckets.values().for_each(|bucket| sum.add(&bucket.times));
        sum.iter().map(|(_, total)| ratio_us(total, self.count)).collect()
    }

    /// Mean times by state over the slowest share of the requests (at least one), in microseconds. The bucket at the border counts in proportion.
    pub fn slowest_times_us(&self, share: f64) -> Vec<f64> {
        let wanted = (share * self.count as f64).max(1.0);
        let mut sums = vec![0.0; crate::clock::State::COUNT];
        if self.count == 0 {
            return sums;
        }
        let mut left = wanted;
        for bucket in self.sorted().into_iter().rev() {
            let part = (left / bucket.count as f64).min(1.0);
            for (sum, (_, total)) in sums.iter_mut().zip(bucket.times.iter()) {
                *sum += total as f64 * part / 1e3;
            }
            left -= bucket.count as f64 * part;
            if left <= 0.0 {
                break;
            }
        }
        for sum in &mut sums {
            *sum /= wanted;
        }
        sums
    }
}

fn ratio_us(total: u64, count: u64) -> f64 {
    if count == 0 { 0.0 } else { total as f64 / count as f64 / 1e3 }
}

/// Bucket of a value among those of which `1 << grouping` are in each power of two.
pub fn index(value: u64, grouping: u32) -> u32 {
    if value < 1 << grouping {
        return u32::try_from(value).unwrap_or(0);
    }
    let shift = value.ilog2() - grouping;
    let offset = u32::try_from((value >> shift) - (1 << grouping)).unwrap_or(0);
    ((shift + 1) << grouping) + offset
}

/// Smallest value of such a bucket.
pub fn lower(index: u32, grouping: u32) -> u64 {
    let (group, index) = (index >> grouping, u64::from(index));
    if group == 0 {
        return index;
    }
    ((index & ((1 << grouping) - 1)) + (1 << grouping)) << (group - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::State;
    use proptest::prelude::*;

    fn book(latencies: &[u64]) -> Book {
        let mut book = Book::default();
        for latency in latencies {
            let mut times = StateTimes::default();
            times[State::OnCpu] = latency / 2;
            times[State::Lock] = latency - latency / 2;
            book.add(*latency, &times);
        }
        book
    }

    #[test]
    fn an_empty_book_is_all_zero() {
        let book = Book::default();
        assert_eq!((book.count(), book.mean_us(), book.quantile_us(0.99), book.max_us()), (0, 0.0, 0.0, 0.0));
        assert!(book.slowest_times_us(0.01).iter().all(|time| *time == 0.0));
    }

    proptest! {
        #[test]
        fn quantiles_are_those_of_the_sorted_latencies_to_within_one_percent(
            mut latencies in proptest::collection::vec(1_u64..10_000_000_000, 1..300), share in 0.0_f64..1.0
        ) {
            let book = book(&latencies);
            latencies.sort_unstable();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank within the list")]
            let rank = ((share * latencies.len() as f64).ceil() as usize).clamp(1, latencies.len());
            let exact = latencies[rank - 1] as f64 / 1e3;
            prop_assert!((book.quantile_us(share) - exact).abs() <= exact * 0.01 + 1e-3);
        }

        #[test]
        fn the_slowest_share_is_made_of_what_the_slowest_requests_are_made_of(
            latencies in proptest::collection::vec(1_u64..10_000_000_000, 1..300)
        ) {
            let book = book(&latencies);
            let times = book.slowest_times_us(1.0);
            let sum: f64 = times.iter().sum();
            prop_assert!((sum - book.mean_us()).abs() <= book.mean_us() * 1e-9 + 1e-6);
            let slowest: f64 = book.slowest_times_us(1e-9).iter().sum();
            prop_assert!(slowest <= book.max_us() + 1e-3 && slowest >= book.max_us() * 0.99 - 1e-3);
        }
    }
}
