//! Several processes, forked in advance, each with a pool of threads.
//!
//! Every worker is the thread pool server: one thread that accepts, on the socket that all workers share, a queue, and
//! `--threads` that serve. The master only keeps `--workers` of them running.
//!
//! Who uses it: Gunicorn's gthread workers, Apache's worker and event modules, Puma in cluster mode, uWSGI.
//!
//! Good at: having both. Threads are the cheap way to have many requests wait at once; processes are what gets an
//! interpreter with a global lock onto several CPUs, and what bounds the harm of a crash.
//!
//! Bad at: balance. Whichever acceptor is quicker takes the connection, whether its threads are busy or not: one
//! process's queue can grow while another one's threads idle. And there are two numbers to get right in place of one.

use anyhow::Result;

use super::{prefork, thread_pool};
use crate::config::Config;

/// Serves until SIGTERM or SIGINT.
pub fn run(config: &Config) -> Result<()> {
    prefork::run_workers(config, thread_pool::serve)
}
