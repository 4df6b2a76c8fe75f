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
