//! What somebody outside tells a run while it goes on.

use std::sync::Arc;

use super::{Models, Note};
use crate::units::Pid;

/// Something that is told.
#[derive(Clone, Debug)]
pub enum Told {
    /// Something to be said of the moment.
    Note(Note),
    /// Another server is to be watched from now on.
    Target {
        /// Its first process; its children count as well.
        pid: Pid,
        /// What it is called.
        command: String,
    },
    /// Servers side by side; what was told before is out of date.
    Models(Arc<Models>),
}
