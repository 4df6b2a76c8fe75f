//! Bytes of the ring, or of a recording, to [`Event`]s. Pure: no descriptor, no clock.

mod event;
mod gaps;
mod order;
mod parse;
mod route;

pub use event::{ConnId, Event, What};
pub use gaps::Gaps;
pub use order::Reorder;
pub use parse::{DecodeError, decode};
pub use route::{Route, Routes};
