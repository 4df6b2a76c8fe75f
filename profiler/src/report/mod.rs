//! What a run says: one explanation, as text for people and as JSON for programs.

mod counters;
mod explanation;
mod palette;
mod text;

pub use explanation::{Explanation, explain};
pub use palette::{Palette, Tone};
pub use text::{paragraph, write_text};
