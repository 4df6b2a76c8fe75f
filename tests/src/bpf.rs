//! What of a process's eBPF is in the kernel.
//!
//! Identified by the ids that the process's descriptors have: another tracer may run on the machine at the same time.

use std::collections::BTreeSet;
use std::fs;
use std::mem::size_of;

/// Kinds of objects, with the `bpf` command that walks through their ids (`enum bpf_cmd` in `linux/bpf.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Programs.
    Program = 11,
    /// Maps.
    Map = 12,
    /// Links: programs that are attached.
    Link = 31,
}

/// Objects by kind and id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BpfObjects(BTreeSet<(Kind, u32)>);

impl BpfObjects {
    /// Those that a process holds open.
    pub fn held_by(pid: u32) -> Self {
        let mut objects = BTreeSet::new();
        for entry in fs::read_dir(format!("/proc/{pid}/fdinfo")).expect("listing descriptors") {
            // A descriptor can be closed meanwhile.
            let Ok(text) = fs::read_to_string(entry.expect("listing descriptors").path()) else { continue };
            for line in text.lines() {
                let Some((name, value)) = line.split_once(':') else { continue };
                let kind = match name {
                    "prog_id" => Kind::Program,
                    "map_id" => Kind::Map,
                    "link_id" => Kind::Link,
                    _ => continue,
                };
                objects.insert((kind, value.trim().parse().expect("an id")));
            }
        }
        Self(objects)
    }

    /// How many of a kind.
    pub fn count(&self, kind: Kind) -> usize {
        self.0.iter().filter(|(its, _)| *its == kind).count()
    }

    /// Those that the kernel still has.
    #[must_use]
    pub fn still_there(&self) -> Self {
        let present: BTreeSet<(Kind, u32)> = [Kind::Program, Kind::Map, Kind::Link]
            .into_iter()
            .flat_map(|kind| ids(kind).into_iter().map(move |id| (kind, id)))
            .collect();
        Self(self.0.intersection(&present).copied().collect())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The fields of `union bpf_attr` that these commands use.
#[repr(C)]
struct NextId {
    start_id: u32,
    successor: u32,
    open_flags: u32,
}

#[expect(unsafe_code, reason = "nobody wraps the walk through the kernel's eBPF objects")]
fn ids(kind: Kind) -> Vec<u32> {
    let mut found = Vec::new();
    let mut attr = NextId { start_id: 0, successor: 0, open_flags: 0 };
    loop {
        // SAFETY: the attribute is as long as stated and lives until the call returns; the command reads and writes
        // these three fields only.
        let result = unsafe { libc::syscall(libc::SYS_bpf, kind as i32, &raw mut attr, size_of::<NextId>()) };
        if result != 0 {
            let error = std::io::Error::last_os_error();
            assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "walking through eBPF objects: {error}");
            return found;
        }
        found.push(attr.successor);
        attr.start_id = attr.successor;
    }
}
