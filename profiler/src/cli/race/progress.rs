//! How far a race is, in lines on standard error.

use std::io::{self, IsTerminal};

use super::{course::Spectator, heat::Heat};
use crate::{
    race::Race,
    units::{Pid, fmt_count, rounded},
};

/// Writes a line for each run.
pub struct Lines {
    labels: Vec<String>,
    widest: usize,
    /// A line is written before the run, and over again after it.
    live: bool,
}

impl Lines {
    /// For these runs.
    pub fn of_stderr(heats: &[Heat]) -> Self {
        let labels: Vec<String> = heats.iter().map(Heat::label).collect();
        let widest = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
        Self { labels, widest, live: io::stderr().is_terminal() }
    }

    fn head(&self, at: usize) -> String {
        let widest = self.widest;
        format!("[{:>2}/{}] {:<widest$} ", at + 1, self.labels.len(), self.labels[at])
    }

    fn back(&self) -> &'static str {
        if self.live { "\r\x1b[K" } else { "" }
    }
}

impl Spectator for Lines {
    fn begins(&mut self, _race: &Race, at: usize) {
        if self.live {
            eprint!("{}…", self.head(at));
        }
    }

    fn listens(&mut self, _at: usize, _pid: Pid) {}

    fn ended(&mut self, race: &Race, at: usize) {
        let (back, head) = (self.back(), self.head(at));
        let failed = race.failed.last().filter(|failed| failed.label == self.labels[at]);
        match (failed, race.rows.last()) {
            (Some(failed), _) => eprintln!("{back}{head} failed: {}", failed.why),
            (None, Some(row)) => {
                let speed = fmt_count(rounded(row.requests_per_second));
                eprintln!("{back}{head}{speed:>8} requests a second");
            }
            (None, None) => {}
        }
    }

    fn stopped(&mut self, at: usize) {
        eprintln!("{}{} stopped; what was measured before follows", self.back(), self.head(at));
    }
}
