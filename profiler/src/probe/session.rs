//! The programs, loaded and attached, for as long as this value lives.

use std::time::Duration;

use aya::{
    Btf as KernelBtf, Ebpf, EbpfLoader,
    maps::{MapError, RingBuf},
    programs::{Program, ProgramError, tp_btf::BtfTracePointLink},
};
use thiserror::Error;
use whywait_ebpf::abi::mode;

use super::{
    OBJECT,
    counted::Counted,
    maps::{self, Counters, KernelLockWaits, LockWaits, Loss, SyscallCount},
    offsets,
    plan::{Capability, Facts, Hook, Mode, PLAN, Probe, Tier, When},
    sampler, walk,
};
use crate::{
    platform::btf::{Btf, BtfError},
    units::Pid,
};

/// How to attach.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct Options {
    /// Child processes belong to the target.
    pub children: bool,
    /// Trace system calls one by one.
    pub syscalls: bool,
    /// Take socket operations from system calls even where the kernel has tracepoints for them.
    pub sockets_by_syscall: bool,
    /// Take stacks of threads that wait long, of those that wake them, and samples of those that run.
    pub stacks: bool,
    /// Size of the ring in bytes, rounded up to a power of two.
    pub ring_bytes: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            children: true,
            syscalls: false,
            sockets_by_syscall: false,
            stacks: true,
            ring_bytes: 16 << 20,
        }
    }
}

/// Why whywait cannot attach.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AttachError {
    /// No type information.
    #[error(
        "cannot read the kernel's type information: {0}; whywait needs a kernel built with CONFIG_DEBUG_INFO_BTF"
    )]
    Btf(#[from] BtfError),
    /// The object could not be loaded.
    #[error("cannot create whywait's maps in the kernel: {why}; {remedy}")]
    Load {
        /// What the kernel said.
        why: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A program that cannot be done without.
    #[error("cannot attach to {name}, which gives {gives}: {why}; {remedy}")]
    Program {
        /// The program.
        name: &'static str,
        /// What it is for.
        gives: &'static str,
        /// What the kernel said.
        why: String,
        /// What to do.
        remedy: &'static str,
    },
    /// An iterator failed.
    #[error("cannot walk over what is there already ({name}): {why}")]
    Walk {
        /// The program.
        name: &'static str,
        /// What the kernel said.
        why: String,
    },
    /// A map could not be read or written.
    #[error("cannot use one of whywait's maps: {0}")]
    Map(#[from] MapError),
}

/// Programs in the kernel. Dropping it removes them; so does the end of the process, whatever ends it.
pub struct Session {
    ebpf: Ebpf,
    mode: Mode,
    capabilities: Vec<Capability>,
    counting: Option<BtfTracePointLink>,
}

const NO_PRIVILEGES: &str = "run whywait as root, or with CAP_BPF and CAP_PERFMON";
const SEE_DOCTOR: &str = "`whywait doctor` tells what this kernel allows";

impl Session {
    /// Loads the programs and attaches them. Nothing is traced before [`Session::add`].
    ///
    /// # Errors
    /// When the kernel has no BTF, the privileges do not suffice, or a program fails that cannot be done without.
    /// Nothing stays attached then.
    pub fn attach(options: Options) -> Result<Self, AttachError> {
        let btf = Btf::from_kernel()?;
        let constants = offsets::constants(&btf)?;
        let facts = Facts {
            socket_tracepoints: btf.has_tracepoint("sock_recv_length"),
            data_ready: btf.has_tracepoint("sk_data_ready"),
        };
        let mode = Mode {
            stacks: options.stacks,
            ..Mode::choose(facts, options.syscalls, options.sockets_by_syscall)
        };
        drop(btf);
        let flags = [
            ("CHILDREN", u32::from(options.children)),
            ("STACKS", u32::from(mode.stacks)),
            ("SOCKETS_BY_SYSCALL", u32::from(mode.sockets_by_syscall)),
            ("WAKE_AT", options.ring_bytes / 4),
        ];
        let mut loader = EbpfLoader::new();
        // Task storage is a kind of map that aya creates but has no type for.
        loader.allow_unsupported_maps().map_max_entries("EVENTS", options.ring_bytes);
        for (name, value) in constants.iter().chain(&flags) {
            loader.override_global(name, value, true);
        }
        let ebpf = loader.load(OBJECT).map_err(|error| {
            let why = innermost(&error);
            AttachError::Load { remedy: remedy(&why), why }
        })?;
        let kernel_btf = KernelBtf::from_sys_fs()
            .map_err(|error| AttachError::Load { why: error.to_string(), remedy: SEE_DOCTOR })?;
        let mut session = Self { ebpf, mode, capabilities: Vec::new(), counting: None };
        for probe in PLAN.iter().filter(|probe| mode.wants(probe, facts)) {
            let failure = session.attach_one(probe, &kernel_btf).err();
            if let Some(why) = &failure
                && (probe.tier == Tier::Required || !session.can_do_without(probe))
            {
                return Err(AttachError::Program {
                    name: probe.name,
                    gives: probe.gives,
                    remedy: remedy(why),
                    why: why.clone(),
                });
            }
            session.capabilities.push(Capability { probe: *probe, failure });
        }
        if !facts.socket_tracepoints {
            let lacking = PLAN.iter().filter(|probe| probe.when == When::SocketTracepoints);
            let failure = Some("this kernel does not have it; system calls are traced for it".to_owned());
            session
                .capabilities
                .extend(lacking.map(|probe| Capability { probe: *probe, failure: failure.clone() }));
        }
        Ok(session)
    }

    /// Socket operations have to come from somewhere.
    fn can_do_without(&self, probe: &Probe) -> bool {
        match probe.name {
            "sock_recv_length" | "sock_send_length" => false,
            "sys_enter" | "sys_exit" => !self.mode.sockets_by_syscall,
            _ => true,
        }
    }

    fn attach_one(&mut self, probe: &Probe, btf: &KernelBtf) -> Result<(), String> {
        let program = self.ebpf.program_mut(probe.name).ok_or("the object does not have it")?;
        let result = match (program, probe.hook) {
            (Program::BtfTracePoint(program), Hook::BtfTracepoint) => {
                program.load(probe.name, btf).and_then(|()| program.attach().map(drop))
            }
            (Program::TracePoint(program), Hook::Tracepoint(category)) => {
                program.load().and_then(|()| program.attach(category, probe.name).map(drop))
            }
            (Program::Iter(program), Hook::Iterator(kind)) => program.load(kind, btf),
            (Program::PerfEvent(program), Hook::Sampler) => sampler::attach(program),
            _ => return Err("the object has another kind of program under this name".to_owned()),
        };
        result.map_err(|error| describe(&error))
    }

    /// Makes processes the target: their threads and open sockets are registered, and whatever they create from now on.
    ///
    /// # Errors
    /// When a map or an iterator fails.
    pub fn add(&mut self, pids: &[Pid]) -> Result<(), AttachError> {
        let ids: Vec<u32> = pids.iter().map(|pid| pid.0).collect();
        maps::add_targets(&mut self.ebpf, &ids)?;
        // Listeners first: which end of a connection the target holds is told by its port.
        if self.has("walk_files") {
            maps::set_mode(&mut self.ebpf, mode::REGISTER)?;
            walk::run(&mut self.ebpf, "walk_files")?;
            maps::set_mode(&mut self.ebpf, mode::CONNECTED)?;
            walk::run(&mut self.ebpf, "walk_files")?;
        }
        maps::set_mode(&mut self.ebpf, mode::REGISTER)?;
        // Twice: a thread that is created by one not yet registered can be missed by the first walk, and by no second one.
        walk::run(&mut self.ebpf, "walk_tasks")?;
        walk::run(&mut self.ebpf, "walk_tasks")
    }

    /// Has the intervals sent that are still open.
    ///
    /// # Errors
    /// When a map or an iterator fails.
    pub fn flush(&mut self) -> Result<(), AttachError> {
        maps::set_mode(&mut self.ebpf, mode::FLUSH)?;
        walk::run(&mut self.ebpf, "walk_tasks")?;
        maps::set_mode(&mut self.ebpf, mode::REGISTER)?;
        Ok(())
    }

    /// The ring, once.
    ///
    /// # Errors
    /// When it has been taken already.
    pub fn take_ring(&mut self) -> Result<RingBuf<aya::maps::MapData>, AttachError> {
        let map = self.ebpf.take_map("EVENTS").ok_or(MapError::InvalidName { name: "EVENTS".to_owned() })?;
        Ok(RingBuf::try_from(map)?)
    }

    /// How the kernel is asked.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What became of each program that was wanted.
    pub fn capabilities(&self) -> &[Capability] {
        &self.capabilities
    }

    /// Whether a program is loaded.
    pub fn has(&self, name: &str) -> bool {
        self.capabilities
            .iter()
            .any(|capability| capability.probe.name == name && capability.failure.is_none())
    }

    /// Records that found no room so far.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn loss(&self) -> Result<Loss, AttachError> {
        Ok(maps::loss(&self.ebpf)?)
    }

    /// The programs' counters.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn counters(&self) -> Result<Counters, AttachError> {
        Ok(maps::counters(&self.ebpf)?)
    }

    /// System calls so far, where they are traced.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn syscalls(&self) -> Result<Vec<SyscallCount>, AttachError> {
        Ok(maps::syscalls(&self.ebpf)?)
    }

    /// Waits by futex so far.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn futexes(&self) -> Result<Vec<LockWaits>, AttachError> {
        Ok(maps::futexes(&self.ebpf)?)
    }

    /// Waits by kernel lock so far.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn kernel_locks(&self) -> Result<Vec<KernelLockWaits>, AttachError> {
        Ok(maps::kernel_locks(&self.ebpf)?)
    }

    /// Run-queue delays so far, by the buckets of [`whywait_ebpf::hist`].
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn run_queue_histogram(&self) -> Result<Vec<u64>, AttachError> {
        Ok(maps::run_queue_histogram(&self.ebpf)?)
    }

    /// All that the programs have counted so far.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn counted(&self) -> Result<Counted, AttachError> {
        Ok(Counted {
            loss: self.loss()?,
            counters: self.counters()?,
            syscalls: self.syscalls()?,
            futexes: self.futexes()?,
            kernel_locks: self.kernel_locks()?,
            run_queue: self.run_queue_histogram()?,
        })
    }

    /// Counts system calls from now on, until [`Session::stop_counting_syscalls`]: every system call of the machine is slower meanwhile.
    ///
    /// # Errors
    /// When the program cannot be loaded or attached; why.
    pub fn count_syscalls(&mut self) -> Result<(), String> {
        if self.mode.syscalls || self.counting.is_some() {
            return Ok(());
        }
        let btf = KernelBtf::from_sys_fs().map_err(|error| error.to_string())?;
        let Some(Program::BtfTracePoint(program)) = self.ebpf.program_mut("count_syscalls") else {
            return Err("the object does not have it".to_owned());
        };
        if program.fd().is_err() {
            program.load("sys_enter", &btf).map_err(|error| describe(&error))?;
        }
        let id = program.attach().map_err(|error| describe(&error))?;
        self.counting = Some(program.take_link(id).map_err(|error| describe(&error))?);
        Ok(())
    }

    /// Counts no more system calls, unless they are traced anyway.
    pub fn stop_counting_syscalls(&mut self) {
        self.counting = None;
    }

    /// Runs of all programs, and their time, while the kernel's statistics were on.
    pub fn run_stats(&self) -> (u64, Duration) {
        let mut runs = 0;
        let mut time = Duration::ZERO;
        for (_, program) in self.ebpf.programs() {
            if let Ok(info) = program.info() {
                runs += info.run_count();
                time += info.run_time();
            }
        }
        (runs, time)
    }
}

/// What the kernel said, without the verifier's log.
fn describe(error: &ProgramError) -> String {
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            let log = verifier_log.to_string();
            // The log's last lines are its statistics; the reason is the line before.
            let reason = log
                .lines()
                .rev()
                .map(str::trim)
                .find(|line| {
                    !line.is_empty()
                        && !["processed ", "verification time", "stack depth"]
                            .iter()
                            .any(|s| line.starts_with(s))
                })
                .unwrap_or_default();
            if reason.is_empty() { io_error.to_string() } else { format!("{io_error} ({reason})") }
        }
        error => innermost(error),
    }
}

/// The last cause of an error.
pub(super) fn innermost(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

fn remedy(why: &str) -> &'static str {
    // The verifier refuses with EACCES too, and then says why behind it.
    let denied = why.contains("not permitted") || why.ends_with("Permission denied (os error 13)");
    if denied { NO_PRIVILEGES } else { SEE_DOCTOR }
}
