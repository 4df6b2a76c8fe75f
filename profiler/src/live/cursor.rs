//! Where in a recording a screen is, and how time goes on there.

use std::sync::Arc;

use super::Kept;

/// How time goes on in a recording.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Motion {
    /// It goes on by itself.
    Playing,
    /// It stands still.
    Paused,
    /// It is over.
    AtEnd,
    /// Another moment is sought, as fast as can be.
    Jumping {
        /// The moment, in nanoseconds since the recording's beginning.
        to: u64,
        /// How much of the way is done, from 0 to 1.
        done: f64,
    },
}

/// An answer to what the user has asked for.
#[derive(Clone, Debug)]
pub struct Said {
    /// Later ones have larger numbers.
    pub number: u64,
    /// In a sentence.
    pub text: String,
    /// The request that it is about.
    pub open: Option<Arc<Kept>>,
}

impl PartialEq for Said {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

/// Where in a recording a screen is. Times are nanoseconds since the recording's beginning.
#[derive(Clone, Debug, PartialEq)]
pub struct Cursor {
    /// The moment that is shown.
    pub position: u64,
    /// Length of the recording.
    pub length: u64,
    /// Seconds of the recording in a second, while it plays.
    pub speed: f64,
    /// How time goes on.
    pub motion: Motion,
    /// Moments at which a cause is found that was not found in the window before, as far as the recording is looked through.
    pub appearances: Arc<Vec<u64>>,
    /// When the slowest request ended, once all of the recording is looked through.
    pub slowest: Option<u64>,
    /// How much of the recording is looked through, from 0 to 1.
    pub looked_through: f64,
    /// Where the recording comes from, in words.
    pub origin: Arc<str>,
    /// CPU that the recording took, in percent of one, as far as it has come.
    pub recorder_percent: f64,
    /// What is missing in it, a sentence for each.
    pub missing: Arc<Vec<String>>,
    /// The newest answer.
    pub said: Option<Said>,
}
