//! How sure findings are, for what was lost and for how few requests there were.

use super::{SLOWEST, facts::Facts};

/// Slow requests with which a finding is half as sure as with many.
const FEW: f64 = 1.0;

/// A factor for the certainty of every finding, from 0 to 1.
pub fn certainty(facts: &Facts) -> f64 {
    let slow = (facts.requests as f64 * SLOWEST).max(1.0);
    let enough = slow / (slow + FEW);
    let whole = 1.0 - (facts.touched_by_loss as f64 / facts.requests.max(1) as f64).min(1.0);
    enough * whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_requests_and_lost_records_make_it_less_sure() {
        let facts = |requests, touched_by_loss| Facts { requests, touched_by_loss, ..Facts::default() };
        assert!(certainty(&facts(10_000, 0)) > 0.99);
        assert!(certainty(&facts(5, 0)) <= 0.5);
        assert!(certainty(&facts(10_000, 5_000)) < 0.51);
    }
}
