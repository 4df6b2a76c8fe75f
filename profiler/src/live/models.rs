//! Servers side by side, as whoever runs them one after the other hands them over.

use crate::clock::StateTimes;

/// A figure's place in its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The best.
    Best,
    /// The worst.
    Worst,
}

/// A server that has run.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelRow {
    /// What it is called.
    pub name: String,
    /// Its figures, column by column, as they are read.
    pub cells: Vec<(String, Option<Mark>)>,
    /// Where the time of a request goes in the mean, in nanoseconds.
    pub times: StateTimes,
    /// What all of that is, as it is read.
    pub mean: String,
}

/// A comparison, as far as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Models {
    /// The load that all are under, in a sentence.
    pub conditions: String,
    /// The head of each column, in two lines.
    pub heads: Vec<[&'static str; 2]>,
    /// Servers that have run, in their order.
    pub rows: Vec<ModelRow>,
    /// The one that runs now.
    pub running: Option<String>,
    /// Those that are still to come.
    pub to_come: Vec<String>,
    /// Those that could not run, each with why.
    pub failed: Vec<(String, String)>,
    /// What it comes to, in sentences.
    pub conclusions: Vec<String>,
}

impl Models {
    /// Whether nothing more is to come.
    pub fn is_over(&self) -> bool {
        self.running.is_none() && self.to_come.is_empty()
    }
}
