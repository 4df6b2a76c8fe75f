//! `whywait record`: watch a server and write down what is seen, to be explained later and elsewhere.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, Result};

use super::{duration::seconds, explain::tell_attached, privileges, size::bytes, target::TargetArgs};
use crate::{
    observe::{Plan, RecordPlan, observe},
    platform::{signals::StopFlag, target::resolve},
    recording::Limits,
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
}

/// Runs the command.
///
/// # Errors
/// When the target cannot be found or attached to, or the file not be written.
pub fn run(args: Args) -> Result<ExitCode> {
    let stop = StopFlag::install().context("cannot watch for Ctrl-C")?;
    let limits = Limits { size: args.max_size, time: args.max_time, keep: args.keep };
    let (spec, options) = args.target.into_parts();
    let resolved = resolve(&spec)?;
    privileges::check()?;
    let plan = Plan {
        spec,
        options,
        duration: args.duration,
        attached: Box::new(tell_attached),
        sink: None,
        record: Some(RecordPlan { path: args.file.clone(), limits }),
    };
    let observation = observe(resolved, plan, &stop)?;
    let window = observation.pipeline.window();
    let file = args.file.display();
    eprintln!(
        "recorded {} in {:.1} s; `whywait report {file}` says why they waited",
        counted(window.all().count(), "request", "requests"),
        window.seconds(),
    );
    Ok(ExitCode::SUCCESS)
}
