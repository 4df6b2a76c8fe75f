//! Which file systems are mounted where.

use std::path::PathBuf;

/// Mount points of file systems of this kind (`tracefs`, `cgroup2`, …), in the order in which they were mounted. None
/// when the mount table cannot be read.
pub fn mounted(kind: &str) -> Vec<PathBuf> {
    let table = procfs::process::Process::myself().and_then(|own| own.mountinfo());
    let mounts = table.into_iter().flatten();
    mounts.filter(|mount| mount.fs_type == kind).map(|mount| mount.mount_point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What every test machine has, and what none has.
    #[test]
    fn mounts_are_listed_by_kind() {
        assert!(mounted("proc").contains(&PathBuf::from("/proc")));
        assert!(mounted("no such file system").is_empty());
    }
}
