//! Two recordings side by side: what changed in latency, by cause, and whether it is more than noise. Pure.
//!
//! [`Sample`]s take the requests of each recording in blocks of time; [`compare()`] draws blocks anew to find how far the figures of
//! a recording would differ by chance alone, and says what differs by more.

mod bootstrap;
mod condition;
mod figures;
mod html;
mod metric;
mod report;
mod sample;
#[cfg(test)]
mod tests;
mod text;

pub use bootstrap::{CONFIDENCE, Interval};
pub use condition::{Condition, ConditionError, Verdict};
pub use html::write_page;
pub use metric::Metric;
pub use report::{Change, Comparison, FindingChange, Recorded, RouteChange, compare};
pub use sample::Sample;
pub use text::write_comparison;
