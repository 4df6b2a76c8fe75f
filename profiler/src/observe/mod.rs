//! One run on a live target: attaches, feeds what the kernel sends through decode, clock and window, and hands over what came of it.

mod explainer;
mod known;
mod live;
mod neighbours;
mod outside;
mod pipeline;
mod run;
mod slice;

pub use live::{LivePlan, live, named};
pub use pipeline::{Listener, Pipeline, Sink};
pub use run::{Observation, ObserveError, Plan, observe};
pub use slice::Slice;
