//! Finished requests in, counters and histograms by route out. Bounded: the first routes are kept apart, the rest is one.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::histogram::{Exemplar, Histogram};
use crate::{
    clock::{Request, State},
    decode::Route,
    window::OTHER_ROUTES,
};

/// Routes that are kept apart: those that are seen first.
pub const MOST_ROUTES: usize = 50;
/// Name of requests that have no route.
const NO_ROUTE: &str = "(no route)";

/// Requests of a route since the run began.
#[derive(Clone, Debug)]
pub struct RouteMetrics {
    /// Its name.
    pub name: Arc<str>,
    /// Their latency.
    pub latency: Histogram,
    /// Their time in each state; a request that was not in a state was in it for no time.
    pub states: [Histogram; State::COUNT],
}

impl RouteMetrics {
    fn new(name: &str) -> Arc<Self> {
        Arc::new(Self { name: name.into(), latency: Histogram::default(), states: Default::default() })
    }
}

/// All requests since the run began. A clone is cheap: what it shares with the original is copied when that is written to.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    routes: Vec<Arc<RouteMetrics>>,
    places: FxHashMap<Option<Route>, usize>,
    /// Where the rest is.
    rest: Option<usize>,
    seen: [bool; State::COUNT],
    touched_by_loss: u64,
}

impl Registry {
    /// Adds a request; the number of its route.
    pub fn add(&mut self, request: &Request) -> usize {
        let place = self.place(request.route.as_ref());
        let route = Arc::make_mut(&mut self.routes[place]);
        route.latency.add(request.latency());
        for (state, nanos) in request.times.iter() {
            route.states[state as usize].add(nanos);
            self.seen[state as usize] |= nanos > 0;
        }
        self.touched_by_loss += u64::from(request.touched_by_loss);
        place
    }

    fn place(&mut self, route: Option<&Route>) -> usize {
        // The key is made of a pointer that is copied: cheaper than a second table for what has no route.
        let key = route.cloned();
        if let Some(place) = self.places.get(&key) {
            return *place;
        }
        if self.places.len() < MOST_ROUTES {
            let place = self.routes.len();
            self.routes.push(RouteMetrics::new(route.map_or(NO_ROUTE, |route| route)));
            self.places.insert(key, place);
            return place;
        }
        *self.rest.get_or_insert_with(|| {
            self.routes.push(RouteMetrics::new(OTHER_ROUTES));
            self.routes.len() - 1
        })
    }

    /// A request stands for those that took about as long, in all and in each state that it was in.
    pub fn explain(&mut self, route: usize, request: &Request, exemplar: impl Fn(u64) -> Exemplar) {
        let Some(route) = self.routes.get_mut(route).map(Arc::make_mut) else { return };
        route.latency.explain(exemplar(request.latency()));
        for (state, nanos) in request.times.iter().filter(|(_, nanos)| *nanos > 0) {
            route.states[state as usize].explain(exemplar(nanos));
        }
    }

    /// Routes, in the order in which they were seen.
    pub fn routes(&self) -> impl Iterator<Item = &RouteMetrics> {
        self.routes.iter().map(|route| &**route)
    }

    /// States that some request was in.
    pub fn states(&self) -> impl Iterator<Item = State> + '_ {
        State::ALL.into_iter().filter(|state| self.seen[*state as usize])
    }

    /// Requests that a lost record may have been about.
    pub fn touched_by_loss(&self) -> u64 {
        self.touched_by_loss
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::outlet::testing::request;

    #[test]
    fn routes_beyond_the_first_are_one() {
        let mut registry = Registry::default();
        for number in 0..500 {
            registry.add(&request(number, &format!("GET /item/{number}"), &[(State::OnCpu, 1_000_000)]));
        }
        let names: Vec<&str> = registry.routes().map(|route| &*route.name).collect();
        assert_eq!((names.len(), names[0], names[MOST_ROUTES]), (51, "GET /item/0", OTHER_ROUTES));
        assert_eq!(registry.routes().last().map(|route| route.latency.count()), Some(450));
    }

    proptest! {
        /// Each state counts each request, the times in the states are the latencies, and nothing that was told is taken back.
        #[test]
        fn the_states_are_the_latency(
            requests in prop::collection::vec((0_u8..60, prop::collection::vec((0..State::COUNT, 0_u64..1 << 33), 0..5)), 1..150)
        ) {
            let (mut registry, mut before) = (Registry::default(), Registry::default());
            let mut latency = 0;
            for (number, (route, times)) in (0_u64..).zip(&requests) {
                let times: Vec<_> = times.iter().map(|(state, nanos)| (State::ALL[*state], *nanos)).collect();
                let request = request(number, &format!("GET /{route}"), &times);
                latency += request.latency();
                registry.add(&request);
                for (old, new) in before.routes().zip(registry.routes()) {
                    prop_assert_eq!(&old.name, &new.name);
                    for power in -20..10 {
                        prop_assert!(old.latency.up_to(power) <= new.latency.up_to(power));
                    }
                }
                before = registry.clone();
            }
            let all = requests.len() as u64;
            prop_assert_eq!(registry.routes().map(|route| route.latency.count()).sum::<u64>(), all);
            for route in registry.routes() {
                prop_assert!(route.states.iter().all(|state| state.count() == route.latency.count()));
                let states: f64 = route.states.iter().map(Histogram::seconds).sum();
                prop_assert!((states - route.latency.seconds()).abs() < 1e-6);
            }
            let told: f64 = registry.routes().map(|route| route.latency.seconds()).sum();
            prop_assert!((told - latency as f64 / 1e9).abs() < 1e-6);
            prop_assert!(registry.routes().count() <= MOST_ROUTES + 1);
        }
    }
}
