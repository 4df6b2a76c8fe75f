//! The `whywait` program.

use std::process::ExitCode;

use clap::Parser;
use whywait::cli;

fn main() -> ExitCode {
    cli::run(cli::Cli::parse())
}
