//! What this process is allowed to do (`capabilities(7)`).

use std::collections::BTreeSet;
use std::fmt;
use std::fs;

use caps::CapSet;
use serde::Serialize;

/// The capabilities that whywait can make use of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Capability {
    /// `CAP_BPF`: load eBPF programs and create maps.
    Bpf,
    /// `CAP_PERFMON`: let them read kernel memory and attach to tracepoints.
    Perfmon,
    /// `CAP_SYS_ADMIN`: both of these, and more.
    SysAdmin,
    /// `CAP_SYS_PTRACE`: look into other users' processes.
    SysPtrace,
    /// `CAP_DAC_READ_SEARCH`: read any file.
    DacReadSearch,
}

impl Capability {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Bpf, Self::Perfmon, Self::SysAdmin, Self::SysPtrace, Self::DacReadSearch];

    fn as_kernel(self) -> caps::Capability {
        match self {
            Self::Bpf => caps::Capability::CAP_BPF,
            Self::Perfmon => caps::Capability::CAP_PERFMON,
            Self::SysAdmin => caps::Capability::CAP_SYS_ADMIN,
            Self::SysPtrace => caps::Capability::CAP_SYS_PTRACE,
            Self::DacReadSearch => caps::Capability::CAP_DAC_READ_SEARCH,
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.as_kernel(), f)
    }
}

/// This process's effective privileges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Privileges {
    effective: BTreeSet<Capability>,
    root: bool,
}

/// The privileges cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read this process's own capabilities: {0}; is /proc mounted?")]
pub struct PrivilegesError(String);

impl Privileges {
    /// Asks the kernel for this thread's effective capabilities and user.
    ///
    /// # Errors
    /// When the kernel does not tell, which a strict seccomp filter can cause.
    pub fn read() -> Result<Self, PrivilegesError> {
        let held = caps::read(None, CapSet::Effective).map_err(|error| PrivilegesError(error.to_string()))?;
        let status =
            fs::read_to_string("/proc/self/status").map_err(|error| PrivilegesError(error.to_string()))?;
        let effective =
            Capability::ALL.into_iter().filter(|wanted| held.contains(&wanted.as_kernel())).collect();
        Ok(Self { effective, root: effective_user(&status) == Some(0) })
    }

    /// Whether this very capability is effective.
    pub fn has(&self, capability: Capability) -> bool {
        self.effective.contains(&capability)
    }

    /// Whether what the capability is for is allowed. `CAP_SYS_ADMIN` stands for `CAP_BPF` and `CAP_PERFMON`, which were
    /// split off from it in Linux 5.8.
    pub fn allows(&self, capability: Capability) -> bool {
        let split_off = matches!(capability, Capability::Bpf | Capability::Perfmon);
        self.has(capability) || (split_off && self.has(Capability::SysAdmin))
    }

    /// What is not allowed of what tracing needs, whoever's process it is: `CAP_BPF` to create maps and load programs,
    /// `CAP_PERFMON` to attach them to tracepoints and to read kernel memory.
    pub fn missing_for_tracing(&self) -> Vec<Capability> {
        self.missing([Capability::Bpf, Capability::Perfmon])
    }

    /// What is not allowed of what it takes to see the sockets of other users' processes. `/proc/PID/fd` can be listed by
    /// its owner only, and what its links name be read by who may trace the process (`proc_pid_fd(5)`).
    pub fn missing_for_sockets(&self) -> Vec<Capability> {
        self.missing([Capability::SysPtrace, Capability::DacReadSearch])
    }

    fn missing(&self, needed: [Capability; 2]) -> Vec<Capability> {
        needed.into_iter().filter(|&capability| !self.allows(capability)).collect()
    }

    /// Whether the effective user is root. In a container that alone allows little: the capabilities decide.
    pub fn is_root(&self) -> bool {
        self.root
    }
}

/// The second of the four user ids in `/proc/PID/status`.
fn effective_user(status: &str) -> Option<u32> {
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    ids.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(effective: &[Capability]) -> Privileges {
        Privileges { effective: effective.iter().copied().collect(), root: false }
    }

    /// `CAP_SYS_ADMIN` stands for what was split off from it, and for nothing else.
    #[test]
    fn sys_admin_includes_bpf_and_perfmon() {
        let admin = with(&[Capability::SysAdmin]);
        assert!(
            admin.allows(Capability::Bpf) && admin.allows(Capability::Perfmon) && !admin.has(Capability::Bpf)
        );
        assert!(admin.missing_for_tracing().is_empty());
        assert_eq!(admin.missing_for_sockets(), [Capability::SysPtrace, Capability::DacReadSearch]);
        assert_eq!(with(&[]).missing_for_tracing(), [Capability::Bpf, Capability::Perfmon]);
        assert_eq!(Capability::Bpf.to_string(), "CAP_BPF");
    }

    /// What is read agrees with the kernel's own bit mask.
    #[test]
    fn own_privileges_agree_with_proc() {
        let own = Privileges::read().unwrap();
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
        let mask = u64::from_str_radix(mask.trim(), 16).unwrap();
        // Numbers from include/uapi/linux/capability.h.
        for (capability, bit) in [
            (Capability::Bpf, 39),
            (Capability::Perfmon, 38),
            (Capability::SysAdmin, 21),
            (Capability::SysPtrace, 19),
            (Capability::DacReadSearch, 2),
        ] {
            assert_eq!(own.has(capability), mask >> bit & 1 == 1, "{capability}");
        }
        assert_eq!(effective_user("Uid:\t1000\t0\t0\t0\n"), Some(0));
    }
}
