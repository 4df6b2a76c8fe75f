//! Command line of the reference servers.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use demo_servers::load::{self, LoadArgs};
use demo_servers::upstream::{self, UpstreamConfig};
use demo_servers::{Model, ServeArgs, serve};

/// Reference servers, one for each concurrency model, and a load generator
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a reference server until SIGTERM or SIGINT
    Serve(ServeArgs),
    /// Print the models, one a line
    List,
    /// Run the server that /downstream asks
    Upstream(UpstreamConfig),
    /// Send requests on a schedule and measure the answers
    Load(LoadArgs),
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo-servers: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Serve(args) => serve(args.model, &args.config),
        Command::List => list(),
        Command::Upstream(config) => upstream::serve(&config),
        Command::Load(args) => {
            let stop = Arc::new(AtomicBool::new(false));
            for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
                signal_hook::flag::register(signal, Arc::clone(&stop))
                    .context("cannot handle SIGTERM and SIGINT")?;
            }
            load::run_and_print(&args, &stop)
        }
    }
}

fn list() -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    for model in Model::ALL {
        writeln!(stdout, "{model:<22} {}", model.description())?;
    }
    Ok(())
}
