//! Options by which every command that measures takes its target.

use std::{ffi::OsString, path::PathBuf};

use crate::{platform::target::TargetSpec, probe::Options};

/// What to watch, and how.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct TargetArgs {
    /// Process to watch; may be given several times
    #[arg(short, long = "pid", value_name = "PID")]
    pub pid: Vec<u32>,
    /// Watch whoever listens on this TCP port
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// Watch every process in this control group, v1 or v2
    #[arg(long, value_name = "PATH")]
    pub cgroup: Option<PathBuf>,
    /// Leave child processes out
    #[arg(long)]
    pub no_children: bool,
    /// Where the output of a command that whywait starts goes; by default a new file in the temporary folder
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Trace every system call: exact counts and entry times, at a price (see docs/overhead.md)
    #[arg(long)]
    pub syscalls: bool,
    /// Take socket operations from system calls, as on kernels before 6.3
    #[arg(long, hide = true)]
    pub sockets_by_syscall: bool,
    /// Take no stacks: no functions in the report, and a little less cost (see docs/overhead.md)
    #[arg(long)]
    pub no_stacks: bool,
    /// Size of the kernel's buffer in MiB
    #[arg(long, value_name = "MIB", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub buffer: u32,
    /// Start this command and watch it from its first instruction
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

impl TargetArgs {
    /// The target as the user named it, and how to attach to it.
    pub fn into_parts(self) -> (TargetSpec, Options) {
        let options = Options {
            children: !self.no_children,
            syscalls: self.syscalls,
            sockets_by_syscall: self.sockets_by_syscall,
            stacks: !self.no_stacks,
            ring_bytes: self.buffer << 20,
        };
        let spec = TargetSpec {
            pids: self.pid,
            port: self.port,
            cgroup: self.cgroup,
            command: self.command,
            output: self.output,
            children: !self.no_children,
        };
        (spec, options)
    }
}
