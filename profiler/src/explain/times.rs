//! Microseconds by state.

use std::ops::{Index, IndexMut};

use crate::clock::{State, StateTimes};

/// Mean microseconds of a request by state.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Times([f64; State::COUNT]);

impl Times {
    /// From a list in the order of [`State::ALL`].
    pub fn from_list(list: &[f64]) -> Self {
        let mut times = Self::default();
        times.0.iter_mut().zip(list).for_each(|(time, value)| *time = *value);
        times
    }

    /// Adds nanoseconds, as microseconds.
    pub fn add(&mut self, times: &StateTimes) {
        times.iter().for_each(|(state, nanos)| self[state] += nanos as f64 / 1e3);
    }

    /// All of them times a factor.
    #[must_use]
    pub fn scaled(mut self, factor: f64) -> Self {
        self.0.iter_mut().for_each(|time| *time *= factor);
        self
    }

    /// The sum over all states.
    pub fn total(&self) -> f64 {
        self.0.iter().sum()
    }

    /// Time before a worker: not accepted, not read, or read and nobody's.
    pub fn queued(&self) -> f64 {
        self[State::AcceptQueue] + self[State::RecvQueue] + self[State::AppQueue]
    }

    /// Time in a worker's hands.
    pub fn service(&self) -> f64 {
        self.total() - self.queued()
    }

    /// States with their times, in order.
    pub fn iter(&self) -> impl Iterator<Item = (State, f64)> + '_ {
        State::ALL.into_iter().map(|state| (state, self[state]))
    }

    /// The state that took most of the service, with its share of it. A wait for a CPU is not what a request does, but what is done to it.
    pub fn mostly(&self) -> Option<(State, f64)> {
        let queue = [State::AcceptQueue, State::RecvQueue, State::AppQueue, State::RunQueue];
        let service = self.service() - self[State::RunQueue];
        self.iter()
            .filter(|(state, time)| !queue.contains(state) && *time > 0.0)
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .map(|(state, time)| (state, time / service))
    }
}

impl Index<State> for Times {
    type Output = f64;

    fn index(&self, state: State) -> &f64 {
        &self.0[state as usize]
    }
}

impl IndexMut<State> for Times {
    fn index_mut(&mut self, state: State) -> &mut f64 {
        &mut self.0[state as usize]
    }
}
