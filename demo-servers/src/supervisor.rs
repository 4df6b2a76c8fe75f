//! The master of several worker processes: it serves nobody, and so nothing that a request does can harm it.

use std::net::TcpListener;

use anyhow::{Context, Result, bail};

use crate::config::Config;
use crate::process::{Children, FAILED, Notice, Notices};

/// Keeps `--workers` processes running until SIGTERM or SIGINT, which it passes on. A worker that dies is replaced; one
/// that says it cannot work ends the server, as its replacement could not either.
///
/// `open` makes a worker's listening socket, in the master; `serve` is the worker.
pub fn supervise(
    mut notices: Notices,
    config: &Config,
    mut open: impl FnMut() -> Result<TcpListener>,
    serve: impl Fn(TcpListener, &Config) -> Result<()>,
) -> Result<()> {
    let mut workers = Children::default();
    let mut start = |workers: &mut Children<u16>, number| {
        let listener = open()?;
        // Otherwise all workers would draw the same mixture, in step.
        let config = Config { seed: config.seed.wrapping_add(u64::from(number)), ..config.clone() };
        workers
            .fork(number, || serve(listener, &config))
            .context("cannot start a worker process: choose fewer --workers, or raise ulimit -u")
    };
    let ended = (0..config.workers).try_for_each(|number| start(&mut workers, number)).and_then(|()| {
        while notices.wait()? == Notice::ChildEnded {
            while let Some((pid, number, status)) = workers.reap() {
                if status.exit_status() == Some(FAILED) {
                    bail!("worker {pid} failed: its error is above");
                }
                let how = status.terminating_signal().map(|signal| format!(" by signal {signal}"));
                eprintln!("worker {pid} was ended{}: starting another one", how.unwrap_or_default());
                start(&mut workers, number)?;
            }
        }
        Ok(())
    });
    workers.stop();
    ended
}
