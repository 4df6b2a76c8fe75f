//! `cargo xtask test`: every test of the workspace.
//!
//! Tests that measure running servers live in the package `whywait-tests` and run one at a time; all others run as cargo
//! runs them. A test that cannot run here (no root, no nginx) says so in a file, and the end of the run lists them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{process, tree};

/// The package of the tests that measure.
pub const MEASURING: &str = "whywait-tests";
/// Names the file to which a test that cannot run appends `group: reason`.
pub const SKIP_LOG: &str = "WHYWAIT_SKIP_LOG";

#[derive(clap::Args, Default)]
pub struct Args {
    /// Passed to the test programs: name filters, --nocapture, …
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

/// Builds the release binaries, runs the tests against them and lists what could not run.
///
/// # Errors
/// When the build or a test fails.
pub fn run(args: &Args) -> Result<()> {
    let binaries = Binaries::build()?;
    let dir = tempfile::tempdir().context("cannot create a temporary folder")?;
    let skips = dir.path().join("skipped");

    let mut parallel = process::cargo();
    parallel.args(["test", "--workspace", "--exclude", MEASURING, "--no-fail-fast", "--"]);
    let mut measuring = process::cargo();
    measuring.args(["test", "--package", MEASURING, "--no-fail-fast", "--", "--test-threads=1"]);

    let mut failed = Vec::new();
    for (group, command) in
        [("unit and model tests", &mut parallel), ("tests on live servers", &mut measuring)]
    {
        binaries.name_in(command);
        command.args(&args.args).env(SKIP_LOG, &skips).current_dir(tree::root());
        if process::run(command).is_err() {
            failed.push(group);
        }
    }
    print_skips(&read_skips(&skips));
    if !failed.is_empty() {
        bail!("tests failed: {}; what cargo printed above names them", failed.join(", "));
    }
    Ok(())
}

/// The release binaries that the tests start.
pub struct Binaries {
    whywait: PathBuf,
    demo_servers: PathBuf,
}

impl Binaries {
    /// Builds them.
    ///
    /// # Errors
    /// When they do not compile.
    pub fn build() -> Result<Self> {
        let release = build(&["whywait", "demo-servers"])?;
        Ok(Self { whywait: release.join("whywait"), demo_servers: release.join("demo-servers") })
    }

    /// The profiler.
    pub fn whywait(&self) -> &Path {
        &self.whywait
    }

    /// The reference servers.
    pub fn demo_servers(&self) -> &Path {
        &self.demo_servers
    }

    /// Tells a command, by its environment, where they are.
    pub fn name_in(&self, command: &mut Command) {
        command.env("WHYWAIT_BIN", &self.whywait).env("DEMO_SERVERS_BIN", &self.demo_servers);
    }
}

/// Builds the reference servers and the load generator alone; the program with both.
///
/// # Errors
/// When they do not compile.
pub fn build_demo_servers() -> Result<PathBuf> {
    Ok(build(&["demo-servers"])?.join("demo-servers"))
}

/// Builds these packages and returns the folder with their programs.
fn build(packages: &[&str]) -> Result<PathBuf> {
    let mut cargo = process::cargo();
    cargo.args(["build", "--release"]);
    for package in packages {
        cargo.args(["--package", package]);
    }
    process::run(cargo.current_dir(tree::root()))?;
    Ok(tree::target().join("release"))
}

/// What the tests said they could not run; nothing when the file does not exist.
fn read_skips(file: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn print_skips(skips: &BTreeSet<String>) {
    if skips.is_empty() {
        println!("test: every group ran");
        return;
    }
    println!("test: could not run here:");
    for line in skips {
        println!("  {line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reason that many tests give is listed once.
    #[test]
    fn skips_are_distinct() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("skipped");
        assert!(read_skips(&file).is_empty());
        fs::write(&file, "kernel tests: not root\nreal servers: no nginx\nkernel tests: not root\n").unwrap();
        let skips: Vec<String> = read_skips(&file).into_iter().collect();
        assert_eq!(skips, ["kernel tests: not root", "real servers: no nginx"]);
    }
}
