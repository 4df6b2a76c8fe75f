//! Servers and load generator end to end, each server as a process of its own.
#![expect(
    clippy::unwrap_used,
    reason = "clippy takes only the test functions themselves for tests, not their helpers"
)]

mod concurrency;
mod load;
mod models;
mod processes;
mod support;
mod threads;
