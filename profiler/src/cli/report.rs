//! `whywait report`: what a recording says, without any privilege, on any machine.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;

use super::explain::print;
use crate::{observe::replay, report::explain};

/// Options of `whywait report`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A recording of `whywait record` or `whywait explain --record`
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print one JSON object (whywait.explain/1) and nothing else
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// When the file is no recording, or the report cannot be written.
pub fn run(args: &Args) -> Result<ExitCode> {
    let replayed = replay(&args.file)?;
    let mut explanation = explain(&replayed.observation);
    explanation.missing = replayed.missing;
    print(&explanation, args.json)?;
    Ok(ExitCode::SUCCESS)
}
