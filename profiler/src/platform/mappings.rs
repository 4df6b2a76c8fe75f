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

/// A stretch of a process's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// Its first address.
    pub from: u64,
    /// The address behind it.
    pub to: u64,
    /// Rights, as in `rw-p`.
    pub rights: String,
    /// Where in the file it begins.
    pub offset: u64,
    /// Number of the file's inode; 0 for anonymous memory.
    pub inode: u64,
    /// The mapped file, as the process sees it, or a name such as `[heap]`; empty for anonymous memory.
    pub name: String,
}

impl Region {
    /// Whether an address lies in it.
    pub fn holds(&self, address: u64) -> bool {
        (self.from..self.to).contains(&address)
    }

    /// Other processes may see what is written to it.
    pub fn is_shared(&self) -> bool {
        self.rights.ends_with('s')
    }

    /// What lies there may be executed.
    pub fn is_executable(&self) -> bool {
        self.rights.contains('x')
    }

    /// A file is mapped there.
    pub fn is_file(&self) -> bool {
        self.name.starts_with('/')
    }
}

/// The memory of a process, by address.
///
/// # Errors
/// When the process has ended, or may not be looked at.
pub fn regions(pid: Pid) -> Result<Vec<Region>, ProcError> {
    let path = PathBuf::from(format!("/proc/{pid}/maps"));
    let text = fs::read(&path).map_err(|source| proc_error(pid, &path, source))?;
    Ok(parse(&String::from_utf8_lossy(&text)))
}

/// The mappings of a process.
///
/// # Errors
/// When the process has ended, or may not be looked at.
pub fn mappings(pid: Pid) -> Result<Mappings, ProcError> {
    Ok(summary(&regions(pid)?))
}

fn parse(text: &str) -> Vec<Region> {
    text.lines().filter_map(parse_line).collect()
}

/// `55d0c0000000-55d0c0001000 r--p 00000000 fe:00 12   /usr/bin/a server`
fn parse_line(line: &str) -> Option<Region> {
    let (bounds, rest) = line.split_once(' ')?;
    let (from, to) = bounds.split_once('-')?;
    let mut fields = rest.splitn(5, ' ');
    let rights = fields.next()?.to_owned();
    let offset = fields.next()?;
    let inode = fields.nth(1)?;
    let hex = |digits| u64::from_str_radix(digits, 16).ok();
    Some(Region {
        from: hex(from)?,
        to: hex(to)?,
        rights,
        offset: hex(offset)?,
        inode: inode.parse().ok()?,
        name: fields.next().unwrap_or_default().trim().to_owned(),
    })
}

fn summary(regions: &[Region]) -> Mappings {
    let mut mappings = Mappings::default();
    let mut guard_ends = None;
    for region in regions {
        let size = region.to.saturating_sub(region.from);
        let anonymous = region.name.is_empty();
        mappings.stacks += usize::from(
            region.rights == "rw-p" && anonymous && size >= STACK && guard_ends == Some(region.from),
        );
        guard_ends = (region.rights == "---p" && anonymous && size <= GUARD).then_some(region.to);
        if region.is_executable()
            && region.is_file()
            && let Some(file) = region.name.rsplit('/').next()
        {
            mappings.code.insert(file.to_owned());
        }
    }
    mappings
}

/// Reads a text as `/proc/PID/maps`.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_any(text: &[u8]) {
    let _mappings = summary(&parse(&String::from_utf8_lossy(text)));
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
        let mappings = summary(&parse(text));
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
