//! whywait says why a server's requests wait, from kernel events alone.
//!
//! Data flows one way:
//!
//! ```text
//! kernel ──ring──▶ decode ──▶ clock ──▶ window ──▶ report
//! ```

pub mod clock;
pub mod decode;
pub mod platform;
pub mod probe;
pub mod ring;
pub mod units;
pub mod window;
