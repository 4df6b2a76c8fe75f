//! A frame with its name, and a stack in few words.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::printable::printable;

/// Where a frame's code is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Place {
    /// In the kernel.
    Kernel,
    /// In a file that is mapped, by the last part of its path.
    File(String),
    /// In memory that the program filled itself, as just-in-time compilers do.
    Memory,
}

/// A function that was called, or that is inlined into one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Frame {
    /// Its name, demangled; `None` where no symbol covers the address.
    pub name: Option<String>,
    /// Where its code is.
    pub place: Place,
}

impl Frame {
    /// The name, or where the code is in brackets.
    pub fn text(&self) -> String {
        match (&self.name, &self.place) {
            (Some(name), _) => name.clone(),
            (None, Place::Kernel) => "[kernel]".to_owned(),
            (None, Place::File(file)) => format!("[{file}]"),
            (None, Place::Memory) => "[unknown code]".to_owned(),
        }
    }

    /// The name as flame graphs have it: those of the kernel are marked, which colours them.
    pub fn folded(&self) -> String {
        let name = printable(&self.text().replace(['\n', '\r'], " ")).replace(';', ":");
        if self.place == Place::Kernel { format!("{name}_[k]") } else { name }
    }

    /// Whether it is code that stands between a program and what it waits for, and says nothing of either.
    fn is_plumbing(&self) -> bool {
        let Place::File(file) = &self.place else { return false };
        if file.starts_with("libc.")
            || file.starts_with("libpthread")
            || file.starts_with("libc-")
            || file.starts_with("ld-")
        {
            return true;
        }
        self.name.as_deref().is_none_or(|name| {
            ["std::", "core::", "alloc::", "<alloc::", "<core::", "<std::", "__rust"]
                .iter()
                .any(|start| name.starts_with(start))
        })
    }
}

/// The tracing itself, and the scheduler's own functions, which are the end of each wait: they say nothing of it.
fn is_scheduler(name: &str) -> bool {
    ["bpf_", "__bpf_", "__traceiter_", "perf_", "__perf_"].iter().any(|start| name.starts_with(start))
        || matches!(
            name,
            "__schedule"
                | "schedule"
                | "schedule_timeout"
                | "io_schedule"
                | "schedule_hrtimeout_range"
                | "preempt_schedule_common"
        )
}

/// What the kernel is asked to do, as the first of its functions that says so.
fn kernel_frames(frames: &[Frame]) -> impl Iterator<Item = &Frame> {
    frames.iter().filter(|frame| frame.place == Place::Kernel)
}

/// Drops the innermost frames that are the tracing's own: those up to the one in which the thread gave up the CPU.
pub(super) fn without_tracing(mut frames: Vec<Frame>) -> Vec<Frame> {
    let kernel = kernel_frames(&frames).count();
    let own = frames[..kernel].iter().rposition(|frame| frame.name.as_deref().is_some_and(is_scheduler));
    // Interrupts have functions of such names below those of the system call: only what lies on top is dropped.
    if let Some(last) = own.filter(|last| *last < 12) {
        frames.drain(..=last);
    }
    frames
}

/// Functions that are named in a brief stack.
const NAMED: usize = 4;
/// Longest name in it.
const LONGEST: usize = 48;

/// A stack in one line: the innermost functions of the program, their callers behind them.
pub fn brief(frames: &[Frame]) -> String {
    let mut user = frames.iter().filter(|frame| frame.place != Place::Kernel).peekable();
    let leaf = user.peek().map(|frame| frame.text());
    let told: Vec<String> =
        user.filter(|frame| !frame.is_plumbing()).map(|frame| shorten(&frame.text())).collect();
    let mut text = String::new();
    let named = if told.is_empty() { leaf.map(|leaf| shorten(&leaf)).into_iter().collect() } else { told };
    for (index, name) in named.iter().take(NAMED).enumerate() {
        let _infallible = write!(text, "{}{name}", if index == 0 { "" } else { " < " });
    }
    if named.len() > NAMED {
        text.push_str(" < …");
    }
    if text.is_empty() {
        text.push_str(&kernel_frames(frames).next().map_or_else(|| "[nothing]".to_owned(), Frame::text));
    }
    text
}

/// A name without its type parameters and the outer modules, cut where it is still long.
fn shorten(name: &str) -> String {
    let mut depth = 0_usize;
    let mut plain = String::new();
    for (index, letter) in name.char_indices() {
        match letter {
            // `<T as Trait>::f` begins with what it is about.
            '<' if index > 0 => depth += 1,
            '>' if depth > 0 => depth -= 1,
            _ if depth == 0 => plain.push(letter),
            _ => {}
        }
    }
    let plain = plain.replace("::{{closure}}", "").replace("::::", "::");
    let parts: Vec<&str> = plain.trim_end_matches("::").split("::").collect();
    let short = if plain.starts_with('<') {
        plain.clone()
    } else {
        parts[parts.len().saturating_sub(2)..].join("::")
    };
    if short.chars().count() <= LONGEST {
        short
    } else {
        short.chars().take(LONGEST - 1).chain(['…']).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(name: &str, file: &str) -> Frame {
        Frame { name: Some(name.to_owned()), place: Place::File(file.to_owned()) }
    }

    fn kernel(name: &str) -> Frame {
        Frame { name: Some(name.to_owned()), place: Place::Kernel }
    }

    /// What a person asks for is the function of the program, not the C library's on top of it.
    #[test]
    fn a_brief_stack_begins_with_the_programs_own_function() {
        let stack = [
            kernel("futex_wait"),
            frame("syscall", "libc.so.6"),
            frame("std::sys::sync::mutex::futex::Mutex::lock_contended", "server"),
            frame("server::work::lock::Lock<T>::hold::{{closure}}", "server"),
            frame("server::routes::serve", "server"),
        ];
        assert_eq!(brief(&stack), "Lock::hold < routes::serve");
        assert_eq!(brief(&stack[..2]), "syscall");
        assert_eq!(brief(&stack[..1]), "futex_wait");
    }

    #[test]
    fn the_tracing_is_not_part_of_what_it_traces() {
        let stack = ["bpf_trace_run4", "__traceiter_sched_switch", "__schedule", "schedule", "futex_do_wait"]
            .map(kernel);
        let left = without_tracing(stack.to_vec());
        assert_eq!(left, [kernel("futex_do_wait")]);
    }
}
