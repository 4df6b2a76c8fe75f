//! Order across CPUs.
//!
//! The ring keeps the order in which room was reserved. Two CPUs that take the time and then reserve can do so in
//! the other order, some microseconds apart; a thread that is preempted between the two (an interrupt) makes it more. Events are held
//! back until what is newer by the slack has come.

use std::collections::VecDeque;

use super::event::Event;
use crate::units::Ns;

/// Events that are held at most: more than all CPUs of a large machine send within the slack. A file can have any number of the same time.
const MOST: usize = 1 << 15;

/// Puts events in the order of their times; those of the same time stay in that of their arrival.
pub struct Reorder {
    slack: u64,
    /// Sorted. Events come nearly in order, so that almost each one is added at the end.
    held: VecDeque<Event>,
    newest: Ns,
    released: Ns,
    late: u64,
}

impl Reorder {
    /// Holds events back for `slack` nanoseconds of their own time.
    pub fn new(slack: u64) -> Self {
        Self { slack, held: VecDeque::new(), newest: Ns(0), released: Ns(0), late: 0 }
    }

    /// Takes an event.
    pub fn push(&mut self, event: Event) {
        if event.at < self.released {
            self.late += 1;
        }
        self.newest = self.newest.max(event.at);
        match self.held.back() {
            Some(last) if last.at > event.at => {
                let place = self.held.partition_point(|held| held.at <= event.at);
                self.held.insert(place, event);
            }
            _ => self.held.push_back(event),
        }
    }

    /// The next event that nothing earlier can still precede.
    pub fn pop(&mut self) -> Option<Event> {
        let waits = self.held.front()?.at.plus(self.slack) > self.newest && self.held.len() <= MOST;
        if waits { None } else { self.take() }
    }

    /// The next event, at the end of the stream.
    pub fn take(&mut self) -> Option<Event> {
        let event = self.held.pop_front()?;
        self.released = self.released.max(event.at);
        Some(event)
    }

    /// Events that came later than the slack allows; they were passed on out of order.
    pub fn late(&self) -> u64 {
        self.late
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        decode::What,
        units::{Pid, Tid},
    };
    use proptest::prelude::*;

    fn event(at: u64) -> Event {
        Event {
            at: Ns(at),
            tid: Tid(1),
            pid: Pid(1),
            seq: 0,
            missing: 0,
            cpu: 0,
            spun: 0,
            what: What::ThreadEnd,
        }
    }

    #[test]
    fn events_of_the_same_time_keep_their_order() {
        let mut order = Reorder::new(0);
        for cpu in 0..5 {
            order.push(Event { cpu, ..event(9) });
        }
        let cpus: Vec<u16> = std::iter::from_fn(|| order.take()).map(|event| event.cpu).collect();
        assert_eq!(cpus, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn any_number_of_events_of_one_time_are_held_in_bounded_memory() {
        let mut order = Reorder::new(100);
        let mut passed = 0;
        for _ in 0..3 * MOST {
            order.push(event(7));
            passed += std::iter::from_fn(|| order.pop()).count();
            assert!(order.held.len() <= MOST);
        }
        assert_eq!(passed, 2 * MOST);
    }

    proptest! {
        #[test]
        fn what_is_late_by_no_more_than_the_slack_comes_out_in_order(
            times in proptest::collection::vec((0_u64..10_000, 0_u64..100), 1..200)
        ) {
            // Arrival order is that of a delayed clock: each event is late by less than the slack.
            let mut arrivals = times.clone();
            arrivals.sort_by_key(|(at, delay)| at + delay);
            let mut order = Reorder::new(100);
            let mut out = Vec::new();
            for (at, _) in &arrivals {
                order.push(event(*at));
                while let Some(event) = order.pop() {
                    out.push(event.at.0);
                }
            }
            out.extend(std::iter::from_fn(|| order.take()).map(|event| event.at.0));
            let mut sorted = out.clone();
            sorted.sort_unstable();
            prop_assert_eq!(out.len(), times.len());
            prop_assert_eq!(out, sorted);
            prop_assert_eq!(order.late(), 0);
        }
    }
}
