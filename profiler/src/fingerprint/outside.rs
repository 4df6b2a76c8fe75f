//! What no event tells, and is looked up outside.

use crate::units::Pid;

/// Facts about the target's processes from outside the events. All of them are hints; none decides alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outside {
    /// Libraries that are mapped and switch stacks in user space, by process.
    pub stack_switchers: Vec<(Pid, String)>,
}
