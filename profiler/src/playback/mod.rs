//! How a recording is played: a time cursor, its speed, where it jumps to. Pure: commands and seconds go in, moments come out.
//!
//! Whoever has the recording moves to these moments (`observe/playback.rs`), and tells what there is to be jumped to ([`Survey`]).

mod moment;
mod player;
mod survey;

pub use moment::{Moment, MomentError, clock_time};
pub use player::{Arrival, Command, Player, SPEEDS};
pub use survey::{Appearance, Slowest, Survey};
