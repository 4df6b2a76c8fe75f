//! Facts about the running kernel's types, from its BTF: where a member lies in a structure, what an enumerator is
//! worth, which arguments a tracepoint hands to its programs.
//!
//! The format is that of the kernel's `Documentation/bpf/btf.rst`. Only what the probes need is understood: the types
//! are not turned into a tree, but read in place from the raw bytes, through a table of where each one starts and an
//! index by name. Nothing in the bytes is trusted: every read is checked, and what refers to itself is refused.

mod error;
mod member;
mod name;
mod raw;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::Path;

pub use error::BtfError;
pub use member::{Bitfield, MemberOffset};
use raw::{Kind, Sections, Type};

/// Where the kernel shows its own types (`CONFIG_DEBUG_INFO_BTF`).
pub const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

/// How many typedefs and qualifiers, or structures in structures, are followed before the data is taken to be circular.
const MAX_DEPTH: u32 = 64;

/// How many members one question may visit. The largest structures of the kernel have a few hundred.
const MAX_STEPS: u32 = 1_000_000;

/// The types of a kernel, ready to be asked.
pub struct Btf {
    bytes: Vec<u8>,
    sections: Sections,
    /// Where the type with id `i + 1` starts in `bytes`.
    starts: Vec<u32>,
    /// Hash of the name, and id, of each type that can be asked for; sorted.
    index: Vec<(u32, u32)>,
}

impl Btf {
    /// Takes raw BTF, checks its header and every record's bounds, and indexes its names.
    ///
    /// # Errors
    /// When the bytes are not BTF of this machine's byte order, or are cut short or damaged.
    pub fn parse(bytes: impl Into<Vec<u8>>) -> Result<Self, BtfError> {
        let bytes = bytes.into();
        let sections = Sections::read(&bytes)?;
        let mut btf = Self { bytes, sections, starts: Vec::new(), index: Vec::new() };
        btf.scan()?;
        Ok(btf)
    }

    /// Reads the types of the running kernel from [`KERNEL_BTF`].
    ///
    /// # Errors
    /// When the kernel was built without BTF, or the file cannot be read or understood.
    pub fn from_kernel() -> Result<Self, BtfError> {
        Self::from_file(Path::new(KERNEL_BTF))
    }

    /// Reads raw BTF from a file.
    ///
    /// # Errors
    /// When the file cannot be read or understood.
    pub fn from_file(path: &Path) -> Result<Self, BtfError> {
        let bytes = fs::read(path).map_err(|source| BtfError::Read { path: path.to_owned(), source })?;
        Self::parse(bytes)
    }

    /// How many types there are, without `void`.
    pub fn type_count(&self) -> usize {
        self.starts.len()
    }

    /// One pass over the type section: where each type starts, and the index by name.
    fn scan(&mut self) -> Result<(), BtfError> {
        let mut at = self.sections.types.start;
        let mut id = 0;
        while at < self.sections.types.end {
            id += 1;
            let found = Type::read(&self.bytes, &self.sections, id, at)?;
            let start = u32::try_from(at)
                .map_err(|_| BtfError::Malformed { what: "more than 4 GiB of types", at })?;
            self.starts.push(start);
            let name = self.bytes_at_name(found.name)?;
            if found.kind.is_indexed() && !name.is_empty() {
                self.index.push((hash(name), id));
            }
            at = found.end();
        }
        self.index.sort_unstable();
        Ok(())
    }

    /// The type with this id; id 0 is `void`.
    fn type_of(&self, id: u32) -> Result<Type, BtfError> {
        let Some(slot) = id.checked_sub(1) else { return Ok(Type::VOID) };
        let start = self.starts.get(slot as usize);
        let start =
            *start.ok_or(BtfError::Malformed { what: "a reference to a type that is not there", at: 0 })?;
        Type::read(&self.bytes, &self.sections, id, start as usize)
    }

    /// The type behind typedefs, qualifiers and tags.
    fn resolve(&self, mut id: u32) -> Result<Type, BtfError> {
        for _ in 0..MAX_DEPTH {
            let found = self.type_of(id)?;
            match found.kind {
                Kind::Typedef | Kind::Volatile | Kind::Const | Kind::Restrict | Kind::TypeTag => {
                    id = found.size_or_ref;
                }
                _ => return Ok(found),
            }
        }
        Err(BtfError::Malformed { what: "a type that refers to itself", at: 0 })
    }

    /// The name at an offset of the string section, without its terminator.
    fn bytes_at_name(&self, name: u32) -> Result<&[u8], BtfError> {
        let strings = &self.bytes[self.sections.strings.clone()];
        let rest = strings.get(name as usize..).unwrap_or_default();
        let end = rest.iter().position(|&byte| byte == 0);
        end.map(|end| &rest[..end])
            .ok_or(BtfError::Malformed { what: "a name outside the strings", at: name as usize })
    }

    /// The same as text, for people.
    fn text_at_name(&self, name: u32) -> Result<String, BtfError> {
        Ok(String::from_utf8_lossy(self.bytes_at_name(name)?).into_owned())
    }

    /// All types of that name whose kind is wanted.
    fn named(&self, name: &str, wanted: impl Fn(Kind) -> bool) -> Result<Vec<Type>, BtfError> {
        let hash = hash(name.as_bytes());
        let first = self.index.partition_point(|entry| entry.0 < hash);
        let mut found = Vec::new();
        for &(_, id) in self.index[first..].iter().take_while(|entry| entry.0 == hash) {
            let candidate = self.type_of(id)?;
            if wanted(candidate.kind) && self.bytes_at_name(candidate.name)? == name.as_bytes() {
                found.push(candidate);
            }
        }
        Ok(found)
    }

    /// The one type of that name whose kind is wanted, or `None`. Several of them are as good as one if they have the
    /// same layout.
    fn unique(&self, name: &str, wanted: impl Fn(Kind) -> bool) -> Result<Option<Type>, BtfError> {
        let found = self.named(name, wanted)?;
        let Some((first, others)) = found.split_first() else { return Ok(None) };
        let mut steps = MAX_STEPS;
        for other in others {
            if !self.same_layout(first.id, other.id, 0, &mut steps)? {
                return Err(BtfError::Ambiguous { name: name.to_owned() });
            }
        }
        Ok(Some(*first))
    }
}

/// FNV-1a: short, and good enough to tell names apart; equal hashes are told apart by the names themselves.
fn hash(name: &[u8]) -> u32 {
    name.iter().fold(0x811c_9dc5, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
