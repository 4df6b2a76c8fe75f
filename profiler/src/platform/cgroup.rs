//! Which processes are in a control group, version 1 or 2 (`cgroups(7)`).

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::{ProcError, is_gone};
use super::mounts::mounted;
use super::proc::{process_of, read_ids};
use crate::units::{Pid, Tid};

/// The processes in the control group and in all groups below it, by id. The path is that of its directory, or one
/// below a mount of the cgroup file systems, as `/proc/PID/cgroup` shows it.
///
/// # Errors
/// [`ProcError::NoCgroup`] when there is no such group, [`ProcError::Permission`] when it may not be read.
pub fn cgroup_members(path: &Path) -> Result<Vec<Pid>, ProcError> {
    let mut pids = BTreeSet::new();
    let mut groups = vec![find_cgroup(path)?];
    while let Some(group) = groups.pop() {
        pids.extend(members_of(&group)?);
        match fs::read_dir(&group) {
            Ok(entries) => {
                let is_dir = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
                groups.extend(entries.flatten().filter(is_dir).map(|entry| entry.path()));
            }
            Err(error) if is_gone(&error) => {}
            Err(source) => return Err(cgroup_error(&group, source)),
        }
    }
    Ok(pids.into_iter().collect())
}

/// The directory of a control group.
///
/// # Errors
/// [`ProcError::NoCgroup`] when there is none, with where it was looked for.
pub fn find_cgroup(path: &Path) -> Result<PathBuf, ProcError> {
    let mut roots = vec![PathBuf::from("/sys/fs/cgroup"), PathBuf::from("/sys/fs/cgroup/unified")];
    for root in mounted("cgroup2").into_iter().chain(mounted("cgroup")) {
        if !roots.contains(&root) {
            roots.push(root);
        }
    }
    find_below(path, &roots)
}

fn find_below(path: &Path, roots: &[PathBuf]) -> Result<PathBuf, ProcError> {
    let is_cgroup = |dir: &PathBuf| dir.join("cgroup.procs").exists();
    let below = path.strip_prefix("/").unwrap_or(path);
    let candidates = std::iter::once(path.to_owned()).chain(roots.iter().map(|root| root.join(below)));
    candidates.into_iter().find(is_cgroup).ok_or_else(|| {
        let tried: Vec<String> = roots.iter().map(|root| root.display().to_string()).collect();
        ProcError::NoCgroup { path: path.to_owned(), tried: tried.join(", ") }
    })
}

/// The processes in this group itself.
fn members_of(group: &Path) -> Result<Vec<Pid>, ProcError> {
    let processes = group.join("cgroup.procs");
    match read_ids(&processes) {
        Ok(ids) => Ok(ids.into_iter().map(Pid).collect()),
        // A threaded group of version 2 only lists its threads.
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
            let threads = group.join("cgroup.threads");
            let ids = read_ids(&threads).map_err(|source| cgroup_error(&threads, source))?;
            Ok(ids.into_iter().filter_map(|id| process_of(Tid(id))).collect())
        }
        Err(source) => Err(cgroup_error(&processes, source)),
    }
}

fn cgroup_error(path: &Path, source: io::Error) -> ProcError {
    if source.kind() == io::ErrorKind::PermissionDenied {
        ProcError::Permission { what: path.display().to_string(), capability: "CAP_DAC_READ_SEARCH" }
    } else {
        ProcError::Read { path: path.to_owned(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Running;
    use super::*;

    /// Processes are gathered from the group and from all below it, without duplicates and unseen ones.
    #[test]
    fn members_are_gathered_from_a_tree() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("app.slice/inner");
        fs::create_dir_all(&inner).unwrap();
        fs::write(root.path().join("app.slice/cgroup.procs"), "30\n10\n0\n10\n").unwrap();
        fs::write(inner.join("cgroup.procs"), "20\n").unwrap();
        let roots = [root.path().join("missing"), root.path().to_owned()];
        let group = find_below(Path::new("/app.slice"), &roots).unwrap();
        assert_eq!(cgroup_members(&group).unwrap(), [Pid(10), Pid(20), Pid(30)]);
        assert_eq!(find_below(Path::new("app.slice/inner"), &roots).unwrap(), inner);
        let error = find_below(Path::new("nope"), &roots).unwrap_err().to_string();
        assert!(error.contains("`nope`") && error.contains("missing"), "{error}");
    }

    /// A real group: a child that is put into one is found in it and in the one above, by either kind of path.
    #[test]
    fn a_real_group_has_its_child() {
        let Some(root) = mounted("cgroup2")
            .into_iter()
            .chain(mounted("cgroup"))
            .find(|root| fs::create_dir(root.join(format!("whywait-test-{}", std::process::id()))).is_ok())
        else {
            eprintln!(
                "a_real_group_has_its_child: skipped, because no cgroup can be created here (needs root)"
            );
            return;
        };
        let name = format!("whywait-test-{}", std::process::id());
        let (outer, inner) = (root.join(&name), root.join(&name).join("inner"));
        let result = std::panic::catch_unwind(|| {
            assert_eq!(cgroup_members(&outer).unwrap(), []);
            fs::create_dir(&inner).unwrap();
            let child = Running::sleep();
            fs::write(inner.join("cgroup.procs"), child.pid().to_string()).unwrap();
            assert_eq!(cgroup_members(&outer).unwrap(), [child.pid()]);
            assert_eq!(cgroup_members(&Path::new("/").join(&name)).unwrap(), [child.pid()]);
            assert_eq!(cgroup_members(&Path::new(&name).join("inner")).unwrap(), [child.pid()]);
        });
        let _ = fs::remove_dir(&inner);
        let _ = fs::remove_dir(&outer);
        result.unwrap();
    }
}
