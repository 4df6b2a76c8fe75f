//! `cargo xtask replay-speed`: what recordings weigh, and how fast they are read and replayed on one core.
//!
//! The measuring is a program of the package of tests; `docs/recording.md` has its figures.

use std::process::Command;

use anyhow::{Result, bail};

use crate::test::{Binaries, MEASURING};
use crate::{process, tree};

#[derive(clap::Args)]
pub struct Args {
    /// Passed to the measuring program: --rate, --seconds, --model, --large (see its --help)
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

/// Measures, and prints a table.
///
/// # Errors
/// When this is not root, something does not compile, or the measurement fails.
pub fn run(args: &Args) -> Result<()> {
    if !process::is_root() {
        bail!("replay-speed: whywait attaches as root only: run this as root");
    }
    let binaries = Binaries::build()?;
    let mut cargo = process::cargo();
    cargo.args(["build", "--release", "--package", MEASURING, "--bin", "replay-speed"]);
    process::run(cargo.current_dir(tree::root()))?;
    let mut measure = Command::new(tree::target().join("release/replay-speed"));
    binaries.name_in(&mut measure);
    process::run(measure.args(&args.args))
}
