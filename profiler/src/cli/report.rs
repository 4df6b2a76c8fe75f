//! `whywait report`: what a recording says, without any privilege, on any machine.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result};

use super::explain::print;
use crate::{
    clock::Request,
    observe::{Replayed, replay, replay_to},
    report::{Course, Explanation, explain, write_page},
    units::Ns,
};

/// Options of `whywait report`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A recording of `whywait record` or `whywait explain --record`
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print one JSON object (whywait.explain/1) and nothing else
    #[arg(long)]
    json: bool,
    /// Write a page for a browser to this file instead: one file that loads nothing
    #[arg(long, value_name = "OUT", conflicts_with = "json")]
    html: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// When the file is no recording, or the report cannot be written.
pub fn run(args: &Args) -> Result<ExitCode> {
    match &args.html {
        Some(page) => write_html(&args.file, page)?,
        None => print(&explained(&replay(&args.file)?), args.json)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn explained(replayed: &Replayed) -> Explanation {
    let mut explanation = explain(&replayed.observation);
    explanation.missing.clone_from(&replayed.missing);
    explanation
}

fn write_html(recording: &Path, page: &Path) -> Result<()> {
    let course = Arc::new(Mutex::new(Course::new(Ns(0))));
    let kept = Arc::clone(&course);
    let replayed = replay_to(
        recording,
        move |begin| {
            *kept.lock().unwrap_or_else(PoisonError::into_inner) = Course::new(begin);
            Box::new(move |request: &Request| {
                kept.lock().unwrap_or_else(PoisonError::into_inner).request(request);
            })
        },
        &|| false,
    )?;
    let course = course.lock().unwrap_or_else(PoisonError::into_inner);
    let explanation = explained(&replayed);
    let write = || {
        let mut out = BufWriter::new(File::create(page)?);
        write_page(&explanation, &replayed.observation, &course, &mut out)?;
        out.flush()
    };
    write().with_context(|| format!("cannot write the page to {}", page.display()))
}
