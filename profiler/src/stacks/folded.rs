//! Profiles in the folded form that flame-graph programs read: one line a stack, its frames from the outermost to the innermost, and a number.

use std::io::{self, Write};

use super::{frame::Frame, report::Stacks};
use crate::printable::printable;

/// Writes the profiles of each route, or of all requests where no route is known: `route;state;frame;frame… microseconds`.
///
/// # Errors
/// When it cannot be written.
pub fn write_folded(stacks: &Stacks, out: &mut dyn Write) -> io::Result<()> {
    let by_route = stacks.states.iter().any(|state| state.route.is_some());
    for state in stacks.states.iter().filter(|state| state.route.is_some() == by_route) {
        let route = state.route.as_deref().unwrap_or("requests");
        for hot in &state.stacks {
            let frames = folded_frames(&hot.frames);
            writeln!(out, "{};{};{frames} {:.0}", clean(route), state.state.id(), hot.time_us.max(1.0))?;
        }
        if state.without_us >= 1.0 {
            writeln!(out, "{};{};[no stack] {:.0}", clean(route), state.state.id(), state.without_us)?;
        }
    }
    Ok(())
}

/// A stack in one word: its frames from the outermost to the innermost.
pub fn folded_frames(frames: &[Frame]) -> String {
    if frames.is_empty() {
        return "[no frames]".to_owned();
    }
    let names: Vec<String> = frames.iter().rev().map(Frame::folded).collect();
    names.join(";")
}

/// A name without what separates names.
fn clean(name: &str) -> String {
    printable(&name.replace(['\n', '\r'], " ")).replace(';', ":")
}
