//! What a run says: one explanation, as text for people and as JSON for programs.

mod explanation;
mod text;

pub use explanation::{Explanation, explain};
pub use text::write_text;
