//! `whywait demo`: a reference server under load, explained.

mod helper;
mod outside;

use std::{
    io::{self, Write},
    process::ExitCode,
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use demo_servers::{Model, load::LoadReport};
use serde::Serialize;

use self::helper::Helper;
use super::{duration::seconds, privileges, reference};
use crate::{
    observe::{Observation, Plan, observe},
    platform::{
        signals::StopFlag,
        target::{TargetSpec, resolve},
    },
    probe::Options,
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
/// Time for the last answers, in which the load generator itself gives up.
const GRACE: Duration = Duration::from_secs(3);
/// The last records are in the kernel's buffer for no longer than this.
const SETTLE: Duration = Duration::from_millis(100);
/// How often the load generator is looked at.
const POLL: Duration = Duration::from_millis(20);

/// Options of `whywait demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The server's concurrency model: iterative, thread-per-connection, thread-pool, event-loop
    #[arg(long, default_value = "thread-pool")]
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
    let (observation, output) = watch(&mut server, load, args.duration, &stop)?;
    let load = report(&output)?;
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

/// Watches the server while the load lasts: from before the first request until after the last answer.
fn watch(
    server: &mut Helper,
    load: Helper,
    duration: Duration,
    stop: &StopFlag,
) -> Result<(Observation, String)> {
    let spec = TargetSpec { pids: vec![server.pid().0], children: true, ..TargetSpec::default() };
    let target = resolve(&spec)?;
    let over = StopFlag::new();
    let (tell, attached) = mpsc::channel();
    let plan = Plan {
        spec,
        options: Options::default(),
        duration: Some(duration + GRACE),
        attached: Box::new(move |_| {
            // Nobody listens any more only when the load's thread has failed, which is told when it is joined.
            let _sent = tell.send(());
        }),
        sink: None,
    };
    thread::scope(|scope| {
        let over = &over;
        let driver = scope.spawn(move || drive(load, server, &attached, stop, over));
        let observed = observe(target, plan, over);
        // Nothing is watched any more, so the load need not go on.
        over.set();
        let output =
            driver.join().unwrap_or_else(|_| bail!("the thread that watches the load generator failed"));
        Ok((observed?, output?))
    })
}

/// Lets the load run once whywait is attached, and ends the run when the load is over or somebody stops it.
fn drive(
    mut load: Helper,
    server: &mut Helper,
    attached: &mpsc::Receiver<()>,
    stop: &StopFlag,
    over: &StopFlag,
) -> Result<String> {
    if attached.recv().is_err() {
        return Ok(String::new());
    }
    let started = load.go();
    let mut failed = false;
    if started.is_ok() {
        while !load.has_ended() && !over.is_set() && !failed && !stop.wait_timeout(POLL) {
            failed = server.has_ended();
        }
    }
    let output = load.finish();
    thread::sleep(SETTLE);
    over.set();
    started?;
    if failed {
        bail!("{server} ended in the middle of the load");
    }
    Ok(output)
}

fn report(output: &str) -> Result<LoadReport> {
    serde_json::from_str(output).with_context(|| {
        format!("the load generator did not report what it measured, but said: {}", output.trim())
    })
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

    #[test]
    fn what_is_no_report_is_shown() {
        let error = report("cannot connect\n").unwrap_err();
        assert!(format!("{error:#}").contains("but said: cannot connect"), "{error:#}");
    }
}
