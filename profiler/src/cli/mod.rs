//! The command line: one file a command, wiring only.

mod explain;
mod target;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Says why a server's requests wait: attaches to any Linux server, untouched, finds its requests in kernel events, and
/// splits each one's latency, exactly, into what it waited for.
#[derive(Debug, Parser)]
#[command(name = "whywait", version, about, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch a server for a while, then say why its requests wait
    Explain(explain::Args),
}

/// Runs a command. Exit codes: 0 done, 1 failed, 2 bad usage (clap's own).
pub fn run(cli: Cli) -> ExitCode {
    let result = match cli.command {
        Command::Explain(args) => explain::run(args),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("whywait: {error:#}");
            ExitCode::FAILURE
        }
    }
}
