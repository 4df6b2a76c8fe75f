//! Which programs to load on this kernel, and what is lost without one. Pure.

use serde::{Deserialize, Serialize};

/// How much depends on a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Without it there is no answer.
    Required,
    /// Without it something named is lost.
    Optional,
}

/// How a program hooks in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Hook {
    /// A BTF tracepoint of the program's name.
    BtfTracepoint,
    /// A perf tracepoint of this category and the program's name; needs tracefs.
    Tracepoint(&'static str),
    /// A BPF iterator of this kind.
    Iterator(&'static str),
    /// A performance event on each CPU: the software clock.
    Sampler,
}

/// When a program is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Always.
    Always,
    /// When sockets are watched by their own tracepoints.
    SocketTracepoints,
    /// When the kernel has `sk_data_ready`.
    DataReady,
    /// When it has not.
    NoDataReady,
    /// When system calls are traced one by one.
    Syscalls,
    /// When they are not.
    NoSyscalls,
    /// When stacks are taken.
    Stacks,
}

/// A program of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Probe {
    /// Its name, and that of its tracepoint.
    pub name: &'static str,
    /// How it hooks in.
    pub hook: Hook,
    /// How much depends on it.
    pub tier: Tier,
    /// When it is wanted.
    pub when: When,
    /// First kernel that has the hook.
    pub since: &'static str,
    /// What it gives; what is lost without it.
    pub gives: &'static str,
}

const fn required(name: &'static str, since: &'static str, gives: &'static str) -> Probe {
    Probe { name, hook: Hook::BtfTracepoint, tier: Tier::Required, when: When::Always, since, gives }
}

const fn optional(name: &'static str, when: When, since: &'static str, gives: &'static str) -> Probe {
    Probe { name, hook: Hook::BtfTracepoint, tier: Tier::Optional, when, since, gives }
}

/// Every program, in the order in which they are attached: who is traced is decided last.
pub const PLAN: &[Probe] = &[
    required("sched_switch", "5.18", "time on and off the CPU"),
    required("sched_waking", "5.11", "who wakes whom"),
    optional(
        "sched_wakeup",
        When::Always,
        "5.11",
        "the delay of wake-ups between CPUs, apart from the run queue",
    ),
    required("inet_sock_set_state", "5.11", "connections opened and closed"),
    optional("sk_data_ready", When::DataReady, "6.3", "the arrival of requests"),
    optional("tcp_probe", When::NoDataReady, "5.11", "the arrival of requests"),
    optional(
        "sock_recv_length",
        When::SocketTracepoints,
        "6.3",
        "reads by io_uring, and other reads of sockets without tracing system calls",
    ),
    optional(
        "sock_send_length",
        When::SocketTracepoints,
        "6.3",
        "writes by io_uring, and other writes to sockets without tracing system calls",
    ),
    optional("contention_begin", When::Always, "5.19", "waits for kernel locks"),
    optional("contention_end", When::Always, "5.19", "waits for kernel locks"),
    Probe {
        name: "sys_exit_accept",
        hook: Hook::Tracepoint("syscalls"),
        tier: Tier::Optional,
        when: When::NoSyscalls,
        since: "5.11",
        gives: "the moment of accept, which parts the accept queue from the receive queue",
    },
    Probe {
        name: "sys_exit_accept4",
        hook: Hook::Tracepoint("syscalls"),
        tier: Tier::Optional,
        when: When::NoSyscalls,
        since: "5.11",
        gives: "the moment of accept4, which parts the accept queue from the receive queue",
    },
    optional("sys_enter", When::Syscalls, "5.11", "the time of each system call"),
    optional("sys_exit", When::Syscalls, "5.11", "the number of system calls"),
    optional("task_rename", When::Always, "5.11", "names that threads give themselves later"),
    required("sched_process_exec", "5.11", "other programs that a process executes"),
    required("sched_process_exit", "5.11", "the end of threads"),
    required("sched_wakeup_new", "5.11", "new threads and processes"),
    optional(
        "task_newtask",
        When::Always,
        "5.11",
        "new threads for which the kernel has no memory at hand at once",
    ),
    Probe {
        name: "sample_cpu",
        hook: Hook::Sampler,
        tier: Tier::Optional,
        when: When::Stacks,
        since: "5.11",
        gives: "the functions that run on a CPU",
    },
    Probe {
        name: "walk_files",
        hook: Hook::Iterator("task_file"),
        tier: Tier::Optional,
        when: When::Always,
        since: "5.11",
        gives: "connections and listeners that are open before whywait attaches",
    },
    Probe {
        name: "walk_tasks",
        hook: Hook::Iterator("task"),
        tier: Tier::Required,
        when: When::Always,
        since: "5.11",
        gives: "threads that are there before whywait attaches",
    },
];

/// What the kernel has, as far as the plan asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// `sock_recv_length` and `sock_send_length`.
    pub socket_tracepoints: bool,
    /// `sk_data_ready`.
    pub data_ready: bool,
}

/// How the kernel is to be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mode {
    /// System calls are traced one by one.
    pub syscalls: bool,
    /// Socket operations are taken from system calls.
    pub sockets_by_syscall: bool,
    /// Stacks are taken.
    pub stacks: bool,
}

impl Mode {
    /// The mode for this kernel and these wishes: without socket tracepoints, system calls are the only way.
    /// Stacks are taken unless somebody says otherwise.
    pub fn choose(facts: Facts, syscalls: bool, sockets_by_syscall: bool) -> Self {
        let sockets_by_syscall = sockets_by_syscall || !facts.socket_tracepoints;
        Self { syscalls: syscalls || sockets_by_syscall, sockets_by_syscall, stacks: true }
    }

    /// Whether a program is wanted.
    pub fn wants(self, probe: &Probe, facts: Facts) -> bool {
        match probe.when {
            When::Always => true,
            When::SocketTracepoints => !self.sockets_by_syscall,
            When::DataReady => facts.data_ready,
            When::NoDataReady => !facts.data_ready,
            When::Syscalls => self.syscalls,
            When::NoSyscalls => !self.syscalls,
            When::Stacks => self.stacks,
        }
    }
}

/// What became of a program.
#[derive(Clone, Debug, Serialize)]
pub struct Capability {
    /// The program.
    pub probe: Probe,
    /// Why it is not attached; `None` when it is.
    pub failure: Option<String>,
}

/// The same in words, which a recording keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Name of the hook.
    pub hook: String,
    /// What it gives; what is lost without it.
    pub gives: String,
    /// Why it is not attached; `None` when it is.
    pub failure: Option<String>,
}

impl From<&Capability> for Outcome {
    fn from(capability: &Capability) -> Self {
        let Capability { probe, failure } = capability;
        Self { hook: probe.name.to_owned(), gives: probe.gives.to_owned(), failure: failure.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(facts: Facts, mode: Mode) -> Vec<&'static str> {
        PLAN.iter().filter(|probe| mode.wants(probe, facts)).map(|probe| probe.name).collect()
    }

    #[test]
    fn a_new_kernel_needs_no_system_call_tracing() {
        let facts = Facts { socket_tracepoints: true, data_ready: true };
        let names = names(facts, Mode::choose(facts, false, false));
        assert!(names.contains(&"sock_recv_length") && names.contains(&"sk_data_ready"));
        assert!(!names.contains(&"sys_enter") && !names.contains(&"tcp_probe"));
    }

    #[test]
    fn an_old_kernel_takes_sockets_from_system_calls() {
        let facts = Facts { socket_tracepoints: false, data_ready: false };
        let names = names(facts, Mode::choose(facts, false, false));
        assert!(names.contains(&"sys_exit") && names.contains(&"tcp_probe"));
        assert!(!names.contains(&"sock_recv_length") && !names.contains(&"sys_exit_accept"));
    }
}
