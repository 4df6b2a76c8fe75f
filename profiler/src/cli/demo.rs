//! `whywait demo`: a reference server under load, explained.

mod outside;

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result};
use demo_servers::{Model, load::LoadReport};
use serde::Serialize;

use super::{
    driven::{self, Driven},
    duration::seconds,
    helper::Helper,
    model::model,
    privileges, reference,
};
use crate::{
    platform::signals::StopFlag,
    report::{Explanation, Palette, explain, write_text},
};

/// What is asked for, in equal parts: mostly quick answers, some work, and one wait of each kind.
const ROUTES: &[&str] = &[
    "/plaintext",
    "/plaintext",
    "/plaintext",
    "/json",
    "/json",
    "/cpu?us=1000",
    "/cpu?us=1000",
    "/sleep?ms=5",
    "/lock?us=1000",
    "/disk?bytes=65536",
    "/downstream?ms=10",
];
/// Connections at once.
const CONNECTIONS: u16 = 32;

/// Options of `whywait demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The server's concurrency model
    #[arg(long, default_value = "thread-pool", value_parser = model())]
    model: Model,
    /// Seconds of load
    #[arg(short, long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    duration: Duration,
    /// Requests per second
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Print one JSON object (whywait.demo/1) and nothing else
    #[arg(long)]
    json: bool,
}

/// What `demo --json` prints.
#[derive(Serialize)]
struct Demo<'a> {
    schema: &'static str,
    model: &'static str,
    explanation: &'a Explanation,
    load: &'a LoadReport,
}

/// Runs the command. Every process that it starts has ended when it returns, whatever happens.
///
/// # Errors
/// When tracing is not allowed, a helper does not start, or whywait cannot attach.
pub fn run(args: &Args) -> Result<ExitCode> {
    privileges::check()?;
    let stop = StopFlag::install().context("cannot watch for Ctrl-C")?;
    let (_upstream, upstream) =
        Helper::serve("the upstream server", &[reference::UPSTREAM.to_owned()], &stop)?;
    let serve = [reference::SERVE.to_owned(), args.model.id().to_owned(), format!("--upstream={upstream}")];
    let (mut server, address) = Helper::serve("the reference server", &serve, &stop)?;
    let load = Helper::prepare("the load generator", &load_arguments(args, &address))?;
    if !args.json {
        eprintln!(
            "{server}, model {}, answers {} requests a second for {} s; Ctrl-C ends it",
            args.model,
            args.rate,
            args.duration.as_secs_f64()
        );
    }
    let Driven { observation, load } = driven::watch(&mut server, load, args.duration, &stop, &mut ())?;
    let mut explanation = explain(&observation);
    explanation.target.command = format!("{} reference server", args.model);
    let mut out = io::stdout().lock();
    if args.json {
        let demo =
            Demo { schema: "whywait.demo/1", model: args.model.id(), explanation: &explanation, load: &load };
        serde_json::to_writer_pretty(&mut out, &demo)?;
        writeln!(out)?;
    } else {
        let palette = Palette::of_stdout();
        write_text(&explanation, palette, &mut out)?;
        writeln!(out)?;
        outside::write(&explanation, &load, palette, &mut out)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn load_arguments(args: &Args, address: &str) -> Vec<String> {
    let mut arguments = vec![
        reference::LOAD.to_owned(),
        "--json".to_owned(),
        "--arrivals=poisson".to_owned(),
        // Every model can serve it: a worker that keeps a connection serves no other one.
        "--close".to_owned(),
        format!("--rate={}", args.rate),
        format!("--duration={}", args.duration.as_secs_f64()),
        format!("--connections={CONNECTIONS}"),
    ];
    arguments.extend(ROUTES.iter().map(|route| format!("--url=http://{address}{route}")));
    arguments
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use demo_servers::load::{Arrivals, LoadArgs};

    use super::*;

    #[derive(Parser)]
    struct Demo {
        #[command(flatten)]
        args: Args,
    }

    #[derive(Parser)]
    struct Load {
        #[command(flatten)]
        args: LoadArgs,
    }

    /// What `demo` asks of the load generator is what the load generator takes.
    #[test]
    fn the_load_generator_understands_its_arguments() {
        let demo = Demo::parse_from(["demo", "--rate", "50", "--duration", "0.5"]).args;
        let load = Load::parse_from(load_arguments(&demo, "127.0.0.1:8000")).args;
        assert!((load.config.rate - 50.0).abs() < 1e-9 && load.config.duration == Duration::from_millis(500));
        assert_eq!(load.config.urls.len(), ROUTES.len());
        assert!(load.json && load.config.close && load.config.arrivals == Arrivals::Poisson);
    }
}
