//! Requests in flight and requests a second, over time. Pure.

use std::collections::BTreeMap;

use crate::{clock::Request, units::Ns};

/// Length of a step in nanoseconds.
const STEP: u64 = 100_000_000;
/// Steps over which requests a second are told.
const SECOND: usize = 10;

/// Requests that began, and that ended, in each step. Takes memory for the length of the recording, not for its requests.
#[derive(Debug, Default)]
pub struct Counters {
    steps: BTreeMap<u64, (i64, i64)>,
}

/// A moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// When.
    pub at: Ns,
    /// Requests that had begun and not ended.
    pub in_flight: i64,
    /// Requests that ended in the second before it.
    pub per_second: i64,
}

impl Counters {
    /// Takes a request.
    pub fn request(&mut self, request: &Request) {
        self.steps.entry(request.start.0 / STEP).or_default().0 += 1;
        self.steps.entry(request.end.0 / STEP).or_default().1 += 1;
    }

    /// What there was at the end of each step.
    pub fn readings(&self) -> impl Iterator<Item = Reading> + '_ {
        let span = self.steps.first_key_value().zip(self.steps.last_key_value());
        let steps = span.map_or(0..0, |((first, _), (last, _))| *first..*last + 1);
        let mut in_flight = 0;
        let mut ended = [0; SECOND];
        steps.map(move |step| {
            let (began, over) = self.steps.get(&step).copied().unwrap_or_default();
            in_flight += began - over;
            ended.rotate_left(1);
            ended[SECOND - 1] = over;
            Reading { at: Ns((step + 1) * STEP), in_flight, per_second: ended.iter().sum() }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::testing::requests;

    /// At each moment the counter is what counting the requests one by one gives.
    #[test]
    fn counters_are_what_counting_gives() {
        let requests = requests();
        let mut counters = Counters::default();
        for request in &requests {
            counters.request(request);
        }
        let readings: Vec<Reading> = counters.readings().collect();
        assert!(readings.len() > 400);
        for reading in readings {
            let before = |at: Ns| requests.iter().filter(|request| request.end < at).count();
            let begun = requests.iter().filter(|request| request.start < reading.at).count();
            let last_second = before(reading.at) - before(Ns(reading.at.0 - 1_000_000_000));
            assert_eq!(reading.in_flight, i64::try_from(begun - before(reading.at)).unwrap());
            assert_eq!(reading.per_second, i64::try_from(last_second).unwrap());
        }
    }
}
