//! Order across CPUs.
//!
//! The ring keeps the order in which room was reserved. Two CPUs that take the time and then reserve can do so in
//! the other order, some microseconds apart; a thread that is preempted between the two (an interrupt) makes it more. Events are held
//! back until what is newer by the slack has come.

use super::event::Event;
use crate::units::Ns;

/// Events that are held at most: more than all CPUs of a large machine send within the slack. A file can have any number of the same time.
const MOST: usize = 1 << 15;

/// Places of events that were passed on, after which the memory is used again.
const USED: usize = 1 << 12;

/// Puts events in the order of their times; those of the same time stay in that of their arrival.
#[derive(Default)]
pub struct Reorder {
    slack: u64,
    /// Those from `first` on are held, sorted. Events come nearly in order, so that almost each one is added at the end.
    events: Vec<Event>,
    /// Those before it were passed on: to move an event is most of what is done with it, so they leave many at a time.
    first: usize,
    newest: Ns,
    released: Ns,
    late: u64,
}

impl Reorder {
    /// Holds events back for `slack` nanoseconds of their own time.
    pub fn new(slack: u64) -> Self {
        Self { slack, ..Self::default() }
    }

    /// Takes an event, if it is admitted. It is looked at where it is kept: to move one is most of what is done with it.
    #[inline]
    pub fn push_if(&mut self, event: Event, admit: impl FnOnce(&mut Event) -> bool) -> bool {
        self.events.push(event);
        let is_admitted = self.events.last_mut().is_some_and(admit);
        if is_admitted {
            self.place_last();
        } else {
            self.events.pop();
        }
        is_admitted
    }

    /// Puts the event that came last where it belongs.
    #[inline]
    fn place_last(&mut self) {
        let Some((event, before)) = self.held().split_last() else { return };
        let at = event.at;
        if before.last().is_some_and(|last| last.at > at) {
            let place = self.first + before.partition_point(|held| held.at <= at);
            self.events[place..].rotate_right(1);
        }
        self.late += u64::from(at < self.released);
        self.newest = self.newest.max(at);
    }

    /// Passes on each event that nothing earlier can still precede.
    #[inline]
    pub fn pass(&mut self, mut to: impl FnMut(&Event)) {
        while let Some(event) = self.held().first()
            && (event.at.plus(self.slack) <= self.newest || self.held().len() > MOST)
        {
            to(event);
            self.released = self.released.max(event.at);
            self.first += 1;
        }
        if self.first >= USED {
            self.events.drain(..self.first);
            self.first = 0;
        }
    }

    /// Passes on each event, at the end of the stream.
    pub fn pass_all(&mut self, mut to: impl FnMut(&Event)) {
        for event in self.held() {
            to(event);
        }
        self.released = self.released.max(self.held().last().map_or(Ns(0), |last| last.at));
        self.events.clear();
        self.first = 0;
    }

    fn held(&self) -> &[Event] {
        &self.events[self.first..]
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
            order.push_if(Event { cpu, ..event(9) }, |_| true);
        }
        let mut cpus = Vec::new();
        order.pass_all(|event| cpus.push(event.cpu));
        assert_eq!(cpus, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn any_number_of_events_of_one_time_are_held_in_bounded_memory() {
        let mut order = Reorder::new(100);
        let mut passed = 0;
        for _ in 0..3 * MOST {
            order.push_if(event(7), |_| true);
            order.pass(|_| passed += 1);
            assert!(order.held().len() <= MOST && order.events.len() <= MOST + USED);
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
                order.push_if(event(*at), |_| true);
                order.pass(|event| out.push(event.at.0));
            }
            order.pass_all(|event| out.push(event.at.0));
            let mut sorted = out.clone();
            sorted.sort_unstable();
            prop_assert_eq!(out.len(), times.len());
            prop_assert_eq!(out, sorted);
            prop_assert_eq!(order.late(), 0);
        }
    }
}
