//! Names of functions, by blazesym.

use std::{fs::Metadata, path::Path};

use blazesym::symbolize::{
    Input, Symbolized, Symbolizer,
    source::{Elf, Kernel, Source},
};
use rustc_hash::FxHashMap;

use crate::stacks::{Frame, Place};

/// Files up to this size have their debugging information read, for functions that are inlined; for larger ones that takes seconds.
const INLINED_UP_TO: u64 = 96 << 20;

/// Looks names up, and keeps them.
pub struct Names {
    symbolizer: Symbolizer,
    kernel: FxHashMap<u64, Option<String>>,
}

impl Names {
    pub fn new() -> Self {
        // Lines of source files are not told, only functions.
        let symbolizer = Symbolizer::builder().enable_code_info(false).build();
        Self { symbolizer, kernel: FxHashMap::default() }
    }

    /// Names at offsets in a file, the innermost inlined function first; no name where no symbol is.
    pub fn in_file(&self, path: &Path, offsets: &[u64]) -> Vec<Vec<String>> {
        let Some(file) = path.metadata().ok().filter(Metadata::is_file) else {
            return vec![Vec::new(); offsets.len()];
        };
        let small = file.len() <= INLINED_UP_TO;
        let mut elf = Elf::new(path);
        elf.debug_syms = small;
        let found = self.symbolizer.symbolize(&Source::Elf(elf), Input::FileOffset(offsets));
        found.map_or_else(|_| vec![Vec::new(); offsets.len()], |found| found.iter().map(names).collect())
    }

    /// Frames of the kernel.
    pub fn in_kernel(&mut self, addresses: &[u64]) -> Vec<Frame> {
        let new: Vec<u64> =
            addresses.iter().copied().filter(|address| !self.kernel.contains_key(address)).collect();
        if !new.is_empty() {
            let kernel = Kernel { debug_syms: false, ..Kernel::default() };
            let found = self.symbolizer.symbolize(&Source::Kernel(kernel), Input::AbsAddr(&new));
            let found = found.map_or_else(
                |_| vec![None; new.len()],
                |found| found.iter().map(|symbol| names(symbol).pop()).collect(),
            );
            self.kernel.extend(new.into_iter().zip(found));
        }
        let name = |address: &u64| self.kernel.get(address).cloned().flatten();
        addresses.iter().map(|address| Frame { name: name(address), place: Place::Kernel }).collect()
    }
}

/// A function and those inlined into it, innermost first.
fn names(symbol: &Symbolized<'_>) -> Vec<String> {
    symbol.as_sym().map_or_else(Vec::new, |symbol| {
        let inlined = symbol.inlined.iter().rev().map(|inlined| plain(&inlined.name));
        inlined.chain([plain(&symbol.name)]).collect()
    })
}

/// A name without the hash that Rust's compiler adds.
fn plain(name: &str) -> String {
    match name.rsplit_once("::h") {
        Some((plain, hash)) if hash.len() == 16 && hash.bytes().all(|digit| digit.is_ascii_hexdigit()) => {
            plain.to_owned()
        }
        _ => name.to_owned(),
    }
}
