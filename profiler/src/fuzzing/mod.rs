//! Doors to every reader of bytes that somebody else wrote, for `tests/fuzz`: each takes any bytes, and fails by a panic. Not a part of the
//! library: it is there with the feature `fuzzing`, and in the crate's own tests, which lead every seed of `tests/fuzz/seeds` through
//! every door.
#![allow(clippy::missing_panics_doc, reason = "a door fails by panicking")]

mod code;
mod input;
mod outputs;
mod recording;
#[cfg(test)]
mod seeds;
mod server;
#[cfg(test)]
mod tests;
mod texts;

pub use code::{btf, elf, perf_map, sock_diag};
pub use recording::{export, recording, records, requests};
pub use texts::{http, options, proc, route};

/// A reader.
#[derive(Clone, Copy, Debug)]
pub struct Door {
    /// What it is called, as is its folder of seeds.
    pub name: &'static str,
    /// Reads any bytes.
    pub read: fn(&[u8]),
}

/// All of them.
pub const DOORS: [Door; 12] = [
    Door { name: "records", read: records },
    Door { name: "requests", read: requests },
    Door { name: "recording", read: recording },
    Door { name: "export", read: export },
    Door { name: "route", read: route },
    Door { name: "http", read: http },
    Door { name: "proc", read: proc },
    Door { name: "options", read: options },
    Door { name: "perf_map", read: perf_map },
    Door { name: "elf", read: elf },
    Door { name: "btf", read: btf },
    Door { name: "sock_diag", read: sock_diag },
];
