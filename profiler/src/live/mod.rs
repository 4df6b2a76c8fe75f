//! The last minutes of a run, in bounded memory, for whoever looks: what the dashboard draws. Pure.
//!
//! Events and finished requests go in ([`History`]), an immutable [`Snapshot`] comes out. Where they come from, the kernel or
//! a file, makes no difference.

mod backlog;
mod bucket;
mod connections;
mod correlate;
mod cursor;
mod history;
mod kept;
mod lanes;
mod latencies;
mod lengths;
mod models;
mod snapshot;
mod span;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
mod threads;
mod told;
mod trigger;
mod turnover;

pub use backlog::{Backlog, Backlogs};
pub use bucket::{
    Blocked, Bucket, CallCell, CpuCell, Group, KEPT, LENGTH, LockCell, LockPlace, OTHER_CALLS, PeerCell,
    RouteCell, Switches, Waits,
};
pub(crate) use connections::Connections;
pub use connections::{Peer, Side};
pub use correlate::{Link, Series, links};
pub use cursor::{Cursor, Motion, Said};
pub use history::{History, MOST_BYTES};
pub use kept::{Ahead, Kept, Kind, Step};
pub use lanes::{Cell, Lane, Share};
pub use latencies::Latencies;
pub use lengths::{Lengths, rows as length_rows};
pub use models::{Mark, ModelRow, Models};
pub use snapshot::{Health, KnownLock, Lost, Model, Note, Release, Snapshot, Stack, Status, Target};
pub use span::Span;
pub use threads::{Role, ThreadView};
pub use told::Told;
pub use trigger::{Armed, Trigger, TriggerError};
pub use turnover::Turnover;
