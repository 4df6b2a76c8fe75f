//! `cargo xtask dashboard`: what the dashboard itself takes in a long run; with `--pictures`, the pictures of `docs/tour.md`.
//!
//! The measuring is a program of the package of tests, which has a terminal to look at.

use std::process::Command;

use anyhow::{Result, bail};

use crate::test::{Binaries, MEASURING};
use crate::{process, tree};

/// Where the pictures are, relative to the checkout.
const PICTURES: &str = "docs/pictures";

#[derive(clap::Args)]
pub struct Args {
    /// Seconds of the run
    #[arg(long, default_value_t = 600)]
    seconds: u32,
    /// Requests a second
    #[arg(long, default_value_t = 500)]
    rate: u32,
    /// What is asked for; given several times, each in turn
    #[arg(
        long = "url",
        value_name = "PATH",
        default_values = ["/plaintext", "/json", "/cpu?us=200", "/lock?us=200", "/sleep?ms=1"]
    )]
    paths: Vec<String>,
    /// The server's concurrency model, as `demo-servers list` names it
    #[arg(long, default_value = "thread-pool")]
    model: String,
    /// The screen that is shown, by its key
    #[arg(long, default_value = "1")]
    screen: String,
    /// Take the pictures of docs/tour.md instead
    #[arg(long)]
    pictures: bool,
}

/// Runs the dashboard, and prints what it took.
///
/// # Errors
/// When this is not root, something does not compile, or the run fails.
pub fn run(args: &Args) -> Result<()> {
    if !process::is_root() {
        bail!("dashboard: whywait attaches as root only: run this as root");
    }
    let binaries = Binaries::build()?;
    let mut cargo = process::cargo();
    cargo.args(["build", "--release", "--package", MEASURING, "--bin", "dashboard"]);
    process::run(cargo.current_dir(tree::root()))?;
    let mut measure = Command::new(tree::target().join("release/dashboard"));
    binaries.name_in(&mut measure);
    if args.pictures {
        measure.arg("pictures").arg(tree::root().join(PICTURES));
    } else {
        measure.args(["soak", "--model", &args.model, "--screen", &args.screen]);
        measure.args(["--seconds", &args.seconds.to_string(), "--rate", &args.rate.to_string()]);
        for path in &args.paths {
            measure.args(["--url", path]);
        }
    }
    process::run(&mut measure)
}
