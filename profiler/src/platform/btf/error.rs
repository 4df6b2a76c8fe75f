//! What can go wrong with the kernel's types.

use std::io;
use std::path::PathBuf;

/// Why a question to the kernel's types has no answer.
#[derive(Debug, thiserror::Error)]
pub enum BtfError {
    /// The file cannot be read.
    #[error(
        "cannot read the kernel's types from {path}: {source}; whywait needs a kernel built with CONFIG_DEBUG_INFO_BTF",
        path = path.display()
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The bytes are not BTF, or damaged.
    #[error(
        "the kernel's types cannot be understood: {what} (at byte {at}); please report this with the kernel's version"
    )]
    Malformed {
        /// What is wrong.
        what: &'static str,
        /// Where; 0 if that is not known.
        at: usize,
    },
    /// The bytes are of a machine with the other byte order.
    #[error("the kernel's types are in the other byte order; use those of a little-endian kernel")]
    ByteOrder,
    /// No such type.
    #[error("this kernel has no {kind} `{name}`; what depends on it is not available")]
    NoType {
        /// `struct`, `enum` or `tracepoint`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// Two types of one name.
    #[error("this kernel has several different types called `{name}`; which one is meant cannot be known")]
    Ambiguous {
        /// Their name.
        name: String,
    },
    /// The structure has no such member.
    #[error("`{owner}` has no member `{member}` in this kernel; what depends on it is not available")]
    NoMember {
        /// The structure, and the path walked so far.
        owner: String,
        /// What was looked for.
        member: String,
    },
    /// The path goes on behind something that has no members.
    #[error("`{path}` is not a structure in this kernel, so nothing can be looked up inside it")]
    NotAStruct {
        /// The path up to there.
        path: String,
    },
    /// The enumeration has no such enumerator.
    #[error("enum `{owner}` has no value `{name}` in this kernel; what depends on it is not available")]
    NoEnumerator {
        /// The enumeration.
        owner: String,
        /// What was looked for.
        name: String,
    },
}
