//! Which processes a run is about: from what the user names to process ids.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::cgroup::cgroup_members;
use super::launch::{LaunchError, Launched};
use super::proc::{ProcError, command_name, descendants_but, known_inside_as, process_of, stat};
use super::sockets::{listening_ports, tcp_listeners};
use crate::units::{Pid, Tid};

/// What the user names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetSpec {
    /// Processes by id.
    pub pids: Vec<u32>,
    /// Whoever listens on this TCP port.
    pub port: Option<u16>,
    /// Everybody in this control group.
    pub cgroup: Option<PathBuf>,
    /// A command to start; nothing else may be named with it.
    pub command: Vec<OsString>,
    /// Where the command's output goes; by default to a new temporary file.
    pub output: Option<PathBuf>,
    /// Whether what the named processes have started belongs to them.
    pub children: bool,
}

/// Processes to trace.
pub struct Resolved {
    /// Their ids, without duplicates: those named, in the order in which they were named, then the others.
    pub pids: Vec<Pid>,
    /// Processes that were named and are no more, where others of them are there.
    pub gone: Vec<Pid>,
    /// The name to show: that of the first process.
    pub command: String,
    /// The TCP ports that they listen on, ascending; without those of processes that may not be looked at.
    pub ports: Vec<u16>,
    /// The command that was started for this, still stopped before its first instruction.
    pub launched: Option<Launched>,
}

/// Why there is nothing to trace.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Nothing was named.
    #[error("no target was given; name one with --pid, --port or --cgroup, or give a command after `--`")]
    NoTarget,
    /// A command, and something that exists already.
    #[error("a command to start cannot be combined with --pid, --port or --cgroup; give one or the other")]
    CommandAndOthers,
    /// No process has this id.
    #[error("there is no process {pid}{}", hint(.inside))]
    NoProcess {
        /// The id.
        pid: Pid,
        /// Processes that have this id inside their container, by the ids that they have here.
        inside: Vec<Pid>,
    },
    /// The process has ended, but its parent has not collected it.
    #[error("process {pid} has ended and only waits for its parent to collect it; choose a running one")]
    Ended {
        /// The process.
        pid: Pid,
    },
    /// The id is that of a thread.
    #[error("{tid} is a thread of process {pid} ({command}), not a process; use --pid {pid}")]
    Thread {
        /// The id.
        tid: Tid,
        /// The process that the thread belongs to.
        pid: Pid,
        /// The process's name.
        command: String,
    },
    /// The only process named is whywait.
    #[error("process {pid} is whywait itself, which cannot watch itself; choose another one")]
    Ourselves {
        /// Our own id.
        pid: Pid,
    },
    /// No process listens on the port.
    #[error("nobody listens on TCP port {port}; start the server first, or name its process with --pid")]
    NobodyListens {
        /// The port.
        port: u16,
    },
    /// The control group has no processes.
    #[error("cgroup `{path}` has no processes, or none that are visible from here", path = path.display())]
    EmptyCgroup {
        /// The group as given.
        path: PathBuf,
    },
    /// The command cannot be started.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// The host does not tell.
    #[error(transparent)]
    Proc(#[from] ProcError),
}

/// What helps somebody who took an id from inside a container.
fn hint(inside: &[Pid]) -> String {
    match inside {
        [] => "; choose a running one".to_owned(),
        [one] => format!(" here, but process {one} has that id inside its container; use --pid {one}"),
        many => {
            let ids: Vec<String> = many.iter().map(Pid::to_string).collect();
            format!(
                " here, but these have that id inside their containers: {}; use one of them",
                ids.join(", ")
            )
        }
    }
}

/// Finds the processes that are meant, and starts the command if there is one (stopped: [`Launched::go`] lets it run).
///
/// # Errors
/// When nothing is named, or something named does not exist, is whywait itself, or may not be looked at.
pub fn resolve(spec: &TargetSpec) -> Result<Resolved, TargetError> {
    let others = !spec.pids.is_empty() || spec.port.is_some() || spec.cgroup.is_some();
    if !spec.command.is_empty() {
        return if others { Err(TargetError::CommandAndOthers) } else { launch(spec) };
    }
    if !others {
        return Err(TargetError::NoTarget);
    }
    let (mut pids, gone) = named(&spec.pids)?;
    if let Some(port) = spec.port {
        add(&mut pids, who_listens(port)?);
    }
    if spec.children {
        for pid in pids.clone() {
            // Our own children, such as a load generator, are not the server's.
            add(&mut pids, descendants_but(pid, Some(own())));
        }
    }
    if let Some(path) = &spec.cgroup {
        add(&mut pids, who_is_in(path)?);
    }
    let Some(&first) = pids.first() else { return Err(TargetError::NoTarget) };
    Ok(Resolved { command: command_name(first)?, ports: ports_of(&pids)?, pids, gone, launched: None })
}

/// Processes by id: those that are there, and those that are not. A list that was made a moment ago may hold the ids of short-lived children, which
/// are no reason to leave the others alone.
fn named(ids: &[u32]) -> Result<(Vec<Pid>, Vec<Pid>), TargetError> {
    let (mut pids, mut gone, mut first) = (Vec::new(), Vec::new(), None);
    for pid in ids.iter().map(|id| Pid(*id)) {
        match check_process(pid) {
            Ok(()) => add(&mut pids, [pid]),
            Err(error @ (TargetError::NoProcess { .. } | TargetError::Ended { .. })) => {
                add(&mut gone, [pid]);
                first.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    match first {
        Some(error) if pids.is_empty() => Err(error),
        _ => Ok((pids, gone)),
    }
}

fn own() -> Pid {
    Pid(std::process::id())
}

fn launch(spec: &TargetSpec) -> Result<Resolved, TargetError> {
    let launched = Launched::prepare(&spec.command, spec.output.as_deref())?;
    // The process still has our name.
    let command =
        Path::new(launched.program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Resolved {
        pids: vec![launched.pid()],
        gone: Vec::new(),
        command,
        ports: Vec::new(),
        launched: Some(launched),
    })
}

/// Checks that the id is that of a living process, and not of whywait.
fn check_process(pid: Pid) -> Result<(), TargetError> {
    if pid == own() {
        return Err(TargetError::Ourselves { pid });
    }
    match process_of(pid.main_thread()) {
        None => Err(TargetError::NoProcess { pid, inside: known_inside_as(pid) }),
        Some(process) if process == own() => Err(TargetError::Ourselves { pid: process }),
        Some(process) if process != pid => {
            Err(TargetError::Thread { tid: pid.main_thread(), pid: process, command: command_name(process)? })
        }
        Some(_) => {
            // A process whose first thread has ended lives on in its other threads.
            let alone = || super::proc::threads(pid).map_or(true, |threads| threads.len() == 1);
            if stat(pid)?.has_ended() && alone() { Err(TargetError::Ended { pid }) } else { Ok(()) }
        }
    }
}

/// The ports of those that let us look: a process that does not can be traced all the same.
fn ports_of(pids: &[Pid]) -> Result<Vec<u16>, ProcError> {
    let mut ports = match listening_ports(pids) {
        Err(ProcError::Permission { .. }) => Vec::new(),
        found => return found,
    };
    for pid in pids {
        match listening_ports(&[*pid]) {
            Ok(more) => ports.extend(more),
            Err(ProcError::Permission { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    ports.sort_unstable();
    ports.dedup();
    Ok(ports)
}

/// The port's listeners, oldest first.
fn who_listens(port: u16) -> Result<Vec<Pid>, TargetError> {
    let mut pids = tcp_listeners(port)?;
    // The service manager keeps the sockets of the services that it starts on demand; it is not the server.
    if pids.len() > 1 {
        pids.retain(|&pid| pid != Pid(1));
    }
    without_ourselves(&mut pids)?;
    if pids.is_empty() { Err(TargetError::NobodyListens { port }) } else { Ok(oldest_first(pids)) }
}

/// The group's members, oldest first.
fn who_is_in(path: &Path) -> Result<Vec<Pid>, TargetError> {
    let mut pids = cgroup_members(path)?;
    without_ourselves(&mut pids)?;
    if pids.is_empty() {
        Err(TargetError::EmptyCgroup { path: path.to_owned() })
    } else {
        Ok(oldest_first(pids))
    }
}

/// Leaves ourselves out, unless there is nobody else.
fn without_ourselves(pids: &mut Vec<Pid>) -> Result<(), TargetError> {
    if *pids == [own()] {
        return Err(TargetError::Ourselves { pid: own() });
    }
    pids.retain(|&pid| pid != own());
    Ok(())
}

/// The oldest is the one that started the others, whose name is the server's.
fn oldest_first(mut pids: Vec<Pid>) -> Vec<Pid> {
    pids.sort_by_cached_key(|&pid| (stat(pid).map_or(u64::MAX, |stat| stat.start_time_ticks), pid));
    pids
}

/// Appends those that are not there yet.
fn add(pids: &mut Vec<Pid>, more: impl IntoIterator<Item = Pid>) {
    for pid in more {
        if !pids.contains(&pid) {
            pids.push(pid);
        }
    }
}

#[cfg(test)]
mod tests;
