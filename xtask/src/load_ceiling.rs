//! `cargo xtask load-ceiling`: whether the load generator is what limits a measurement.
//!
//! `wrk` and `demo-servers load` drive the same event-loop server in a closed loop, in turn: the server has one CPU, the
//! load another. Whichever is first alternates from pair to pair. A generator that gets as many answers as `wrk` out of
//! the server is not the bottleneck.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::overhead::{Kind, Load, Server, Spread};
use crate::process;
use crate::test;

#[derive(clap::Args)]
pub struct Args {
    /// Pairs of windows, one with each generator
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    pairs: u32,
    /// Seconds of a window
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=60))]
    window: u32,
}

/// Runs the pairs and prints the medians side by side.
///
/// # Errors
/// When there is only one CPU, `wrk` is not installed, the server does not start, or a request fails.
pub fn run(args: &Args) -> Result<()> {
    let wrk = process::find("wrk")
        .context("load-ceiling: wrk is not installed: run `cargo xtask setup` as root once")?;
    let demo_servers = test::build_demo_servers()?;
    let server = Server::start(Kind::EventLoop, &demo_servers).context("load-ceiling")?;
    let window = Duration::from_secs(args.window.into());
    let load = Load { window, settle: Duration::from_millis(200) };
    // The first window of a server pays for its memory and the processor's caches.
    load.run(&server, &demo_servers, None)?;
    let (mut own, mut theirs) = (Vec::new(), Vec::new());
    for number in 1..=args.pairs {
        for first in [number % 2 == 1, number % 2 == 0] {
            if first {
                theirs.push(run_wrk(&wrk, &server, args.window)?);
            } else {
                own.push(load.run(&server, &demo_servers, None)?.per_second);
            }
        }
        if let (Some(own), Some(theirs)) = (own.last(), theirs.last()) {
            println!(
                "load-ceiling: pair {number} of {}: wrk {theirs:.0}, demo-servers load {own:.0} requests/s",
                args.pairs
            );
        }
    }
    println!("{}", table(&theirs, &own));
    Ok(())
}

/// Answers per second that `wrk` counts, over as many connections as the load generator uses.
fn run_wrk(wrk: &Path, server: &Server, seconds: u32) -> Result<f64> {
    let mut command = server.placement.load(wrk);
    let connections = server.kind.connections().to_string();
    command.args(["-t1", "-c", &connections, "-d", &format!("{seconds}s"), &server.url]);
    parse_wrk(&process::output(&mut command)?)
}

fn parse_wrk(text: &str) -> Result<f64> {
    if let Some(errors) = text.lines().find(|line| line.contains("Socket errors") || line.contains("Non-2xx"))
    {
        bail!("the load of wrk is not clean: {}", errors.trim());
    }
    let rate = text.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"));
    rate.and_then(|rate| rate.trim().parse().ok()).context("wrk printed no number of requests per second")
}

fn table(wrk: &[f64], own: &[f64]) -> String {
    let ratio = Spread::of(own.iter().zip(wrk).map(|(own, wrk)| own / wrk));
    let row = |name, rates: &[f64]| {
        let Spread { q1, median, q3 } = Spread::of(rates.iter().copied());
        format!("| {name} | {median:.0} | {q1:.0} to {q3:.0} |\n")
    };
    format!(
        "| generator | requests/s | quartiles |\n| --- | --- | --- |\n{}{}| ratio, by pair | {:.3} | {:.3} to {:.3} |",
        row("wrk", wrk),
        row("demo-servers load", own),
        ratio.median,
        ratio.q1,
        ratio.q3
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLEAN: &str = "Running 2s test @ http://127.0.0.1:1/\n  1 threads and 16 connections\n\
                         Requests/sec:  40123.45\nTransfer/sec:      5.00MB\n";

    /// Errors that wrk counts make its number worthless.
    #[test]
    fn wrk_is_read() {
        assert!((parse_wrk(CLEAN).unwrap() - 40_123.45).abs() < 1e-9);
        let failed = format!("{CLEAN}  Socket errors: connect 0, read 7, write 0, timeout 0\n");
        assert!(parse_wrk(&failed).unwrap_err().to_string().contains("read 7"));
        assert!(parse_wrk("").is_err());
    }

    /// The ratio is that of the pairs, not of the medians.
    #[test]
    fn the_table_compares_pairs() {
        let table = table(&[100.0, 200.0, 100.0], &[110.0, 220.0, 90.0]);
        assert!(table.contains("| wrk | 100 | 100 to 150 |"), "{table}");
        assert!(table.contains("| ratio, by pair | 1.100 | 1.000 to 1.100 |"), "{table}");
    }
}
