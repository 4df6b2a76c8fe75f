//! Servers that are run one after another under the same load, and what a request costs in each: `whywait.race/1`.
//!
//! One run gives a [`Row`]. The figures are those of the observation (`observe`), beside those of two other sources that
//! share nothing with it: the kernel's performance counters ([`PerfCounters`]) and `/proc` ([`usage`]). Where they differ
//! the row says so ([`Difference`]).

mod check;
mod column;
mod csv;
mod html;
mod perf;
mod report;
mod row;
mod screen;
mod server;
mod sweep;
#[cfg(test)]
mod tests;
mod text;
pub mod usage;

pub use check::Difference;
pub use csv::write_csv;
pub use html::{PAGE_STYLE, write_html};
pub use perf::{PerfCounters, PerfCounts};
pub use report::{Conditions, Failed, Race};
pub use row::{Counts, Measured, Row};
pub use screen::standing;
pub use server::{OwnServer, Placeholders};
pub use sweep::{Knob, Setting, Sweep};
pub use text::write_table;
