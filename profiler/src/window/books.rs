//! Latencies by process and route, of which those of each process, of each route and of all are sums.
//!
//! A request is added once. What is asked for is summed when it is, a few times in a window.

use rustc_hash::{FxHashMap, FxHashSet};

use super::{OTHER_ROUTES, book::Book};
use crate::{clock::StateTimes, decode::Route, units::Pid};

/// Routes that are kept apart; the rest is summed under one name.
const MOST_ROUTES: usize = 256;

/// Requests by process and route.
#[derive(Debug, Default)]
pub(super) struct Books {
    processes: FxHashMap<Pid, OfProcess>,
    routes: FxHashSet<Route>,
    count: u64,
}

/// Requests of a process.
#[derive(Debug, Default)]
struct OfProcess {
    routes: FxHashMap<Route, Book>,
    /// Those whose route is not among those that are kept apart.
    other: Book,
    /// Those that have none.
    without: Book,
}

impl Books {
    /// Adds a request.
    pub fn add(&mut self, pid: Pid, route: Option<&Route>, latency: u64, times: &StateTimes) {
        self.count += 1;
        let process = self.processes.entry(pid).or_default();
        let Some(route) = route else {
            process.without.add(latency, times);
            return;
        };
        if let Some(book) = process.routes.get_mut(route) {
            book.add(latency, times);
        } else if self.routes.len() < MOST_ROUTES || self.routes.contains(route) {
            self.routes.insert(route.clone());
            process.routes.entry(route.clone()).or_default().add(latency, times);
        } else {
            process.other.add(latency, times);
        }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// All of them.
    pub fn all(&self) -> Book {
        Book::sum(self.processes.values().flat_map(OfProcess::books))
    }

    /// Those of each process, in no order.
    pub fn processes(&self) -> impl ExactSizeIterator<Item = (Pid, Book)> {
        self.processes.iter().map(|(pid, process)| (*pid, Book::sum(process.books())))
    }

    /// Those of each route, where they have one, in no order.
    pub fn routes(&self) -> impl Iterator<Item = (&str, Book)> {
        let of = |route: &Route| {
            Book::sum(self.processes.values().filter_map(|process| process.routes.get(route)))
        };
        let other = Book::sum(self.processes.values().map(|process| &process.other));
        let other = (other.count() > 0).then_some((OTHER_ROUTES, other));
        self.routes.iter().map(move |route| (&**route, of(route))).chain(other)
    }
}

impl OfProcess {
    fn books(&self) -> impl Iterator<Item = &Book> {
        self.routes.values().chain([&self.other, &self.without])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_request_is_in_all_in_its_process_and_in_its_route(
            requests in proptest::collection::vec((0_u32..4, proptest::option::of(0_u16..400), 1_u64..1_000_000), 0..600)
        ) {
            let mut books = Books::default();
            let (mut by_process, mut routed) = (FxHashMap::<Pid, u64>::default(), 0);
            for (pid, route, latency) in &requests {
                let route = route.map(|number| Route::from(&*format!("GET /{number}")));
                books.add(Pid(*pid), route.as_ref(), *latency, &StateTimes::default());
                *by_process.entry(Pid(*pid)).or_default() += latency;
                routed += u64::from(route.is_some());
            }
            let all = books.all();
            prop_assert_eq!(all.count(), requests.len() as u64);
            prop_assert_eq!(books.count(), all.count());
            prop_assert_eq!(all.total(), requests.iter().map(|(.., latency)| latency).sum::<u64>());
            let totals: FxHashMap<Pid, u64> = books.processes().map(|(pid, book)| (pid, book.total())).collect();
            prop_assert_eq!(totals, by_process);
            let routes: Vec<(&str, Book)> = books.routes().collect();
            prop_assert!(routes.len() <= MOST_ROUTES + 1);
            prop_assert_eq!(routes.iter().map(|(_, book)| book.count()).sum::<u64>(), routed);
        }
    }
}
