//! What the kernel is and what it allows.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::btf::KERNEL_BTF;
use super::mounts::mounted;

/// Inode of the first PID namespace: `PROC_PID_INIT_INO` of `include/linux/proc_ns.h`.
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";

/// What is wrong with the kernel as a whole.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// Its version is not known.
    #[error(
        "cannot tell the kernel's version from `{release}` in /proc/sys/kernel/osrelease; is /proc mounted?"
    )]
    Version {
        /// What was read.
        release: String,
    },
    /// The programs are not made for this machine.
    #[error("whywait runs on x86_64, but this machine is {arch}; its probes read x86_64 registers")]
    Architecture {
        /// The machine.
        arch: &'static str,
    },
}

/// The first two numbers of a kernel's version. Distributions carry features back into older kernels, so this is a
/// hint, not a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct KernelVersion {
    /// The 6 of 6.18.44.
    pub major: u32,
    /// The 18 of 6.18.44.
    pub minor: u32,
}

impl KernelVersion {
    /// Reads it off a release such as `6.18.44-generic`.
    pub fn parse(release: &str) -> Option<Self> {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit());
        Some(Self { major: numbers.next()?.parse().ok()?, minor: numbers.next()?.parse().ok()? })
    }
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// How far the kernel is locked against its own root (`kernel_lockdown(7)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Lockdown {
    /// The kernel has no lockdown, or does not show it.
    Unknown,
    /// Not locked.
    None,
    /// It cannot be changed; reading it with eBPF is allowed.
    Integrity,
    /// It can be neither changed nor read: eBPF programs may not read kernel memory.
    Confidentiality,
}

/// What was found out about the kernel.
#[derive(Clone, Debug, Serialize)]
pub struct KernelFacts {
    /// Its full release, such as `6.18.44-generic`.
    pub release: String,
    /// Its version.
    pub version: KernelVersion,
    /// The machine's architecture.
    pub arch: &'static str,
    /// Whether it shows its own types.
    pub btf: bool,
    /// `kernel.perf_event_paranoid`: who may use performance events.
    pub perf_event_paranoid: Option<i32>,
    /// `kernel.unprivileged_bpf_disabled`: whether eBPF needs a capability (1 and 2: yes).
    pub unprivileged_bpf_disabled: Option<i32>,
    /// How far it is locked.
    pub lockdown: Lockdown,
    /// Where tracefs is mounted, if it is.
    pub tracefs: Option<PathBuf>,
    /// Whether process ids mean the same to us as to the kernel: eBPF programs see those of the first PID namespace, so
    /// that inside a container with its own, targets cannot be told by their ids. `None` if that is not known.
    pub first_pid_namespace: Option<bool>,
}

impl KernelFacts {
    /// Asks `/proc` and `/sys`.
    ///
    /// # Errors
    /// When the kernel's version is not known; everything else may be unknown.
    pub fn read() -> Result<Self, KernelError> {
        let release = text("/proc/sys/kernel/osrelease").unwrap_or_default();
        let Some(version) = KernelVersion::parse(&release) else {
            return Err(KernelError::Version { release });
        };
        let lockdown = text("/sys/kernel/security/lockdown");
        Ok(Self {
            release,
            version,
            arch: std::env::consts::ARCH,
            btf: Path::new(KERNEL_BTF).exists(),
            perf_event_paranoid: number("/proc/sys/kernel/perf_event_paranoid"),
            unprivileged_bpf_disabled: number("/proc/sys/kernel/unprivileged_bpf_disabled"),
            lockdown: lockdown.as_deref().map_or(Lockdown::Unknown, parse_lockdown),
            tracefs: choose_tracefs(mounted("tracefs")),
            first_pid_namespace: fs::read_link("/proc/self/ns/pid")
                .ok()
                .map(|link| link == Path::new(FIRST_PID_NAMESPACE)),
        })
    }

    /// Whether the probes are made for this machine.
    ///
    /// # Errors
    /// [`KernelError::Architecture`] when they are not.
    pub fn check_architecture(&self) -> Result<(), KernelError> {
        if self.arch == "x86_64" { Ok(()) } else { Err(KernelError::Architecture { arch: self.arch }) }
    }
}

fn text(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn number(path: &str) -> Option<i32> {
    text(path)?.parse().ok()
}

/// The choice in brackets of `none [integrity] confidentiality`.
fn parse_lockdown(text: &str) -> Lockdown {
    let chosen = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    match chosen.map(|(chosen, _)| chosen) {
        Some("none") => Lockdown::None,
        Some("integrity") => Lockdown::Integrity,
        Some("confidentiality") => Lockdown::Confidentiality,
        _ => Lockdown::Unknown,
    }
}

/// The usual place if it is among them, else the first.
fn choose_tracefs(mounts: Vec<PathBuf>) -> Option<PathBuf> {
    let usual = Path::new("/sys/kernel/tracing");
    let at = mounts.iter().position(|mount| mount == usual).unwrap_or(0);
    mounts.into_iter().nth(at)
}

/// Reads a text as a release, and as what the lockdown is.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_any(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    let _version = KernelVersion::parse(&text);
    let _lockdown = parse_lockdown(&text);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Releases as distributions write them.
    #[test]
    fn releases_have_versions() {
        for (release, major, minor) in [
            ("6.18.44-fc-v595", 6, 18),
            ("5.10.0-32-amd64", 5, 10),
            ("6.6-rc1", 6, 6),
            ("4.18.0-553.el8_10.x86_64", 4, 18),
        ] {
            assert_eq!(KernelVersion::parse(release), Some(KernelVersion { major, minor }), "{release}");
        }
        for release in ["", "linux", "6", "-6.1"] {
            assert_eq!(KernelVersion::parse(release), None, "{release}");
        }
        assert!(KernelVersion { major: 6, minor: 3 } < KernelVersion { major: 6, minor: 18 });
    }

    /// The choice is the word in brackets.
    #[test]
    fn lockdown_is_the_word_in_brackets() {
        assert_eq!(parse_lockdown("[none] integrity confidentiality"), Lockdown::None);
        assert_eq!(parse_lockdown("none [integrity] confidentiality"), Lockdown::Integrity);
        assert_eq!(parse_lockdown("none integrity [confidentiality]"), Lockdown::Confidentiality);
        assert_eq!(parse_lockdown("none"), Lockdown::Unknown);
    }

    /// The usual place wins over where debugfs mounts it again.
    #[test]
    fn the_usual_tracefs_is_preferred() {
        let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
        let both = paths(&["/sys/kernel/debug/tracing", "/sys/kernel/tracing"]);
        assert_eq!(choose_tracefs(both), Some("/sys/kernel/tracing".into()));
        assert_eq!(choose_tracefs(paths(&["/mnt"])), Some("/mnt".into()));
        assert_eq!(choose_tracefs(Vec::new()), None);
    }

    /// This machine's facts agree with what else is known about it.
    #[test]
    fn this_kernel_is_described() {
        let facts = KernelFacts::read().unwrap();
        assert!(facts.release.starts_with(&facts.version.to_string()));
        assert_eq!(facts.btf, Path::new(KERNEL_BTF).exists());
        assert_eq!(facts.check_architecture().is_ok(), cfg!(target_arch = "x86_64"));
        assert!(facts.tracefs.is_none_or(|path| path.is_dir()));
        assert!(facts.first_pid_namespace.is_some());
    }
}
