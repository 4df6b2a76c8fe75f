//! Asks the kernel, and loads and attaches every program for a moment.

use std::path::Path;

use anyhow::Result;

use super::diagnosis::{Check, Diagnosis, Group, State};
use crate::{
    cli::privileges,
    platform::{
        caps::{Capability, Privileges},
        kernel::{KernelFacts, Lockdown},
    },
    probe::{AttachError, Hook, Options, PLAN, Probe, RunStats, Session, Tier, When, fentry_works},
};

/// Kinds of performance events, as the kernel shows them to everybody (`perf_event_open(2)`).
const EVENT_SOURCES: &str = "/sys/bus/event_source/devices";

/// Finds out what works here. Nothing stays attached.
pub fn examine() -> Result<Diagnosis> {
    let kernel = KernelFacts::read()?;
    let privileges = Privileges::read()?;
    let mut checks = machine(&kernel, &privileges);
    if checks.iter().any(|check| check.required && check.state == State::Missing) {
        checks.extend(PLAN.iter().map(|probe| probe_check(probe, State::NotTried, None)));
    } else {
        checks.extend(probes(&kernel, &privileges));
    }
    checks.extend(extras());
    Ok(Diagnosis::new(kernel, privileges, checks))
}

/// A check that is passed, or says why not and what it takes.
fn fact(group: Group, name: &str, gives: String, required: bool, failed: Option<(String, String)>) -> Check {
    let state = if failed.is_some() { State::Missing } else { State::Available };
    let (why, takes) = failed.unzip();
    Check { group, name: name.to_owned(), gives, state, required, why, takes, lacks: Vec::new(), lost: "" }
}

fn machine(kernel: &KernelFacts, privileges: &Privileges) -> Vec<Check> {
    let machine = |name, gives, failed| fact(Group::Machine, name, gives, true, failed);
    let architecture = kernel
        .check_architecture()
        .err()
        .map(|error| (error.to_string(), "run it on an x86_64 machine".to_owned()));
    let btf = (!kernel.btf).then(|| {
        (
            "the kernel does not show its types".to_owned(),
            "boot a kernel built with CONFIG_DEBUG_INFO_BTF".to_owned(),
        )
    });
    let lockdown = (kernel.lockdown == Lockdown::Confidentiality).then(|| {
        (
            "the kernel is locked against being read".to_owned(),
            "boot without lockdown=confidentiality".to_owned(),
        )
    });
    let namespace = (kernel.first_pid_namespace == Some(false)).then(|| {
        (
            "process ids here are not those of the kernel".to_owned(),
            "run whywait on the host, or in a container that shares its process ids (--pid=host)".to_owned(),
        )
    });
    let missing = privileges.missing_for_tracing();
    let tracing = (!missing.is_empty())
        .then(|| (format!("no {}", privileges::names(&missing)), privileges::REMEDY.to_owned()));
    let locked = match kernel.lockdown {
        Lockdown::Unknown | Lockdown::None => "the kernel is not locked",
        Lockdown::Integrity => "the kernel is locked against changes only",
        Lockdown::Confidentiality => "the kernel may be read",
    };
    vec![
        machine("kernel", format!("Linux {}", kernel.release), None),
        machine("architecture", format!("programs for x86_64; this is {}", kernel.arch), architecture),
        machine("BTF", "the kernel's own types, to find its fields".to_owned(), btf),
        machine("lockdown", locked.to_owned(), lockdown),
        machine("process ids", "process ids are the kernel's own".to_owned(), namespace),
        machine("privileges", held(privileges), tracing),
        others_sockets(privileges),
        tracefs(kernel, privileges),
    ]
}

/// What of it is held, in words.
fn held(privileges: &Privileges) -> String {
    let held: Vec<Capability> = Capability::ALL.into_iter().filter(|one| privileges.has(*one)).collect();
    let user = if privileges.is_root() { "root" } else { "not root" };
    let names = held.iter().map(Capability::to_string).collect::<Vec<_>>().join(", ");
    if held.is_empty() {
        format!("{user}, without any capability for tracing")
    } else {
        format!("{user}, with {names}")
    }
}

fn others_sockets(privileges: &Privileges) -> Check {
    let missing = privileges.missing_for_sockets();
    let failed = (!missing.is_empty()).then(|| {
        let names = privileges::names(&missing);
        (format!("no {names}"), format!("add {names}, or name the process with --pid"))
    });
    let gives = "ports of other users' processes, and --port for them".to_owned();
    let lost = "the ports of other users' processes";
    Check { lost, lacks: missing, ..fact(Group::Machine, "sockets", gives, false, failed) }
}

fn tracefs(kernel: &KernelFacts, privileges: &Privileges) -> Check {
    let failed = match &kernel.tracefs {
        Some(path) if path.join("events").is_dir() => None,
        Some(path) => Some(format!("{} may not be read", path.display())),
        None => Some("not mounted".to_owned()),
    };
    let gives = "the numbers of tracepoints that are attached by number: those of accept".to_owned();
    let check = fact(Group::Machine, "tracefs", gives, false, failed.map(|why| (why, String::new())));
    with_tracefs_remedy(check, kernel, privileges)
}

/// What a check takes that failed for want of tracefs.
fn with_tracefs_remedy(check: Check, kernel: &KernelFacts, privileges: &Privileges) -> Check {
    if check.state != State::Missing {
        return check;
    }
    let (takes, lacks) = match kernel.tracefs {
        None => (MOUNT_TRACEFS, Vec::new()),
        // It is mounted for root only (mode 0700).
        Some(_) if !privileges.allows(Capability::DacReadSearch) => {
            ("add CAP_DAC_READ_SEARCH", vec![Capability::DacReadSearch])
        }
        Some(_) => ("see whether it may be read: ls /sys/kernel/tracing/events", Vec::new()),
    };
    Check { takes: Some(takes.to_owned()), lacks, lost: ACCEPT, ..check }
}

/// What the samples take.
fn with_event_remedy(mut check: Check, kernel: &KernelFacts, privileges: &Privileges) -> Check {
    let closed = kernel.perf_event_paranoid.is_some_and(|level| level >= CLOSED);
    if check.state == State::Missing && closed && !privileges.has(Capability::SysAdmin) {
        check.takes = Some(OPEN_EVENTS.to_owned());
        check.lacks.push(Capability::SysAdmin);
    }
    check
}

/// What a tracepoint takes that could not be attached: its number is in tracefs, and is then used as a performance event.
fn with_tracepoint_remedy(check: Check, kernel: &KernelFacts, privileges: &Privileges) -> Check {
    let mut check = with_tracefs_remedy(check, kernel, privileges);
    let closed = kernel.perf_event_paranoid.is_some_and(|level| level >= CLOSED);
    if check.state == State::Missing && closed && !privileges.has(Capability::SysAdmin) {
        let readable = kernel.tracefs.is_some() && check.lacks.is_empty();
        let first =
            check.takes.take().filter(|_| !readable).map_or_else(String::new, |takes| format!("{takes}; "));
        check.takes = Some(format!("{first}{OPEN_EVENTS}"));
        check.lacks.push(Capability::SysAdmin);
    }
    check
}

/// A level of `kernel.perf_event_paranoid` that Debian's and Ubuntu's kernels add, and Debian's have by default: performance
/// events are then for `CAP_SYS_ADMIN` only, whoever has `CAP_PERFMON`.
const CLOSED: i32 = 3;
const OPEN_EVENTS: &str = "add CAP_SYS_ADMIN, or set kernel.perf_event_paranoid to 2, as from 3 on this kernel keeps \
                           performance events from CAP_PERFMON";
const MOUNT_TRACEFS: &str = "mount it: mount -t tracefs nodev /sys/kernel/tracing";
const ACCEPT: &str = "the moment of accept";

/// Every program of the plan.
fn probes(kernel: &KernelFacts, privileges: &Privileges) -> Vec<Check> {
    let mut session = match Session::attach(Options::default()) {
        Ok(session) => session,
        Err(error) => return refused(&error),
    };
    let mut checks = attached(&session, kernel, privileges, |_| true);
    checks.push(counting(&mut session));
    drop(session);
    let wanted = |probe: &Probe| probe.when == When::Syscalls;
    if !checks.iter().any(|check| check.name == "sys_enter") {
        match Session::attach(Options { syscalls: true, ..Options::default() }) {
            Ok(session) => checks.extend(attached(&session, kernel, privileges, wanted)),
            Err(error) => {
                let failed = |probe| probe_check(probe, State::Missing, Some(error.to_string()));
                checks.extend(PLAN.iter().filter(|probe| wanted(probe)).map(failed));
            }
        }
    }
    let tried: Vec<String> = checks.iter().map(|check| check.name.clone()).collect();
    let rest = PLAN.iter().filter(|probe| !tried.iter().any(|name| name == probe.name));
    checks.extend(rest.map(|probe| probe_check(probe, State::NotTried, None)));
    checks.push(own_cost(privileges));
    checks
}

/// What a session has of the programs that are asked for.
fn attached(
    session: &Session,
    kernel: &KernelFacts,
    privileges: &Privileges,
    wanted: impl Fn(&Probe) -> bool,
) -> Vec<Check> {
    let capabilities = session.capabilities().iter().filter(|capability| wanted(&capability.probe));
    capabilities
        .map(|capability| {
            let state = if capability.failure.is_some() { State::Missing } else { State::Available };
            let mut check = probe_check(&capability.probe, state, capability.failure.clone());
            check.required |= session.mode().sockets_by_syscall && capability.probe.when == When::Syscalls;
            match capability.probe.hook {
                Hook::Tracepoint(_) => with_tracepoint_remedy(check, kernel, privileges),
                Hook::Sampler => with_event_remedy(check, kernel, privileges),
                Hook::BtfTracepoint | Hook::Iterator(_) => check,
            }
        })
        .collect()
}

/// The session did not come up: one program is the reason, or none.
fn refused(error: &AttachError) -> Vec<Check> {
    let name_of_failed = if let AttachError::Program { name, .. } = error { name } else { "" };
    let mut checks: Vec<Check> = PLAN
        .iter()
        .map(|probe| match error {
            AttachError::Program { why, remedy, .. } if probe.name == name_of_failed => {
                let check = probe_check(probe, State::Missing, Some(why.clone()));
                Check { required: true, takes: Some((*remedy).to_owned()), ..check }
            }
            _ => probe_check(probe, State::NotTried, None),
        })
        .collect();
    if name_of_failed.is_empty() {
        let failed = (error.to_string(), "run whywait as root, or see why the kernel refuses".to_owned());
        checks.push(fact(Group::Machine, "eBPF", "to load programs".to_owned(), true, Some(failed)));
    }
    checks
}

fn probe_check(probe: &Probe, state: State, why: Option<String>) -> Check {
    let (group, lost) = place(probe);
    let takes = (state == State::Missing).then(|| format!("Linux {} or later has it", probe.since));
    let gives = match probe.when {
        When::Syscalls => format!("with --syscalls: {}", probe.gives),
        _ => probe.gives.to_owned(),
    };
    let required = probe.tier == Tier::Required;
    Check { group, name: probe.name.to_owned(), gives, state, required, why, takes, lacks: Vec::new(), lost }
}

/// Where a program belongs, and what is lost without it in few words.
fn place(probe: &Probe) -> (Group, &'static str) {
    let brief = probe.gives.split_once(',').map_or(probe.gives, |(brief, _)| brief);
    match probe.name {
        "sys_exit_accept" | "sys_exit_accept4" => (Group::Arrival, ACCEPT),
        "sk_data_ready" | "tcp_probe" => (Group::Arrival, brief),
        "inet_sock_set_state" | "sock_recv_length" | "sock_send_length" | "walk_files" => {
            (Group::Requests, brief)
        }
        "contention_begin" | "contention_end" => (Group::Locks, brief),
        name if name.starts_with("sched_") || name == "walk_tasks" => (Group::Waits, brief),
        _ => (Group::Detail, brief),
    }
}

/// Whether system calls can be counted for a slice of a run.
fn counting(session: &mut Session) -> Check {
    let takes = "Linux 5.11 or later has it".to_owned();
    let failed = session.count_syscalls().err().map(|why| (why, takes));
    session.stop_counting_syscalls();
    let gives = "the number of system calls, counted in a slice of the run".to_owned();
    Check {
        lost: "the number of system calls",
        ..fact(Group::Detail, "count_syscalls", gives, false, failed)
    }
}

/// Whether the kernel tells what the programs cost.
fn own_cost(privileges: &Privileges) -> Check {
    let gives = "what whywait's programs themselves cost".to_owned();
    let (failed, lacks) = if privileges.has(Capability::SysAdmin) {
        (RunStats::enable().err().map(|why| (why, "Linux 5.8 or later has it".to_owned())), Vec::new())
    } else {
        (Some(("no CAP_SYS_ADMIN".to_owned(), "add CAP_SYS_ADMIN".to_owned())), vec![Capability::SysAdmin])
    };
    Check {
        lost: "what its programs cost",
        lacks,
        ..fact(Group::Detail, "run statistics", gives, false, failed)
    }
}

/// What whywait does without on every kernel.
fn extras() -> Vec<Check> {
    let source = |kind: &str| {
        let there = Path::new(EVENT_SOURCES).join(kind).exists();
        if there { Ok(()) } else { Err("this kernel or machine has none".to_owned()) }
    };
    let kinds = [
        ("kprobe", "kernel functions as hooks (kprobes); whywait needs tracepoints only", source("kprobe")),
        ("fentry", "kernel functions as hooks (fentry); whywait needs tracepoints only", fentry_works()),
        ("uprobe", "user-space functions as hooks (uprobes)", source("uprobe")),
        ("cpu", "hardware counters", source("cpu")),
    ];
    let checks = kinds.map(|(kind, gives, there)| {
        let failed = there.err().map(|why| (why, String::new()));
        let check = fact(Group::Extras, kind, gives.to_owned(), false, failed);
        Check { takes: None, ..check }
    });
    checks.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program that is added to the plan must say something in the verdict.
    #[test]
    fn every_program_has_a_place() {
        for probe in PLAN {
            let (_, lost) = place(probe);
            assert!(!lost.is_empty() && !lost.contains(','), "{}", probe.name);
        }
    }

    /// The program that the kernel refuses is the reason, and the others are not blamed.
    #[test]
    fn a_refusal_is_laid_at_one_door() {
        let error = AttachError::Program {
            name: "sched_switch",
            gives: "time",
            why: "Operation not permitted".to_owned(),
            remedy: "run it as root",
        };
        let checks = refused(&error);
        let missing: Vec<_> = checks.iter().filter(|check| check.state == State::Missing).collect();
        assert_eq!(missing.len(), 1);
        assert!(missing[0].name == "sched_switch" && missing[0].required);
        assert_eq!(missing[0].takes.as_deref(), Some("run it as root"));
    }
}
