//! The variable that an address of a process lies in: by the symbols of the file that is mapped there.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use object::{Object, ObjectSegment, ObjectSymbol, ReadCache, ReadRef, SymbolKind};

use super::{mappings::Region, regular_file};
use crate::units::Pid;

/// Where in a file an address lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// The file as the process sees it.
    pub file: PathBuf,
    /// The variable, and how far behind its beginning the address is; `None` where the file has no symbol for it.
    pub symbol: Option<(String, u64)>,
    /// The address, as the file's symbols have it.
    pub in_file: u64,
}

/// Tells in which variable of which file an address lies; `None` where it is in none: on the heap or a stack.
///
/// Static memory that is zero in the beginning has no bytes in the file, and its tail is mapped as anonymous memory behind it.
pub fn variable_at(pid: Pid, regions: &[Region], address: u64) -> Option<Variable> {
    let at = regions.iter().position(|region| region.holds(address))?;
    let file = file_of(regions, at)?;
    let first = regions.iter().find(|region| region.name == file.name)?;
    let base_offset = address.checked_sub(first.from)?;
    let image = open(pid, first)?;
    let cache = ReadCache::new(image);
    let object = object::File::parse(&cache).ok()?;
    let in_file = in_file(&object, first.offset, base_offset)?;
    Some(Variable { file: PathBuf::from(&file.name), symbol: symbol_at(&object, in_file), in_file })
}

/// The address in a file's own terms of what lies so far behind its first mapping, which begins at this offset of the file; `None`
/// where that is in none of its segments.
fn in_file<'data, R: ReadRef<'data>>(
    object: &object::File<'data, R>,
    first_offset: u64,
    behind: u64,
) -> Option<u64> {
    // The first mapping holds the page in which the first segment begins.
    let segment = object.segments().min_by_key(ObjectSegment::address)?;
    let start = (segment.address() & !PAGE_MASK)
        .checked_sub((segment.file_range().0 & !PAGE_MASK).checked_sub(first_offset)?)?;
    let in_file = start.checked_add(behind)?;
    let mut segments = object.segments();
    segments
        .any(|segment| {
            (segment.address()..segment.address().saturating_add(segment.size())).contains(&in_file)
        })
        .then_some(in_file)
}

const PAGE_MASK: u64 = 4095;

/// The file to which a region belongs: its own, or that which is mapped right before it.
fn file_of(regions: &[Region], at: usize) -> Option<&Region> {
    let region = &regions[at];
    if region.is_file() {
        return (!region.is_shared()).then_some(region);
    }
    if !region.name.is_empty() && region.name != "[heap]" && !region.name.starts_with("[anon:") {
        return None;
    }
    let before = regions[..at].last()?;
    (before.to == region.from && before.is_file() && before.rights.starts_with("rw")).then_some(before)
}

/// Opens the file of a region, also where it has been deleted or replaced, or is in another mount namespace.
fn open(pid: Pid, region: &Region) -> Option<File> {
    let by_range = format!("/proc/{pid}/map_files/{:x}-{:x}", region.from, region.to);
    let by_name =
        Path::new("/proc").join(pid.to_string()).join("root").join(region.name.trim_start_matches('/'));
    regular_file::open(Path::new(&by_range)).or_else(|_| regular_file::open(&by_name)).ok()
}

fn symbol_at<'data, R: ReadRef<'data>>(
    object: &object::File<'data, R>,
    address: u64,
) -> Option<(String, u64)> {
    let symbols = object.symbols().chain(object.dynamic_symbols());
    let holding = symbols.filter(|symbol| {
        symbol.kind() == SymbolKind::Data
            && symbol.is_definition()
            && (symbol.address()..symbol.address().saturating_add(symbol.size())).contains(&address)
    });
    let symbol = holding.min_by_key(ObjectSymbol::size)?;
    let name = symbol.name().ok().filter(|name| !name.is_empty())?;
    Some((name.to_owned(), address - symbol.address()))
}

/// Reads bytes as a file with symbols, and asks for those at some addresses.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_any(bytes: &[u8], addresses: &[u64]) {
    let Ok(object) = object::File::parse(bytes) else { return };
    for address in addresses {
        let _symbol = symbol_at(&object, *address);
        let _place = in_file(&object, 0, *address);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;
    use crate::platform::mappings::regions;

    #[unsafe(no_mangle)]
    #[expect(unsafe_code, reason = "the symbol must have this name")]
    static WHYWAIT_TEST_INITIALISED: [AtomicU32; 3] =
        [AtomicU32::new(1), AtomicU32::new(2), AtomicU32::new(3)];
    #[unsafe(no_mangle)]
    #[expect(unsafe_code, reason = "the symbol must have this name")]
    static WHYWAIT_TEST_ZERO: [AtomicU32; 9000] = [const { AtomicU32::new(0) }; 9000];

    fn look_up(variable: &AtomicU32) -> Option<Variable> {
        let own = Pid(std::process::id());
        variable_at(own, &regions(own).unwrap(), std::ptr::from_ref(variable) as u64)
    }

    /// Static variables, with a value in the file and without, are found at their offsets, wherever the program was loaded to.
    #[test]
    fn own_variables_are_found() {
        for (variable, name, offset) in [
            (&WHYWAIT_TEST_INITIALISED[0], "WHYWAIT_TEST_INITIALISED", 0),
            (&WHYWAIT_TEST_INITIALISED[2], "WHYWAIT_TEST_INITIALISED", 8),
            (&WHYWAIT_TEST_ZERO[1], "WHYWAIT_TEST_ZERO", 4),
            (&WHYWAIT_TEST_ZERO[8999], "WHYWAIT_TEST_ZERO", 35_996),
        ] {
            let found = look_up(variable).unwrap();
            assert_eq!(found.symbol, Some((name.to_owned(), offset)));
        }
    }

    /// The heap and the stack are no variables.
    #[test]
    fn other_memory_is_no_variable() {
        let (boxed, local) = (Box::new(AtomicU32::new(1)), AtomicU32::new(1));
        assert_eq!(look_up(&boxed), None);
        assert_eq!(look_up(&local), None);
    }
}
