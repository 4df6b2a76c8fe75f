//! whywait as a user who is not root, and who has chosen capabilities.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::fs::{XattrFlags, setxattr};
use tempfile::TempDir;

use crate::binaries;

/// A user who owns nothing (`nobody` on Debian), and whose processes nobody has started but these tests.
const NOBODY: &str = "65534";

/// A capability, by its name for `setpriv` and its number in `linux/capability.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cap {
    /// `CAP_DAC_READ_SEARCH`.
    DacReadSearch = 2,
    /// `CAP_SYS_PTRACE`.
    SysPtrace = 19,
    /// `CAP_SYS_ADMIN`.
    SysAdmin = 21,
    /// `CAP_PERFMON`.
    Perfmon = 38,
    /// `CAP_BPF`.
    Bpf = 39,
}

impl Cap {
    fn name(self) -> &'static str {
        match self {
            Self::DacReadSearch => "dac_read_search",
            Self::SysPtrace => "sys_ptrace",
            Self::SysAdmin => "sys_admin",
            Self::Perfmon => "perfmon",
            Self::Bpf => "bpf",
        }
    }
}

/// These capabilities as the kernel writes a set of them (`CapEff` in `proc_pid_status(5)`).
pub fn cap_set(caps: &[Cap]) -> u64 {
    caps.iter().fold(0, |set, cap| set | 1 << *cap as u64)
}

/// A directory that other users may enter and read.
pub fn open_dir() -> TempDir {
    let dir = tempfile::tempdir().expect("making a directory");
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("opening a directory to all");
    dir
}

/// A directory of that user's, with a copy of whywait that the user may execute: the build directory may be closed to others.
#[derive(Debug)]
pub struct User {
    dir: TempDir,
}

impl User {
    /// Makes the directory and the copy.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("making a directory");
        let user = Self { dir };
        fs::set_permissions(user.dir.path(), Permissions::from_mode(0o777))
            .expect("opening a directory to all");
        fs::copy(binaries::whywait(), user.program()).expect("copying whywait");
        fs::set_permissions(user.program(), Permissions::from_mode(0o755)).expect("opening a program to all");
        user
    }

    fn program(&self) -> PathBuf {
        self.dir.path().join("whywait")
    }

    /// `whywait ARGS` by that user, with exactly these capabilities.
    pub fn command(&self, caps: &[Cap], args: &[&str]) -> Command {
        let set = caps.iter().fold("-all".to_owned(), |set, cap| set + ",+" + cap.name());
        let mut command = self.setpriv();
        for kind in ["--bounding-set", "--inh-caps", "--ambient-caps"] {
            command.args([kind, &set]);
        }
        command.arg("--").arg(self.program()).args(args);
        command
    }

    /// `whywait ARGS` by that user, who has no capability but what the file gives ([`give`](Self::give)).
    pub fn command_by_file(&self, args: &[&str]) -> Command {
        let mut command = self.setpriv();
        command.args(["--inh-caps", "-all", "--ambient-caps", "-all", "--"]).arg(self.program()).args(args);
        command
    }

    fn setpriv(&self) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]);
        // A change of the user takes back what ends the process with the test.
        command.args(["--pdeathsig", "KILL"]);
        command.env("TMPDIR", self.dir.path()).stdin(Stdio::null());
        command
    }

    /// What `setcap cap_…+ep` does to the program (`struct vfs_cap_data` in `linux/capability.h`).
    ///
    /// # Errors
    /// When the file system keeps no capabilities.
    pub fn give(&self, caps: &[Cap]) -> io::Result<()> {
        const REVISION_2: u32 = 0x0200_0000;
        const EFFECTIVE: u32 = 1;
        let set = cap_set(caps);
        let words = [REVISION_2 | EFFECTIVE, set as u32, 0, (set >> 32) as u32, 0];
        let value: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        setxattr(self.program(), "security.capability", &value, XattrFlags::empty())?;
        Ok(())
    }

    /// What is in the directory besides the program: what its runs have left behind.
    pub fn left_behind(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.dir.path()).expect("listing a directory");
        let paths = entries.map(|entry| entry.expect("listing a directory").path());
        paths.filter(|path| path.file_name() != Some(OsStr::new("whywait"))).collect()
    }
}

impl Default for User {
    fn default() -> Self {
        Self::new()
    }
}

/// User and effective capabilities of a process (`proc_pid_status(5)`).
pub fn credentials(pid: u32) -> (u32, u64) {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("reading status");
    let field = |name: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap_or_else(|| panic!("no {name} in {text}"));
        line.split_whitespace().next().expect("a value").to_owned()
    };
    let user = field("Uid:").parse().expect("a user");
    (user, u64::from_str_radix(&field("CapEff:"), 16).expect("a set of capabilities"))
}
