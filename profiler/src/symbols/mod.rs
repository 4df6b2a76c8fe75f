//! Code of processes: which files are mapped where, how to find a caller in their stacks, and what their functions are called. Does I/O.
//!
//! What is mapped is read when the first stack of a process comes, so that processes that are gone by the end of the run have names
//! as well; names are looked up after the run.

mod image;
mod mappings;
mod names;
mod perf_map;
mod processes;
mod unwind;

pub use processes::Symbols;

/// Reads a text as a file of names of code, and asks for some of them.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_any_perf_map(text: &[u8], addresses: &[u64]) {
    let map = perf_map::PerfMap::read(text);
    for address in addresses {
        let _name = map.at(*address);
    }
}

/// Reads bytes as a file of code that is mapped somewhere, and finds the callers in a stack of it.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_any_image(bytes: &[u8], raw: &crate::decode::RawStack) {
    let Some(image) = image::Image::read(bytes) else { return };
    let mapping = mappings::Mapping {
        start: 0x40_0000,
        end: 0x50_0000,
        offset: 0,
        inode: 1,
        source: mappings::Source::Memory,
    };
    let mut callers = unwind::Callers::new();
    if let Some(module) = image.module(std::path::Path::new("file"), &mapping) {
        framehop::Unwinder::add_module(&mut callers, module);
    }
    let mappings = mappings::Mappings::of_one(mapping);
    let _callers = unwind::unwind(&callers, &mut unwind::Cache::new(), &mappings, raw);
}

/// Reads a file of code for the names at these offsets.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_any_names(path: &std::path::Path, offsets: &[u64]) {
    let _names = names::Names::new().in_file(path, offsets);
}
