//! Why requests wait, by name: rules over facts, ranked by the share of the slow requests' time that each explains.
//!
//! ```text
//! window ─┐
//! ledger ─┼─▶ facts ──▶ queues (what requests queue behind) ──▶ rules ──▶ ranked findings ──▶ replay (what would help)
//! model  ─┘
//! ```
//!
//! Everything here is pure: [`Facts`] is a plain struct, a rule is a function from it to a finding or nothing, and what a threshold is for
//! stands beside it. `docs/findings.md` is the same for people.

mod certainty;
mod facts;
mod finding;
mod gather;
mod ledger;
pub(crate) mod locks;
mod queues;
mod replay;
mod rules;
#[cfg(test)]
pub(crate) mod testing;
mod times;
mod turns;

pub use facts::{Births, Blocker, CpuWaits, Facts, LockFacts, LockFor, PeerFacts, Taker, Workers};
pub use finding::{Finding, Id};
pub use gather::gather;
pub use ledger::Ledger;
pub use replay::Gain;
pub use times::Times;

/// Shares below this are not told: a cause that explains so little is none.
pub const LEAST_SHARE: f64 = 0.10;

/// The requests that are to be explained: this share of them, the slowest.
pub const SLOWEST: f64 = 0.10;

/// Findings whose gain is worked out.
const MOST_GAINS: usize = 3;

/// All findings, by what they explain of the slowest requests' time, most first.
pub fn findings(facts: &Facts) -> Vec<Finding> {
    if facts.requests == 0 {
        return Vec::new();
    }
    let queues = queues::charge(facts);
    let mut found: Vec<Finding> = rules::RULES
        .iter()
        .filter_map(|rule| rule(facts, &queues))
        .map(|draft| draft.finish(facts))
        .filter(|finding| finding.share >= LEAST_SHARE)
        .collect();
    found.sort_by(|a, b| b.share.total_cmp(&a.share));
    for finding in found.iter_mut().take(MOST_GAINS) {
        finding.gain = replay::without(facts, finding.id);
    }
    found
}
