//! `cargo xtask matrix`: the tests on other kernels than this one.
//!
//! Debian's two kernels of this release are booted in virtual machines that share the host's files, and the compiled
//! test programs run there, one test at a time. The result, per kernel and test, is `docs/kernels.md`.

mod guest;
mod kernels;
mod plan;
mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};

pub use kernels::{Kernel, Series};

use crate::test::Binaries;
use crate::tree;
use guest::{Limits, Outcome};
use plan::Test;
use report::{Column, Verdict};

#[derive(clap::Args)]
pub struct Args {
    /// The kernel series to boot; all of them without this
    #[arg(long = "kernel", value_enum)]
    kernels: Vec<Series>,
    /// Run this shell command in each guest instead of the tests, and end with its status
    #[arg(long)]
    shell: Option<String>,
    /// Run only the tests whose names contain this; may be repeated, for those that contain any of them
    #[arg(long = "filter")]
    filters: Vec<String>,
    /// Seconds that one test may take in a guest
    #[arg(long, default_value_t = 300)]
    test_timeout: u64,
}

/// Boots each kernel and runs the tests, or the given command, in it.
///
/// # Errors
/// When a guest cannot be made or stops early, or a test fails in one.
pub fn run(args: &Args) -> Result<ExitCode> {
    let series = if args.kernels.is_empty() { Series::ALL.to_vec() } else { args.kernels.clone() };
    let kernels: Vec<Kernel> = series.into_iter().map(Kernel::fetch).collect::<Result<_>>()?;
    match &args.shell {
        Some(command) => shell(&kernels, command),
        None => tests(&kernels, args).map(|()| ExitCode::SUCCESS),
    }
}

/// Runs the command on each kernel; the first that does not succeed there gives the status of this program.
fn shell(kernels: &[Kernel], command: &str) -> Result<ExitCode> {
    for kernel in kernels {
        let limit = Duration::from_mins(30);
        let limits = Limits { whole: limit, silent: limit };
        let outcome = guest::run(kernel, command, limits, |line| println!("{line}"))?;
        match outcome {
            Outcome::Exited(0) => {}
            Outcome::Exited(status) => {
                eprintln!("matrix: on {} the command ended with status {status}", kernel.release);
                return Ok(u8::try_from(status).map_or(ExitCode::FAILURE, ExitCode::from));
            }
            Outcome::Died => {
                bail!("the machine with {} stopped before the command had ended", kernel.release)
            }
            Outcome::TimedOut => bail!("on {} the command had not ended after half an hour", kernel.release),
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn tests(kernels: &[Kernel], args: &Args) -> Result<()> {
    let binaries = Binaries::build()?;
    let mut tests = plan::list()?;
    let names: BTreeSet<String> = tests.iter().map(Test::name).collect();
    if !args.filters.is_empty() {
        tests.retain(|test| args.filters.iter().any(|part| test.name().contains(part.as_str())));
    }
    if tests.is_empty() {
        bail!("no test to run: the package {} has none of that name", crate::test::MEASURING);
    }
    let limit = Duration::from_secs(args.test_timeout);
    let mut columns = Vec::new();
    for kernel in kernels {
        columns.push(on_kernel(kernel, &tests, &names, &binaries, limit)?);
    }
    println!("{}", report::markdown(&columns));
    let file = tree::root().join("docs/kernels.md");
    std::fs::write(&file, report::page(&kept()?)).context("cannot write docs/kernels.md")?;
    println!("matrix: docs/kernels.md: written");
    let failed: Vec<&str> =
        columns.iter().filter(|column| column.failed()).map(|column| column.release.as_str()).collect();
    if !failed.is_empty() {
        bail!("tests failed on {}", failed.join(", "));
    }
    Ok(())
}

/// Where the newest verdicts of each kernel are kept, so that kernels, and tests, can be run one by one.
fn column_file(release: &str) -> PathBuf {
    tree::target().join("matrix").join(format!("{release}.json"))
}

/// Keeps a column. Tests that it says nothing of stay as they were, and those that are none any more go.
fn keep(column: &Column, names: &BTreeSet<String>) -> Result<()> {
    let file = column_file(&column.release);
    let mut whole = read_column(&file)?.unwrap_or_else(|| column.clone());
    whole.add(column, names);
    let text = serde_json::to_string_pretty(&whole).context("cannot write a result down")?;
    file.parent()
        .map_or(Ok(()), std::fs::create_dir_all)
        .context("cannot make the folder for the results")?;
    std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
}

/// A kept column, if there is one.
fn read_column(file: &Path) -> Result<Option<Column>> {
    let Ok(text) = std::fs::read_to_string(file) else { return Ok(None) };
    serde_json::from_str(&text)
        .with_context(|| format!("{} is no result: remove it", file.display()))
        .map(Some)
}

/// The columns of all kernels that were run, oldest kernel first.
fn kept() -> Result<Vec<Column>> {
    let mut columns = Vec::new();
    for series in Series::ALL {
        columns.extend(read_column(&column_file(&Kernel::fetch(series)?.release))?);
    }
    Ok(columns)
}

/// Runs the tests in one guest after the other until each has a verdict. A test in which a guest stops is tried again in
/// another one, once. Each verdict is kept at once: a run takes hours, and one that is interrupted has not been in vain.
fn on_kernel(
    kernel: &Kernel,
    tests: &[Test],
    names: &BTreeSet<String>,
    binaries: &Binaries,
    limit: Duration,
) -> Result<Column> {
    let mut column =
        Column { release: kernel.release.clone(), doctor: String::new(), verdicts: BTreeMap::new() };
    let first_open =
        |column: &Column| tests.iter().position(|test| !column.verdicts.contains_key(&test.name()));
    let mut stopped_in = None;
    while let Some(first) = first_open(&column) {
        let rest = tests.len() - first;
        println!("matrix: {}: booting for {rest} tests", kernel.release);
        let script = plan::script(tests, first, binaries, limit)?;
        // Booting takes some seconds, but up to a minute on a busy host.
        let margin = Duration::from_mins(2);
        let whole = margin + limit * u32::try_from(rest).unwrap_or(u32::MAX);
        let limits = Limits { whole, silent: limit + margin };
        let mut log = Vec::new();
        let mut booted = false;
        let mut kept = Ok(());
        let outcome = guest::run(kernel, &script, limits, |line| match report::parse(line) {
            Some((index, verdict)) => {
                if let Some(test) = tests.get(index) {
                    println!("matrix: {}: {}: {verdict}", kernel.release, test.name());
                    if matches!(verdict, Verdict::Failed(_)) {
                        println!("{}", log.join("\n"));
                    }
                    column.verdicts.insert(test.name(), verdict);
                    if kept.is_ok() {
                        kept = keep(&column, names);
                    }
                }
                log.clear();
            }
            None if line == plan::DOCTOR => log.clear(),
            None if line == plan::READY => {
                booted = true;
                log.join("\n").trim().clone_into(&mut column.doctor);
                log.clear();
            }
            None => log.push(line.to_owned()),
        })?;
        kept?;
        if let Some(next) = first_open(&column) {
            println!("{}", log.join("\n"));
            if !booted {
                bail!("the machine with {} ran no test ({outcome:?}); its console is above", kernel.release);
            }
            if stopped_in == Some(next) {
                let stopped = Verdict::Failed("the machine stopped in it, twice".to_owned());
                column.verdicts.insert(tests[next].name(), stopped);
                keep(&column, names)?;
            }
            stopped_in = Some(next);
        }
    }
    Ok(column)
}
