//! The reference servers and the load generator inside this program: hidden commands, which `demo` starts as processes of
//! their own.

use std::process::ExitCode;

use anyhow::{Context, Result};
use demo_servers::{
    ServeArgs,
    load::{self, LoadArgs},
    serve,
    upstream::{self, UpstreamConfig},
};

use crate::platform::signals::StopFlag;

/// Name of the hidden command that runs a reference server.
pub const SERVE: &str = "__serve";
/// Name of the hidden command that runs the server which `/downstream` asks.
pub const UPSTREAM: &str = "__upstream";
/// Name of the hidden command that makes load.
pub const LOAD: &str = "__load";

/// Serves until SIGTERM.
///
/// # Errors
/// Those of [`serve`].
pub fn run_server(args: &ServeArgs) -> Result<ExitCode> {
    serve(args.model, &args.config)?;
    Ok(ExitCode::SUCCESS)
}

/// Serves until SIGTERM.
///
/// # Errors
/// Those of [`upstream::serve`].
pub fn run_upstream(config: UpstreamConfig) -> Result<ExitCode> {
    upstream::serve(&config)?;
    Ok(ExitCode::SUCCESS)
}

/// Makes load until it is over, or SIGTERM ends it early.
///
/// # Errors
/// Those of [`load::run_and_print`].
pub fn run_load(args: &LoadArgs) -> Result<ExitCode> {
    let stop = StopFlag::install().context("cannot watch for SIGTERM")?;
    load::run_and_print(args, &stop.flag())?;
    Ok(ExitCode::SUCCESS)
}
