//! What is executable in a process's memory.

use std::{path::PathBuf, time::Instant};

use crate::{
    platform::mappings::{Region, regions},
    units::Pid,
};

/// What an executable mapping is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file, by its path in the process's own view, without what the kernel adds to that of a deleted one.
    File(PathBuf),
    /// The code that the kernel gives each process.
    Vdso,
    /// Memory that the process filled itself.
    Memory,
}

/// An executable mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Its first address.
    pub start: u64,
    /// The address behind its last.
    pub end: u64,
    /// Where it begins in the file.
    pub offset: u64,
    /// Number of the file's inode.
    pub inode: u64,
    /// What it is of.
    pub source: Source,
}

/// Executable mappings of a process, by address.
#[derive(Clone, Debug)]
pub struct Mappings {
    list: Vec<Mapping>,
    /// When they were read.
    pub read: Instant,
}

impl Mappings {
    /// Reads them; `None` when the process is gone or may not be read.
    pub fn of(pid: Pid) -> Option<Self> {
        let list: Vec<Mapping> = regions(pid)
            .ok()?
            .into_iter()
            .filter(Region::is_executable)
            .map(|region| {
                let source = match region.name.as_str() {
                    "[vdso]" => Source::Vdso,
                    path if region.is_file() => Source::File(without_mark(path)),
                    _ => Source::Memory,
                };
                let Region { from: start, to: end, offset, inode, .. } = region;
                Mapping { start, end, offset, inode, source }
            })
            .collect();
        (!list.is_empty()).then(|| Self { list, read: Instant::now() })
    }

    /// This one alone.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn of_one(mapping: Mapping) -> Self {
        Self { list: vec![mapping], read: Instant::now() }
    }

    /// The mapping in which an address lies.
    pub fn at(&self, address: u64) -> Option<&Mapping> {
        let index = self.list.partition_point(|mapping| mapping.end <= address);
        self.list.get(index).filter(|mapping| mapping.start <= address)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Mapping> {
        self.list.iter()
    }
}

/// The path of a deleted file as it was.
fn without_mark(path: &str) -> PathBuf {
    PathBuf::from(path.strip_suffix(" (deleted)").unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This test's own code is in the file that is run.
    #[test]
    fn an_address_lies_in_its_file() {
        let mappings = Mappings::of(Pid(std::process::id())).unwrap();
        let own = an_address_lies_in_its_file as fn() as usize as u64;
        let mapping = mappings.at(own).unwrap();
        assert_eq!(mapping.source, Source::File(std::env::current_exe().unwrap()));
        assert!(mapping.start <= own && own < mapping.end);
        assert_eq!(mappings.at(1), None);
    }
}
