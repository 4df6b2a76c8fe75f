//! The rules, one cause each. A rule says nothing where its cause is not there, or too small to matter.

mod cpu_bound;
mod cpu_starved;
mod cpu_throttled;
mod crowd;
mod disk_slow;
mod downstream_slow;
mod event_loop_blocked;
mod gil_contention;
mod kernel_lock_contention;
mod lock_contention;
mod page_faults;
mod process_churn;
mod sleeping;
mod slow_client;
mod thread_churn;
mod too_many_threads;
mod words;
mod workers_exhausted;

use super::{
    facts::Facts,
    finding::{Draft, Id, evidence},
    queues::{CHEAP_US, Queues},
    times::Times,
};
use crate::clock::State;

/// A rule.
pub type Rule = fn(&Facts, &Queues) -> Option<Draft>;

/// All of them.
pub const RULES: [Rule; 16] = [
    lock_contention::rule,
    gil_contention::rule,
    kernel_lock_contention::rule,
    cpu_bound::rule,
    cpu_starved::rule,
    cpu_throttled::rule,
    too_many_threads::rule,
    event_loop_blocked::rule,
    workers_exhausted::rule,
    downstream_slow::rule,
    disk_slow::rule,
    page_faults::rule,
    sleeping::rule,
    slow_client::rule,
    thread_churn::rule,
    process_churn::rule,
];
