//! Processes whose stacks came, and what was learnt of them.

use std::{
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

use framehop::Unwinder;
use procfs::process::Process as ProcessFiles;
use rustc_hash::FxHashMap;

use super::{
    image::{Image, open_path},
    mappings::{Mappings, Source},
    names::Names,
    perf_map::PerfMap,
    unwind::{Cache, Callers, unwind},
};
use crate::{
    decode::{End, RawStack, Unwind},
    stacks::{Code, Frame, Place},
    units::Pid,
};

/// How old mappings are before an address that lies in none has them read again: a program may have loaded more.
const STALE: Duration = Duration::from_millis(500);
/// Processes that are kept.
const MOST: usize = 4096;

/// A process.
struct Process {
    mappings: Mappings,
    callers: Callers,
    /// By first address of the mapping: a path by which its file could be opened.
    paths: FxHashMap<u64, PathBuf>,
    perf_map: PathBuf,
}

/// Files, by number of the inode and path.
type Images = FxHashMap<(u64, PathBuf), Image>;

/// Code of processes.
pub struct Symbols {
    processes: FxHashMap<Pid, Option<Rc<Process>>>,
    /// Processes that run what their parent ran.
    parents: FxHashMap<Pid, Pid>,
    images: Images,
    cache: Cache,
    names: Names,
    /// With the size that the file had when it was read.
    perf_maps: FxHashMap<Pid, (u64, PerfMap)>,
    /// Names by file and offset.
    known: FxHashMap<(PathBuf, u64), Vec<String>>,
}

impl Default for Symbols {
    fn default() -> Self {
        Self::new()
    }
}

impl Symbols {
    /// Of no process yet.
    pub fn new() -> Self {
        Self {
            processes: FxHashMap::default(),
            parents: FxHashMap::default(),
            images: Images::default(),
            cache: Cache::new(),
            names: Names::new(),
            perf_maps: FxHashMap::default(),
            known: FxHashMap::default(),
        }
    }

    /// A process as it is mapped now, or was; one that is gone already, as its parent is.
    fn process(&mut self, pid: Pid, ip: u64) -> Option<Rc<Process>> {
        match self.processes.get(&pid) {
            None if self.processes.len() >= MOST => return None,
            Some(None) => return None,
            Some(Some(process))
                if process.mappings.at(ip).is_some() || process.mappings.read.elapsed() <= STALE =>
            {
                return Some(Rc::clone(process));
            }
            _ => {}
        }
        let mut read = Process::read(pid, &mut self.images).map(Rc::new);
        if read.is_none() {
            read = self.processes.get(&pid).cloned().flatten();
        }
        if read.is_none()
            && let Some(parent) = self.parents.remove(&pid)
        {
            read = self.process(parent, ip);
        }
        self.processes.insert(pid, read.clone());
        read
    }

    /// Names at an address of a process, and where that is.
    fn at(&mut self, pid: Pid, address: u64) -> Vec<Frame> {
        let nameless = |place| vec![Frame { name: None, place }];
        // Whoever names stacks need not be the one who walked them.
        let known = self.processes.get(&pid).and_then(Option::as_ref);
        let known = known.filter(|process| process.mappings.at(address).is_some()).map(Rc::clone);
        let Some(process) = known.or_else(|| self.process(pid, address)) else {
            return nameless(Place::Memory);
        };
        let Some(mapping) = process.mappings.at(address) else { return nameless(Place::Memory) };
        let Source::File(path) = &mapping.source else {
            if mapping.source == Source::Vdso {
                return nameless(Place::File("vdso".to_owned()));
            }
            let (size, map) = self.perf_maps.entry(pid).or_default();
            let mut name = map.at(address);
            // The compiler goes on, and so does its file.
            let now = process.perf_map.metadata().map_or(0, |file| file.len());
            if name.is_none() && now != *size {
                (*size, *map) = (now, PerfMap::open(&process.perf_map));
                name = map.at(address);
            }
            return vec![Frame { name: name.map(str::to_owned), place: Place::Memory }];
        };
        let place = Place::File(path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned());
        let opened = match process.paths.get(&mapping.start) {
            Some(opened) if opened.exists() => opened.clone(),
            _ => path.clone(),
        };
        let offset = address - mapping.start + mapping.offset;
        let names = &self.names;
        let found = self
            .known
            .entry((path.clone(), offset))
            .or_insert_with(|| names.in_file(&opened, &[offset]).pop().unwrap_or_default());
        if found.is_empty() {
            return nameless(place);
        }
        found.iter().map(|name| Frame { name: Some(name.clone()), place: place.clone() }).collect()
    }
}

impl Process {
    fn read(pid: Pid, images: &mut Images) -> Option<Self> {
        let mappings = Mappings::of(pid)?;
        let mut callers = Callers::new();
        let mut paths = FxHashMap::default();
        for mapping in mappings.iter() {
            let (name, image) = match &mapping.source {
                Source::File(path) => {
                    let opened = open_path(pid, mapping, path);
                    let image =
                        images.entry((mapping.inode, path.clone())).or_insert_with(|| Image::open(&opened));
                    paths.insert(mapping.start, opened);
                    (path.as_path(), image)
                }
                Source::Vdso => {
                    let image = images
                        .entry((0, PathBuf::from("vdso")))
                        .or_insert_with(|| Image::in_memory(pid, mapping));
                    (Path::new("vdso"), image)
                }
                Source::Memory => continue,
            };
            if let Some(module) = image.module(name, mapping) {
                callers.add_module(module);
            }
        }
        Some(Self { mappings, callers, paths, perf_map: perf_map_path(pid) })
    }
}

/// Where a process writes the names of code that it makes: in its own view of `/tmp`, under its own number of itself.
fn perf_map_path(pid: Pid) -> PathBuf {
    let own = i32::try_from(pid.0)
        .ok()
        .and_then(|pid| ProcessFiles::new(pid).ok()?.status().ok()?.nspid?.last().copied());
    let file = format!("perf-{}.map", own.map_or(i64::from(pid.0), i64::from));
    let inside = PathBuf::from(format!("/proc/{pid}/root/tmp")).join(&file);
    if inside.exists() { inside } else { Path::new("/tmp").join(file) }
}

impl Unwind for Symbols {
    fn unwind(&mut self, pid: Pid, raw: &RawStack) -> (Vec<u64>, End) {
        let ip = raw.registers[0];
        if ip == 0 {
            return (Vec::new(), End::Root);
        }
        let Some(process) = self.process(pid, ip) else { return (vec![ip], End::Lost) };
        unwind(&process.callers, &mut self.cache, &process.mappings, raw)
    }

    fn forked(&mut self, child: Pid, parent: Pid) {
        self.processes.remove(&child);
        self.parents.insert(child, parent);
    }

    fn executed(&mut self, pid: Pid) {
        self.processes.remove(&pid);
        self.parents.remove(&pid);
    }
}

impl Code for Symbols {
    fn kernel(&mut self, addresses: &[u64]) -> Vec<Frame> {
        self.names.in_kernel(addresses)
    }

    fn user(&mut self, pid: Pid, address: u64) -> Vec<Frame> {
        self.at(pid, address)
    }
}
