//! One run on a live target: attaches, feeds what the kernel sends through decode, clock and window, and hands over what came of it.

mod backlogs;
mod beside;
mod explainer;
mod facts;
mod live;
mod live_record;
mod neighbours;
mod observation;
mod outlet;
mod outside;
mod pipeline;
mod playback;
mod record;
mod reel;
mod replay;
mod run;
mod shown;
mod slice;
mod survey;

pub use facts::Facts;
pub use live::{LivePlan, live, named};
pub use live_record::{Command, LiveRecord};
pub use observation::Observation;
pub use pipeline::{Listener, Pipeline, Sink};
pub use playback::{PlaybackPlan, playback};
pub use record::RecordPlan;
pub use reel::Reel;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use replay::replayed;
pub use replay::{ReplayError, Replayed, replay, replay_to};
pub use run::{ObserveError, Plan, observe};
pub use slice::Slice;
