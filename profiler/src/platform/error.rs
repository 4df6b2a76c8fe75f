//! What can go wrong when the host is asked about its processes.

use std::io;
use std::path::{Path, PathBuf};

use crate::units::{Pid, Tid};

/// What it takes to see the descriptors and the network of another user's process: the one to list them, the other to
/// read what they are.
pub(super) const SOCKET_CAPABILITIES: &str = "CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH";

/// Why a fact about a process, its sockets or its cgroup cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ProcError {
    /// There is no such process, or it ended meanwhile.
    #[error("there is no process {0} (any more); choose a running one")]
    NoProcess(Pid),
    /// The process has no such thread, or it ended meanwhile.
    #[error("process {pid} has no thread {tid} (any more)")]
    NoThread {
        /// The process.
        pid: Pid,
        /// The thread.
        tid: Tid,
    },
    /// The system does not let us look.
    #[error("not allowed to read {what}; run whywait as root, or give it {capability}")]
    Permission {
        /// What was to be read.
        what: String,
        /// The capabilities that would allow it.
        capability: &'static str,
    },
    /// Somebody listens, but cannot be seen.
    #[error("somebody listens on port {port}, but lets nobody see who; name the process with --pid")]
    HiddenListener {
        /// The TCP port.
        port: u16,
    },
    /// There is no such cgroup.
    #[error("there is no cgroup `{path}`, neither as given nor under the cgroup mounts ({tried}); see /proc/PID/cgroup for a process's own", path = path.display())]
    NoCgroup {
        /// The cgroup as given.
        path: PathBuf,
        /// Where it was looked for.
        tried: String,
    },
    /// Anything else.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The kernel wrote something that is not understood.
    #[error("{path} has a content that is not understood; please report this with the kernel's version", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
    },
}

/// Whether the error says that what was asked about is gone. Files of an ended process that are still open answer with
/// `ESRCH`.
pub(super) fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

/// The error for a file of `/proc/PID` that cannot be read.
pub(super) fn proc_error(pid: Pid, path: &Path, source: io::Error) -> ProcError {
    if is_gone(&source) {
        ProcError::NoProcess(pid)
    } else if source.kind() == io::ErrorKind::PermissionDenied {
        ProcError::Permission { what: path.display().to_string(), capability: SOCKET_CAPABILITIES }
    } else {
        ProcError::Read { path: path.to_owned(), source }
    }
}
