//! `whywait explain`: watch for a while, then say why requests wait.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result};

use super::{duration::seconds, outlet::OutletArgs, privileges, target::TargetArgs};
use crate::{
    observe::{Plan, RecordPlan, observe},
    platform::{
        signals::StopFlag,
        target::{Resolved, resolve},
    },
    printable::printable,
    recording::Limits,
    report::{Explanation, Palette, explain, write_text},
    stacks::write_folded,
};

/// Options of `whywait explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: TargetArgs,
    /// Seconds to watch; by default 5, and for a command that whywait starts until it ends
    #[arg(short, long, value_name = "SECONDS", value_parser = seconds)]
    duration: Option<Duration>,
    /// Print one JSON object (whywait.explain/1) and nothing else
    #[arg(long)]
    json: bool,
    /// Write the stacks of each route and state to this file, folded, as flame-graph programs read them
    #[arg(long, value_name = "FILE", conflicts_with = "no_stacks")]
    folded: Option<PathBuf>,
    /// Write down what was seen to this file as well, for `whywait report`
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    #[command(flatten)]
    outlets: OutletArgs,
}

/// Runs the command.
///
/// # Errors
/// When the target cannot be found or attached to, or the report cannot be written.
pub fn run(args: Args) -> Result<ExitCode> {
    let stop = StopFlag::install().context("cannot watch for Ctrl-C")?;
    let (spec, options) = args.target.into_parts();
    let duration = args.duration.or_else(|| spec.command.is_empty().then_some(Duration::from_secs(5)));
    let outlets = args.outlets.open()?;
    let resolved = resolve(&spec)?;
    privileges::check()?;
    let record = args.record.map(|path| RecordPlan { path, limits: Limits::default() });
    let attached = Box::new(tell_attached);
    let plan = Plan { spec, options, duration, busy: None, attached, sink: None, record, outlets };
    let observation = observe(resolved, plan, &stop)?;
    if let Some(path) = &args.folded {
        let write =
            File::create(path).and_then(|file| write_folded(&observation.stacks, &mut BufWriter::new(file)));
        write.with_context(|| format!("cannot write the stacks to {}", path.display()))?;
    }
    print(&explain(&observation), args.json)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints an explanation as text, or as one JSON object.
///
/// # Errors
/// When standard output cannot be written.
pub fn print(explanation: &Explanation, json: bool) -> Result<()> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, explanation)?;
        writeln!(out)?;
    } else {
        write_text(explanation, Palette::of_stdout(), &mut out)?;
    }
    Ok(())
}

/// One line on standard error: what is watched, so that a script knows when to begin.
pub fn tell_attached(target: &Resolved) {
    let count = target.pids.len();
    let more = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
    let first = target.pids.first().map_or(0, |pid| pid.0);
    eprintln!("attached to {} ({first}{more})", printable(&target.command));
    for pid in &target.gone {
        eprintln!("there is no process {pid} any more; the others are watched");
    }
    if let Some(command) = &target.launched {
        eprintln!("its output goes to {}", command.output_path().display());
    }
}
