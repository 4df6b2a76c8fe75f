//! Phrases that several rules use.

use super::{Facts, Times};
use crate::units::{fmt_percent, fmt_us};

/// Part of a measure's time at one route from which on that route is named.
const MOSTLY: f64 = 0.5;

/// `92 % of the time of the slowest requests (36.8 ms each)`
pub(super) fn share(facts: &Facts, us: f64) -> String {
    format!("{} of the time of the slowest requests ({} each)", part(facts, us), fmt_us(us))
}

/// `92 %`
pub(super) fn part(facts: &Facts, us: f64) -> String {
    let total = facts.slow.total();
    fmt_percent(if total > 0.0 { (us / total).clamp(0.0, 1.0) } else { 0.0 })
}

/// `, most of it in GET /report`; nothing where no route stands out, or there is but one.
pub(super) fn mostly_in(facts: &Facts, measure: impl Fn(&Times) -> f64) -> String {
    match facts.route_of(measure) {
        Some((route, part)) if part >= MOSTLY && facts.routes.len() > 1 => format!(", most of it in {route}"),
        _ => String::new(),
    }
}

/// `1 worker`, `2 workers`
pub(super) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
