//! What a process has mapped, from `/proc/PID/maps` (`proc_pid_maps(5)`).

use std::{collections::BTreeSet, fs, path::PathBuf};

use super::error::{ProcError, proc_error};
use crate::units::Pid;

/// A guard page, or a few of them, is no larger.
const GUARD: u64 = 64 << 10;
/// A stack is no smaller; signals have smaller ones, behind guard pages as well.
const STACK: u64 = 32 << 10;

/// What a process has mapped, as far as it is of use here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mappings {
    /// Names of the mapped files that hold code, without their folders.
    pub code: BTreeSet<String>,
    /// Mappings that look like stacks: private anonymous memory right behind a guard page. Each thread but the first has one.
    pub stacks: usize,
}

/// The mappings of a process.
///
/// # Errors
/// When the process has ended, or may not be looked at.
pub fn mappings(pid: Pid) -> Result<Mappings, ProcError> {
    let path = PathBuf::from(format!("/proc/{pid}/maps"));
    let text = fs::read(&path).map_err(|source| proc_error(pid, &path, source))?;
    Ok(parse(&String::from_utf8_lossy(&text)))
}

fn parse(text: &str) -> Mappings {
    let mut mappings = Mappings::default();
    let mut guard_ends = None;
    for line in text.lines() {
        let mut fields = line.split_ascii_whitespace();
        let bounds = fields.next().and_then(|bounds| {
            let (from, to) = bounds.split_once('-')?;
            Some((u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?))
        });
        let (Some((from, to)), Some(rights)) = (bounds, fields.next()) else { continue };
        let name = fields.nth(3);
        let size = to.saturating_sub(from);
        mappings.stacks +=
            usize::from(rights == "rw-p" && name.is_none() && size >= STACK && guard_ends == Some(from));
        guard_ends = (rights == "---p" && name.is_none() && size <= GUARD).then_some(to);
        if rights.contains('x')
            && let Some(file) =
                name.filter(|name| name.starts_with('/')).and_then(|name| name.rsplit('/').next())
        {
            mappings.code.insert(file.to_owned());
        }
    }
    mappings
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A library, the first thread's stack, a thread's stack, a coroutine's beside it, a signal stack, and malloc's arena, whose
    /// rest is no guard.
    #[test]
    fn stacks_and_code_are_found() {
        let text = "\
            55d0c0000000-55d0c0001000 r--p 00000000 fe:00 12 /usr/bin/server\n\
            55d0c0001000-55d0c0002000 r-xp 00001000 fe:00 12 /usr/bin/server\n\
            7f0000000000-7f0000021000 rw-p 00000000 00:00 0 \n\
            7f0000021000-7f0004000000 ---p 00000000 00:00 0 \n\
            7f0004000000-7f0004800000 rw-p 00000000 00:00 0 \n\
            7f1000000000-7f1000001000 ---p 00000000 00:00 0 \n\
            7f1000001000-7f1000801000 rw-p 00000000 00:00 0 \n\
            7f1000801000-7f1000802000 ---p 00000000 00:00 0 \n\
            7f1000802000-7f1000812000 rw-p 00000000 00:00 0 \n\
            7f1000812000-7f1000813000 ---p 00000000 00:00 0 \n\
            7f1000813000-7f1000815000 rw-p 00000000 00:00 0 \n\
            7f2000000000-7f2000001000 r-xp 00000000 fe:00 13 /usr/lib/_greenlet.so\n\
            7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0 [stack]\n";
        let mappings = parse(text);
        assert_eq!(mappings.stacks, 2);
        assert_eq!(mappings.code.iter().collect::<Vec<_>>(), ["_greenlet.so", "server"]);
    }

    #[test]
    fn a_thread_has_a_stack() {
        let own = Pid(std::process::id());
        let (done, wait) = std::sync::mpsc::channel::<()>();
        let before = mappings(own).unwrap().stacks;
        let thread = std::thread::spawn(move || wait.recv().is_ok());
        let with = mappings(own).unwrap().stacks;
        drop(done);
        thread.join().unwrap();
        // Other tests begin and end threads meanwhile; a stack may also be one that was kept.
        assert!(with > 0 && before > 0, "{before} then {with}");
    }
}
