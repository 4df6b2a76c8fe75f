//! The load generator: requests on a schedule, and how long their answers took.
//!
//! In the open loop the moment of each request is fixed in advance, as it is with users who do not know each other,
//! and its latency counts from that moment. A server (or a generator) that stalls cannot hide it: the requests that
//! should have been sent meanwhile are late, and are counted as late. That is what "without coordinated omission"
//! means. `service_us` is the other view, from the actual send.
//!
//! One thread, one epoll instance, no busy waiting: on a small machine the generator takes its CPU from the server
//! that it measures.

mod client;
mod epoll;
mod generator;
mod hdr;
mod mix;
mod report;
mod schedule;
mod url;

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::config::seconds;

pub use mix::WeightedUrl;
pub use report::{LatencySummary, LoadErrors, LoadReport, UrlReport};
pub use schedule::Arrivals;
pub use url::Url;

/// What load to make.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, clap::Args)]
pub struct LoadConfig {
    /// What to ask for, `http://HOST:PORT/PATH`; may be given several times (one server only)
    ///
    /// Several are asked for in turn. With weights, `WEIGHT@http://HOST:PORT/PATH`, or with --arrivals poisson they are
    /// drawn at random, each as often as its weight says (1 unless given).
    #[arg(long = "url", value_name = "[WEIGHT@]URL", required = true)]
    pub urls: Vec<WeightedUrl>,

    /// Requests per second; 0 sends the next one when the last is answered (closed loop)
    #[arg(long, default_value_t = 0.0, value_parser = rate)]
    pub rate: f64,

    /// For how many seconds to send requests that are measured
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub duration: Duration,

    /// How many connections there may be at once
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=16384))]
    pub connections: u16,

    /// Open a connection for each request
    #[arg(long)]
    pub close: bool,

    /// How the requests of the open loop are spread over time
    #[arg(long, value_enum, default_value_t = Arrivals::Constant)]
    pub arrivals: Arrivals,

    /// The same as --arrivals poisson
    #[arg(long, hide = true)]
    pub poisson: bool,

    /// What random arrivals and random URLs are drawn from: the same seed, the same requests at the same moments
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// For how many seconds before that to send requests that are not measured [default: none]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub warmup: Option<Duration>,
}

impl LoadConfig {
    /// A closed loop of ten seconds over sixteen kept connections, to be adjusted.
    pub fn new(urls: Vec<Url>) -> Self {
        Self {
            urls: urls.into_iter().map(WeightedUrl::from).collect(),
            rate: 0.0,
            duration: Duration::from_secs(10),
            connections: 16,
            close: false,
            arrivals: Arrivals::Constant,
            poisson: false,
            seed: 1,
            warmup: None,
        }
    }

    /// How the requests of the open loop are spread over time.
    fn arrivals(&self) -> Arrivals {
        if self.poisson { Arrivals::Poisson } else { self.arrivals }
    }
}

/// The arguments of the command `load`.
#[derive(Debug, Clone, PartialEq, clap::Args)]
pub struct LoadArgs {
    /// The load.
    #[command(flatten)]
    pub config: LoadConfig,

    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,

    /// Write the latencies, in nanoseconds, to this file, as an `HdrHistogram` log (its version 1.3, V2 compressed)
    ///
    /// The interval without a tag is the latency of all requests; `service` is their service time, and each of several
    /// URLs has one by its path.
    #[arg(long, value_name = "FILE")]
    pub hdr: Option<PathBuf>,
}

/// Makes the load and returns what came of it. Setting `stop` ends it early: within 50 ms nothing more is sent.
///
/// # Errors
/// When the URLs name different servers, the server cannot be reached at all, or the kernel refuses what the generator
/// needs. Requests that fail are part of the report.
pub fn run(config: &LoadConfig, stop: &AtomicBool) -> Result<LoadReport> {
    generator::run(config, stop).map(|measured| measured.report())
}

/// [`run`], with the report on standard output.
///
/// # Errors
/// Those of [`run`], and when standard output is closed or the file of --hdr cannot be written.
pub fn run_and_print(args: &LoadArgs, stop: &AtomicBool) -> Result<()> {
    let measured = generator::run(&args.config, stop)?;
    if let Some(file) = &args.hdr {
        hdr::write(file, &measured)
            .with_context(|| format!("cannot write the histograms to {}: check --hdr", file.display()))?;
    }
    let report = measured.report();
    let mut stdout = std::io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut stdout, &report).context("cannot print the report")?;
        writeln!(stdout)?;
    } else {
        write!(stdout, "{report}")?;
    }
    Ok(())
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.0..=10_000_000.0).contains(&rate) => Ok(rate),
        _ => Err("give a number of requests per second from 0 to 10000000".to_owned()),
    }
}
