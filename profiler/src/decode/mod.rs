//! Bytes of the ring, or of a recording, to [`Event`]s. Pure: no descriptor, no clock.

mod event;
mod gaps;
mod order;
mod parse;
mod route;
mod stack;
mod walked;

pub use event::{ConnId, Event, What};
pub use gaps::Gaps;
pub use order::Reorder;
pub use parse::{DecodeError, LATEST, decode};
pub use route::{Route, Routes};
pub use stack::{End, MadeOf, RawStack, StackEvent, StackId, Taken, Trace, Traces, Unwind};
pub use walked::with_callers;
