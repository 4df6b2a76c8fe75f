//! whywait says why a server's requests wait, from kernel events alone.
//!
//! Data flows one way:
//!
//! ```text
//! kernel ──ring──▶ decode ──▶ clock ──▶ window ──▶ report
//! ```

mod bytes;
pub mod cli;
pub mod clock;
pub mod compare;
pub mod cpu;
pub mod decode;
pub mod explain;
pub mod export;
pub mod fingerprint;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod live;
pub mod locks;
mod markup;
pub mod observe;
pub mod outlet;
pub mod platform;
pub mod playback;
pub(crate) mod printable;
pub mod probe;
pub mod race;
mod recent_map;
pub mod recording;
pub mod report;
pub mod ring;
pub mod stacks;
pub mod symbols;
pub mod top;
pub mod units;
pub mod window;
