//! What a run says: one explanation, as text for people and as JSON for programs.

mod counters;
mod cpu;
mod explanation;
mod html;
mod locks;
mod palette;
mod stacks;
mod text;

pub use explanation::{AtOnce, Breakdown, Breakdowns, Explanation, Latency, Lost, explain};
pub use html::{Course, write_page};
pub use locks::{HolderUse, holders};
pub use palette::{Palette, Tone};
pub use text::{bar, causes, counted, paragraph, wrap, write_text};
