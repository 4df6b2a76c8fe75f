//! The command line: one file a command, wiring only.

mod compare;
mod demo;
mod doctor;
#[cfg(test)]
mod documented;
mod driven;
mod duration;
mod explain;
mod export;
mod flight;
mod helper;
mod model;
mod outlet;
mod privileges;
mod race;
mod record;
mod reference;
mod replay;
mod report;
mod size;
mod target;
mod top;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{platform::target::TargetError, printable::printable};

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
    /// Show live why a server's requests wait: the dashboard
    Top(top::Args),
    /// Watch a server for a while, then say why its requests wait
    Explain(explain::Args),
    /// Watch a server and write down what is seen, to be explained later and elsewhere
    Record(record::Args),
    /// Show a recording in the dashboard: play it, jump to its causes and its slowest request
    Replay(replay::Args),
    /// Say why requests waited, from a recording
    Report(report::Args),
    /// Write a recording in the format of another tool: Perfetto, pprof, Parquet, OpenTelemetry…
    Export(export::Args),
    /// Compare two recordings: what changed in latency, by cause, and whether it is more than noise
    Compare(compare::Args),
    /// Put a changing load on a reference server and show why its requests wait: what whywait is, in a few minutes
    Demo(demo::Args),
    /// Run every reference server under the same load: one table of what each concurrency model costs
    Race(race::Args),
    /// Tell what this kernel and these privileges allow, and what is missing for the rest
    Doctor(doctor::Args),
    #[command(name = reference::SERVE, hide = true)]
    Serve(reference::Args<demo_servers::ServeArgs>),
    #[command(name = reference::UPSTREAM, hide = true)]
    Upstream(reference::Args<demo_servers::upstream::UpstreamConfig>),
    #[command(name = reference::BURN, hide = true)]
    Burn(reference::Args<reference::BurnArgs>),
    #[command(name = reference::LOAD, hide = true)]
    Load(reference::Args<demo_servers::load::LoadArgs>),
}

/// Whether a command line is one, its program's name first: what documents show must be.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn understands<'a>(line: impl IntoIterator<Item = &'a str>) -> Result<(), clap::Error> {
    Cli::try_parse_from(line).map(drop)
}

/// Runs a command. Exit codes: 0 done, 1 failed, 2 bad usage (clap's own).
pub fn run(cli: Cli) -> ExitCode {
    let result = match cli.command {
        Command::Top(args) => top::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Record(args) => record::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Report(args) => report::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Race(args) => race::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Serve(args) => reference::run_server(&args),
        Command::Upstream(args) => reference::run_upstream(&args),
        Command::Burn(args) => reference::run_burn(&args),
        Command::Load(args) => reference::run_load(&args),
    };
    match result {
        Ok(code) => code,
        // Whoever reads has seen enough, as `head` does.
        Err(error) if is_broken_pipe(&error) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("whywait: {}", printable(&format!("{error:#}")));
            if is_bad_usage(&error) { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kinds = error.chain().filter_map(|cause| {
        let json = cause.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind);
        json.or_else(|| cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind))
    });
    kinds.into_iter().any(|kind| kind == std::io::ErrorKind::BrokenPipe)
}

/// What clap cannot tell: a target is named in one of several ways.
fn is_bad_usage(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(TargetError::NoTarget | TargetError::CommandAndOthers))
}
