//! Which requests are sent as spans: of each route the slowest of an interval, and some at random. A bounded number, whatever the load.

use demo_servers::rng::SplitMix64;

use super::registry::MOST_ROUTES;
use crate::clock::Request;

/// Of each route, the slowest.
const SLOWEST: usize = 2;
/// Of all requests, at random.
const RANDOM: usize = 8;

/// A request, with the number of its route.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The number of its route.
    pub route: usize,
    /// The request.
    pub request: Request,
}

/// The requests of an interval that are chosen so far.
#[derive(Clone, Debug)]
pub struct Sampler {
    /// By the number of the route, slowest first.
    slowest: Vec<Vec<Chosen>>,
    /// Each request of the interval is here with the same probability (Vitter 1985, algorithm R).
    random: Vec<Chosen>,
    seen: u64,
    rng: SplitMix64,
}

impl Sampler {
    /// Nothing is chosen; `seed` decides what is, at random.
    pub fn new(seed: u64) -> Self {
        Self { slowest: Vec::new(), random: Vec::new(), seen: 0, rng: SplitMix64::new(seed) }
    }

    /// Looks at a request.
    pub fn offer(&mut self, route: usize, request: &Request) {
        let chosen = || Chosen { route, request: request.clone() };
        self.seen += 1;
        if self.random.len() < RANDOM {
            self.random.push(chosen());
        } else if let Ok(place) = usize::try_from(self.rng.below(self.seen))
            && place < RANDOM
        {
            self.random[place] = chosen();
        }
        let route = route.min(MOST_ROUTES);
        if self.slowest.len() <= route {
            self.slowest.resize_with(route + 1, Vec::new);
        }
        let slowest = &mut self.slowest[route];
        let place = slowest.partition_point(|one| one.request.latency() >= request.latency());
        if place < SLOWEST {
            slowest.truncate(SLOWEST - 1);
            slowest.insert(place, chosen());
        }
    }

    /// Those that were chosen, each once; the next interval begins.
    pub fn take(&mut self) -> Vec<Chosen> {
        self.seen = 0;
        let mut all = std::mem::take(&mut self.random);
        all.extend(self.slowest.drain(..).flatten());
        all.sort_by_key(|chosen| chosen.request.id);
        all.dedup_by_key(|chosen| chosen.request.id);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::State, outlet::testing::request};

    #[test]
    fn the_slowest_are_among_them_and_they_are_few() {
        let mut sampler = Sampler::new(1);
        let mut shuffled: Vec<u64> = (0..1_000).map(|number| number * 7_919 % 1_000).collect();
        shuffled.dedup();
        for number in shuffled {
            let route = usize::try_from(number % 100).unwrap();
            sampler.offer(route, &request(number, "GET /", &[(State::OnCpu, number)]));
        }
        let chosen = sampler.take();
        assert!(chosen.len() <= RANDOM + (MOST_ROUTES + 1) * SLOWEST, "{}", chosen.len());
        for slow in [900, 949, 999, 998] {
            assert!(chosen.iter().any(|chosen| chosen.request.id.0 == slow), "{slow}");
        }
        assert!(sampler.take().is_empty());
    }

    /// In the mean of many intervals, the first half of an interval is chosen from as often as the second.
    #[test]
    fn the_others_are_chosen_evenly() {
        let mut sampler = Sampler::new(2);
        let (mut early, mut late) = (0_u32, 0_u32);
        for _ in 0..300 {
            for number in 0..200 {
                sampler.offer(0, &request(number, "GET /", &[(State::OnCpu, 5)]));
            }
            for chosen in &sampler.random {
                *(if chosen.request.id.0 < 100 { &mut early } else { &mut late }) += 1;
            }
            sampler.take();
        }
        assert!(early.abs_diff(late) < 300, "{early} and {late}");
    }
}
