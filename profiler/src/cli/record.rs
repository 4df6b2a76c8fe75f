//! `whywait record`: watch a server and write down what is seen, to be explained later and elsewhere.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, Result};

use super::{
    duration::seconds,
    explain::tell_attached,
    flight::{self, Flight},
    outlet::OutletArgs,
    privileges,
    size::bytes,
    target::TargetArgs,
};
use crate::{
    live::Trigger,
    observe::{Plan, RecordPlan, observe},
    platform::{signals::StopFlag, target::resolve},
    recording::{Limits, RingPlan},
    report::counted,
};

/// Options of `whywait record`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: TargetArgs,
    /// The file to write
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    file: PathBuf,
    /// Seconds to watch; by default until Ctrl-C, or until the target ends
    #[arg(short, long, value_name = "SECONDS", value_parser = seconds)]
    duration: Option<Duration>,
    /// End when the file has this size (100M, 2G); with --keep, begin the next one
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    max_size: Option<u64>,
    /// End when the file is this old; with --keep, begin the next one
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    max_time: Option<Duration>,
    /// Let FILE.1, FILE.2 and so on be the files before, and keep so many of them; without this, a full file ends the recording
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=10_000))]
    keep: Option<u32>,
    /// Flight recorder: hold the last seconds in memory, and write them to FILE.1, FILE.2… on SIGUSR1, or on a trigger if so much time has passed since the last file
    #[arg(long, value_name = "SECONDS", value_parser = seconds, conflicts_with_all = ["max_size", "max_time", "keep"])]
    ring: Option<Duration>,
    /// Memory of the flight recorder, at most
    #[arg(long, value_name = "SIZE", value_parser = bytes, default_value = "256M", requires = "ring")]
    ring_size: u64,
    /// Write when this happens: `p99>20ms`, `request>500ms`, `finding=lock_contention`; may be given several times
    #[arg(long, value_name = "TRIGGER", requires = "ring")]
    on: Vec<Trigger>,
    #[command(flatten)]
    outlets: OutletArgs,
}

/// Runs the command.
///
/// # Errors
/// When the target cannot be found or attached to, or the file not be written.
pub fn run(args: Args) -> Result<ExitCode> {
    let stop = StopFlag::install().context("cannot watch for Ctrl-C")?;
    let limits = Limits { size: args.max_size, time: args.max_time, keep: args.keep };
    let (spec, options) = args.target.into_parts();
    let outlets = args.outlets.open()?;
    let resolved = resolve(&spec)?;
    privileges::check()?;
    if let Some(length) = args.ring {
        let bytes = usize::try_from(args.ring_size).unwrap_or(usize::MAX);
        flight::check_folder(&args.file)?;
        let flight = Flight {
            ring: RingPlan { length, bytes },
            triggers: args.on,
            path: args.file,
            duration: args.duration,
            outlets,
        };
        flight::run(flight, resolved, (spec, options), &stop)?;
        return Ok(ExitCode::SUCCESS);
    }
    let plan = Plan {
        spec,
        options,
        duration: args.duration,
        busy: None,
        attached: Box::new(tell_attached),
        sink: None,
        record: Some(RecordPlan { path: args.file.clone(), limits }),
        outlets,
    };
    let observation = observe(resolved, plan, &stop)?;
    let window = observation.pipeline.window();
    let file = args.file.display();
    eprintln!(
        "recorded {} in {:.1} s; `whywait report {file}` says why they waited",
        counted(window.count(), "request", "requests"),
        window.seconds(),
    );
    Ok(ExitCode::SUCCESS)
}
