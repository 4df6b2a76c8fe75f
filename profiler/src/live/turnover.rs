//! Processes that came and went, and programs that were executed, for whoever tells it.

use std::sync::Arc;

use crate::units::Pid;

/// Programs that are told by name.
const NAMED: usize = 16;

/// What became of processes since somebody asked last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turnover {
    /// Processes that were forked.
    pub forked: u64,
    /// Processes that ended.
    pub ended: u64,
    /// Processes that execute another program now, with its name: the first of them.
    pub executed: Vec<(Pid, Arc<str>)>,
}

impl Turnover {
    /// A process executes another program.
    pub(super) fn executes(&mut self, pid: Pid, name: &Arc<str>) {
        if self.executed.len() < NAMED {
            self.executed.push((pid, Arc::clone(name)));
        }
    }

    /// Adds what came later.
    pub fn merge(&mut self, later: Self) {
        self.forked += later.forked;
        self.ended += later.ended;
        self.executed.extend(later.executed);
        self.executed.truncate(NAMED);
    }

    /// In words; `None` for nothing that was not told otherwise.
    pub fn words(&self) -> Option<String> {
        let were = |count: u64, was: &str, were: &str| match count {
            1 => format!("a process {was}"),
            count => format!("{} processes {were}", crate::units::fmt_count(count)),
        };
        match (self.forked, self.ended) {
            (0, 0) => None,
            (forked, 0) => Some(were(forked, "was forked", "were forked")),
            (0, ended) => Some(were(ended, "has ended", "have ended")),
            (forked, ended) => Some(format!(
                "{}, {}",
                were(forked, "was forked", "were forked"),
                were(ended, "has ended", "have ended")
            )),
        }
    }
}
