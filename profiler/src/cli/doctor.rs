//! `whywait doctor`: what this kernel and these privileges allow, found out by loading and attaching every program.

mod diagnosis;
mod examine;
mod text;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Result;

use crate::report::Palette;

/// Options of `whywait doctor`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print one JSON object (whywait.doctor/1) and nothing else
    #[arg(long)]
    json: bool,
}

/// Runs the command. The exit code tells whether `explain` works here.
///
/// # Errors
/// When the kernel's version or the own capabilities cannot be read, or the findings not be written.
pub fn run(args: &Args) -> Result<ExitCode> {
    let diagnosis = examine::examine()?;
    let mut out = io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &diagnosis)?;
        writeln!(out)?;
    } else {
        text::write(&diagnosis, Palette::of_stdout(), &mut out)?;
    }
    Ok(if diagnosis.works { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
