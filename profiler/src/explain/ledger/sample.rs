//! A sample of the requests, each as likely to be in it as any other (Vitter's algorithm R).

use crate::clock::Request;

/// Requests that are kept: of these the slowest tenth is still more than a thousand.
const SIZE: usize = 16_384;

/// A sample.
#[derive(Debug)]
pub struct Sample {
    kept: Vec<Request>,
    seen: u64,
    random: u64,
}

impl Default for Sample {
    fn default() -> Self {
        // Any odd number does; the same one makes the same sample of the same requests.
        Self { kept: Vec::new(), seen: 0, random: 0x9e37_79b9_7f4a_7c15 }
    }
}

impl Sample {
    /// Takes a request, and perhaps keeps it: `request` is then the one that had its place.
    pub fn add(&mut self, request: &mut Request) {
        self.seen += 1;
        if self.kept.len() < SIZE {
            self.kept.push(request.clone());
            return;
        }
        let place = self.below(self.seen);
        if let Some(kept) = usize::try_from(place).ok().and_then(|place| self.kept.get_mut(place)) {
            std::mem::swap(kept, request);
        }
    }

    /// A number below `limit`, each about as likely as any other.
    fn below(&mut self, limit: u64) -> u64 {
        // xorshift64 (Marsaglia 2003), and the upper half of a product instead of a division.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let product = u128::from(self.random) * u128::from(limit);
        u64::try_from(product >> 64).unwrap_or(0)
    }

    /// The requests that were kept, in no order.
    pub fn requests(&self) -> &[Request] {
        &self.kept
    }

    /// The slowest share of the kept ones (at least one, where there is any), slowest first.
    pub fn slowest(&self, share: f64) -> Vec<&Request> {
        let mut sorted: Vec<&Request> = self.kept.iter().collect();
        sorted.sort_by_key(|request| (std::cmp::Reverse(request.latency()), request.id));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a length")]
        let wanted = ((share * sorted.len() as f64).ceil() as usize).max(1);
        sorted.truncate(wanted);
        sorted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{explain::testing::request, units::Ns};

    #[test]
    fn a_sample_of_many_is_spread_over_all_of_them() {
        let mut sample = Sample::default();
        let many = 10 * SIZE as u64;
        for at in 0..many {
            sample.add(&mut request(at, Ns(at), 1_000));
        }
        assert_eq!(sample.requests().len(), SIZE);
        let mean = sample.requests().iter().map(|kept| kept.start.0 as f64).sum::<f64>() / SIZE as f64;
        assert!((mean / many as f64 - 0.5).abs() < 0.02, "{mean}");
    }

    #[test]
    fn the_slowest_tenth_of_twenty_are_two() {
        let mut sample = Sample::default();
        (1..=20).for_each(|at| sample.add(&mut request(at, Ns(0), at)));
        let slowest: Vec<u64> = sample.slowest(0.1).iter().map(|request| request.latency()).collect();
        assert_eq!(slowest, [20, 19]);
        assert!(Sample::default().slowest(0.1).is_empty());
    }
}
