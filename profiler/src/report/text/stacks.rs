//! The stacks in which the main states spend their time.

use std::io::{self, Write};

use super::{
    super::{
        explanation::Explanation,
        palette::{Palette, Tone},
    },
    layout::{WIDTH, shown},
};
use crate::units::fmt_percent;

/// States from this share of a request's time on have their stacks told.
const MAIN: f64 = 0.1;
/// Stacks of each, from this share of the state on.
const TOLD: usize = 3;
const WORTH: f64 = 0.05;
/// From this share of stacks without callers on it is said why.
const MUCH: f64 = 0.1;

pub(super) fn write(explanation: &Explanation, palette: Palette, out: &mut dyn Write) -> io::Result<()> {
    let stacks = &explanation.stacks;
    let all: f64 = explanation.requests.latency_us.mean * explanation.requests.count as f64;
    let main = stacks.profiles.iter().filter(|of| of.route.is_none() && of.time_us >= MAIN * all);
    let mut begun = false;
    for profile in main {
        let mut state = profile.state;
        for stack in profile.stacks.iter().take(TOLD).filter(|stack| stack.share >= WORTH) {
            if !begun {
                writeln!(out)?;
                let title = format!(
                    "{:<14} {:>5}  {}",
                    "In the code", "", "the program's innermost function < its callers"
                );
                writeln!(out, "{}", palette.paint(Tone::Faint, &title))?;
                begun = true;
            }
            let known = stack.wait.map_or_else(String::new, |wait| format!(" [{wait}]"));
            let text = format!("{}{known}", stack.brief);
            let room = WIDTH.saturating_sub(22);
            writeln!(out, "{state:<14} {:>5}  {}", fmt_percent(stack.share), shown(&text, room))?;
            state = "";
        }
    }
    Ok(())
}

/// What bounds the stacks.
pub(super) fn notes(explanation: &Explanation) -> Vec<String> {
    let stacks = &explanation.stacks;
    let mut notes = Vec::new();
    if stacks.lost_share >= MUCH {
        notes.push(format!(
            "{} of the time with stacks is in stacks whose callers could not be found: that code has neither call-frame information \
             nor frame pointers (for Java: -XX:+PreserveFramePointer)",
            fmt_percent(stacks.lost_share)
        ));
    }
    if stacks.too_deep_share >= MUCH {
        notes.push(format!(
            "{} of the time with stacks is in stacks that are deeper than the 8 KiB that are copied",
            fmt_percent(stacks.too_deep_share)
        ));
    }
    notes
}
