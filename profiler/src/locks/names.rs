//! What a lock is called: the variable that it lies in, the file that it locks, or what kind of memory it is in.
//!
//! Looked up in the living processes at the end of a run, for the locks that matter.

use std::{fs, path::Path};

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::{
    Locks,
    key::{LockKey, Place},
    lock::Lock,
};
use crate::{
    platform::{
        data_symbols::variable_at,
        mappings::{Region, regions},
        proc,
    },
    units::Pid,
};

/// Locks that are looked up.
const MOST: usize = 48;

/// The variable of `CPython` 3.7 and later that holds its interpreter lock, or that of its main interpreter. Its other locks are elsewhere,
/// and it only points to them.
const RUNTIME: &str = "_PyRuntime";
/// How Ruby's interpreter lock is called, in which threads wait in many places.
pub const RUBYS: &str = "Ruby's interpreter lock, the GVL";
/// The variables that make up the interpreter lock of `CPython` 3.2 to 3.6 (`Python/ceval_gil.h`).
const GIL_VARIABLES: [&str; 4] = ["gil_cond", "gil_mutex", "switch_cond", "switch_mutex"];

/// What a lock is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockName {
    /// In words, such as ``mutex `queue` of server``.
    pub text: String,
    /// It is the interpreter lock of `CPython`, or of Ruby.
    pub is_gil: bool,
}

impl LockName {
    fn of(text: String) -> Self {
        Self { text, is_gil: false }
    }
}

/// What locks were found to be called. Futexes are named by process and address, and file locks by descriptor, which is the process's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockNames(Vec<(LockKey, Pid, LockName)>);

impl LockNames {
    /// Looks up, in the living processes, what the locks are called for which requests waited longest.
    pub fn look_up(locks: &Locks) -> Self {
        let mut lookup = Lookup::default();
        let named = locks.longest(MOST).filter_map(|lock| Some((lock.key(), lock.pid(), lookup.of(lock)?)));
        Self(named.collect())
    }

    /// Names the locks. What belongs together is one lock from then on.
    pub fn give(&self, locks: &mut Locks) {
        let names: FxHashMap<(LockKey, Pid), &LockName> =
            self.0.iter().map(|(key, pid, name)| ((*key, *pid), name)).collect();
        locks.name(MOST, |lock| names.get(&(lock.key(), lock.pid())).map(|name| (*name).clone()));
    }

    /// Adds what was found out later, which takes the place of what was known before.
    pub fn add(&mut self, later: Self) {
        for (key, pid, name) in later.0 {
            match self.0.iter_mut().find(|known| (known.0, known.1) == (key, pid)) {
                Some(known) => known.2 = name,
                None => self.0.push((key, pid, name)),
            }
        }
    }
}

/// What is known about a process.
struct Process {
    regions: Vec<Region>,
    runs_python: bool,
    runs_ruby: bool,
}

/// Looks names up.
#[derive(Default)]
struct Lookup {
    processes: FxHashMap<Pid, Option<Process>>,
}

impl Lookup {
    fn of(&mut self, lock: &Lock) -> Option<LockName> {
        let LockKey { pid, place } = lock.key();
        match place {
            Place::Semaphores(id) => Some(LockName::of(format!("the System V semaphores {id}"))),
            Place::Latches => Some(LockName::of(
                "what processes tell each other by signals (as PostgreSQL's do, of row and table locks)"
                    .to_owned(),
            )),
            Place::File(descriptor) => {
                let link = fs::read_link(format!("/proc/{}/fd/{descriptor}", lock.pid())).ok()?;
                Some(LockName::of(link.display().to_string()))
            }
            Place::Futex(address) => {
                let of = pid.unwrap_or(lock.pid());
                let process = self.processes.entry(of).or_insert_with(|| look_at(of)).as_ref()?;
                Some(if is_gvl(process, lock) {
                    LockName { text: format!("{RUBYS} ({address:#x})"), is_gil: true }
                } else {
                    futex(of, process, address, lock.waits_like_gil())
                })
            }
        }
    }
}

fn look_at(pid: Pid) -> Option<Process> {
    let regions = regions(pid).ok()?;
    let runs_python = runs(&regions, "python");
    let runs_ruby = runs(&regions, "ruby");
    Some(Process { regions, runs_python, runs_ruby })
}

/// Whether an interpreter is mapped, by the name of its program or library: `python3.11`, `libpython3.12.so.1.0`, `libruby-3.1.so.3.1`.
fn runs(regions: &[Region], interpreter: &str) -> bool {
    regions.iter().filter(|region| region.is_file()).any(|region| {
        let file = region.name.rsplit('/').next().unwrap_or_default();
        file.strip_prefix("lib").unwrap_or(file).strip_prefix(interpreter).is_some_and(|rest| {
            let rest = rest.strip_prefix('-').unwrap_or(rest);
            rest.is_empty() || rest.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        })
    })
}

/// A place of its own in which a thread of Ruby waits while another one computes is where it waits for the interpreter lock, the GVL
/// (`thread_sync.c`, `thread_pthread.c`). A thread that waits for a `Mutex` is parked in the same place; whoever holds that and computes has the
/// GVL as well, and whoever holds it and waits has not.
fn is_gvl(process: &Process, lock: &Lock) -> bool {
    process.runs_ruby && lock.parks_one() && lock.held().doing.runs()
}

fn futex(pid: Pid, process: &Process, address: u64, waits_like_gil: bool) -> LockName {
    if let Some(found) = variable_at(pid, &process.regions, address) {
        let file = file_name(&found.file);
        let Some((symbol, offset)) = found.symbol else {
            let is_gil = process.runs_python && waits_like_gil;
            return LockName { text: format!("{file}+{:#x}", found.in_file), is_gil };
        };
        let behind = if offset == 0 { String::new() } else { format!("+{offset:#x}") };
        let is_gil = symbol == RUNTIME
            || process.runs_python && (waits_like_gil || GIL_VARIABLES.contains(&symbol.as_str()));
        return LockName { text: format!("{symbol}{behind} of {file}"), is_gil };
    }
    let region = process.regions.iter().find(|region| region.holds(address));
    let memory = match region {
        Some(region) if region.is_shared() => "in shared memory".to_owned(),
        Some(region) if region.name == "[heap]" => "on the heap".to_owned(),
        Some(region) if region.name == "[stack]" => "on the stack of the first thread".to_owned(),
        Some(_) => "in allocated memory".to_owned(),
        None => "in memory that is unmapped again".to_owned(),
    };
    let program = proc::command_name(pid).map_or_else(|_| String::new(), |name| format!(" of {name}"));
    // The lock of another interpreter of the same process is on the heap.
    LockName {
        text: format!("{address:#x} {memory}{program}"),
        is_gil: process.runs_python && waits_like_gil,
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
