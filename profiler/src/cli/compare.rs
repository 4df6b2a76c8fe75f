//! `whywait compare`: two recordings side by side, without any privilege, on any machine.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result};

use crate::{
    clock::Request,
    compare::{Condition, Recorded, Sample, compare, write_comparison, write_page},
    observe::{Replayed, replay_to},
    report::{Explanation, Palette, explain},
};

/// Options of `whywait compare`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The recording from before
    #[arg(value_name = "BEFORE")]
    before: PathBuf,
    /// The recording from after
    #[arg(value_name = "AFTER")]
    after: PathBuf,
    /// Print one JSON object (whywait.compare/1) and nothing else
    #[arg(long)]
    json: bool,
    /// Also write one page to this file; it needs nothing else
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// End with exit code 1 if this happened and is more than noise: `p99>+10%`, `sleep>+2ms`, `rate<-5%`; may be given several times
    #[arg(long, value_name = "CHANGE")]
    fail_if: Vec<Condition>,
}

/// A recording that has been read.
struct Side {
    name: String,
    sample: Sample,
    replayed: Replayed,
    explanation: Explanation,
}

impl Side {
    fn read(path: &Path) -> Result<Self> {
        let sample = Arc::new(Mutex::new(Sample::default()));
        let filled = Arc::clone(&sample);
        let sink = move |request: &Request| {
            filled.lock().unwrap_or_else(PoisonError::into_inner).add(request);
        };
        let mut replayed = replay_to(path, |_| Box::new(sink), &|| false)?;
        let mut explanation = explain(&replayed.observation);
        explanation.missing = std::mem::take(&mut replayed.missing);
        let sample = std::mem::take(&mut *sample.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(Self { name: path.display().to_string(), sample, replayed, explanation })
    }

    fn recorded(&self) -> Recorded<'_> {
        Recorded {
            name: self.name.clone(),
            sample: &self.sample,
            span: self.replayed.observation.pipeline.window().span(),
            explanation: &self.explanation,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// When a file is no recording, or the comparison cannot be written.
pub fn run(args: &Args) -> Result<ExitCode> {
    let (before, after) = (Side::read(&args.before)?, Side::read(&args.after)?);
    let comparison = compare(&before.recorded(), &after.recorded(), &args.fail_if);
    if let Some(path) = &args.html {
        let write = File::create(path).and_then(|file| {
            let mut out = BufWriter::new(file);
            write_page(&comparison, &mut out)?;
            out.flush()
        });
        write.with_context(|| format!("cannot write the page to {}", path.display()))?;
    }
    let mut out = io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &comparison)?;
        writeln!(out)?;
    } else {
        write_comparison(&comparison, Palette::of_stdout(), &mut out)?;
    }
    Ok(if comparison.has_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
