//! `whywait demo`: a reference server under load: in the dashboard, with a tour, or explained as text.

mod outside;
mod tour;

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use demo_servers::{Model, load::LoadReport};
use serde::Serialize;

use self::tour::Tour;
use super::{
    driven::{self, Driven},
    duration::seconds,
    helper::Helper,
    model::model,
    outlet::OutletArgs,
    privileges, reference,
    top::{self, ScreenArgs, Watch},
};
use crate::{
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
/// What stands side by side at the tour's end.
const RIVALS: [Model; 8] = [
    Model::Iterative,
    Model::ThreadPerConnection,
    Model::ThreadPool,
    Model::EventLoop,
    Model::Async,
    Model::Prefork,
    Model::ForkPerConnection,
    Model::Gil,
];
/// Connections at once.
const CONNECTIONS: u16 = 32;

/// Options of `whywait demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The server's concurrency model; of several, separated by commas, the first one is toured, and all stand side by side at the
    /// tour's end [default there: eight that differ]
    #[arg(
        long = "model",
        value_name = "MODEL",
        default_value = "thread-pool",
        value_delimiter = ',',
        value_parser = model()
    )]
    models: Vec<Model>,
    /// Seconds of load [default: 5]; in the dashboard, seconds for each part of the tour [default: 20]
    #[arg(short, long, value_name = "SECONDS", value_parser = seconds)]
    duration: Option<Duration>,
    /// Requests per second
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Print what was found as text, instead of the dashboard; so it is, too, where standard output is no terminal
    #[arg(long, visible_alias = "headless")]
    text: bool,
    /// Print one JSON object (whywait.demo/1) and nothing else
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    screen: ScreenArgs,
    #[command(flatten)]
    outlets: OutletArgs,
}

impl Args {
    /// The server that is toured.
    fn model(&self) -> Model {
        self.models.first().copied().unwrap_or(Model::ThreadPool)
    }

    /// Those that stand side by side.
    fn rivals(&self) -> Vec<Model> {
        if self.models.len() > 1 {
            return self.models.clone();
        }
        let toured = self.model();
        RIVALS.into_iter().chain((!RIVALS.contains(&toured)).then_some(toured)).collect()
    }
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
    if !args.text && !args.json && io::stdout().is_terminal() {
        return dashboard(args);
    }
    let stop = StopFlag::install().context("cannot watch for Ctrl-C")?;
    let outlets = args.outlets.clone().open()?;
    let duration = args.duration.unwrap_or(Duration::from_secs(5));
    let (_upstream, upstream) =
        Helper::serve("the upstream server", &[reference::UPSTREAM.to_owned()], &stop)?;
    let (mut server, address) = serve(args.model(), &upstream, &stop)?;
    let mut arguments = load_arguments(f64::from(args.rate), duration, CONNECTIONS);
    arguments.extend(ROUTES.iter().map(|route| format!("--url=http://{address}{route}")));
    let load = Helper::prepare("the load generator", &arguments)?;
    if !args.json {
        eprintln!(
            "{server}, model {}, answers {} requests a second for {} s; Ctrl-C ends it",
            args.model(),
            args.rate,
            duration.as_secs_f64()
        );
    }
    let Driven { observation, load } = driven::watch(&mut server, load, duration, &stop, (&mut (), outlets))?;
    let mut explanation = explain(&observation);
    explanation.target.command = format!("{} reference server", args.model());
    let mut out = io::stdout().lock();
    if args.json {
        let demo = Demo {
            schema: "whywait.demo/1",
            model: args.model().id(),
            explanation: &explanation,
            load: &load,
        };
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

/// The dashboard on a reference server, with the tour as its load.
fn dashboard(args: &Args) -> Result<ExitCode> {
    let stop = StopFlag::new();
    let outlets = args.outlets.clone().open_behind_the_screen()?;
    let (_upstream, upstream) =
        Helper::serve("the upstream server", &[reference::UPSTREAM.to_owned()], &stop)?;
    let (server, address) = serve(args.model(), &upstream, &stop)?;
    let spec = TargetSpec { pids: vec![server.pid().0], children: true, ..TargetSpec::default() };
    let mut target = resolve(&spec)?;
    target.command = format!("{} demo", args.model());
    let tour = Tour {
        address,
        server: (server.pid(), target.command.clone()),
        upstream,
        rate: f64::from(args.rate),
        length: args.duration.unwrap_or(Duration::from_secs(20)),
        models: args.rivals(),
    };
    let over = stop.clone();
    let guide = move |told| {
        thread::Builder::new().name("whywait-tour".to_owned()).spawn(move || {
            if let Err(error) = tour.run(&told, &over) {
                log::error!("the tour has ended: {error:#}");
            }
        })
    };
    let next = Some("the next server".to_owned());
    let watch = Watch { target, spec, options: Options::default(), follow: None, next, outlets };
    let shown = top::dashboard(watch, &args.screen, guide);
    stop.set();
    if let Some(guide) = shown?
        && guide.join().is_err()
    {
        bail!("the thread that makes the tour's load has failed");
    }
    Ok(ExitCode::SUCCESS)
}

fn serve(model: Model, upstream: &str, stop: &StopFlag) -> Result<(Helper, String)> {
    let serve = [reference::SERVE.to_owned(), model.id().to_owned(), format!("--upstream={upstream}")];
    Helper::serve("the reference server", &serve, stop)
}

/// Arguments of the load generator, without its URLs.
fn load_arguments(rate: f64, duration: Duration, connections: u16) -> Vec<String> {
    vec![
        reference::LOAD.to_owned(),
        "--json".to_owned(),
        "--arrivals=poisson".to_owned(),
        // Every model can serve it: a worker that keeps a connection serves no other one.
        "--close".to_owned(),
        format!("--rate={rate}"),
        format!("--duration={}", duration.as_secs_f64()),
        format!("--connections={connections}"),
    ]
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

    /// One model is toured and stands beside those that differ; several stand beside one another.
    #[test]
    fn models_are_toured_and_compared() {
        let args = |words: &[&str]| Demo::parse_from([&["demo"], words].concat()).args;
        assert_eq!((args(&[]).model(), args(&[]).rivals().len()), (Model::ThreadPool, RIVALS.len()));
        assert_eq!(args(&["--model", "io-uring"]).rivals().last(), Some(&Model::IoUring));
        let two = args(&["--model", "gil,event-loop"]);
        assert_eq!((two.model(), two.rivals()), (Model::Gil, vec![Model::Gil, Model::EventLoop]));
    }

    /// What `demo` asks of the load generator is what the load generator takes.
    #[test]
    fn the_load_generator_understands_its_arguments() {
        let demo = Demo::parse_from(["demo", "--rate", "50", "--duration", "0.5"]).args;
        let mut arguments =
            load_arguments(f64::from(demo.rate), demo.duration.unwrap_or_default(), CONNECTIONS);
        arguments.extend(ROUTES.iter().map(|route| format!("--url=http://127.0.0.1:8000{route}")));
        let load = Load::parse_from(arguments).args;
        assert!((load.config.rate - 50.0).abs() < 1e-9 && load.config.duration == Duration::from_millis(500));
        assert_eq!(load.config.urls.len(), ROUTES.len());
        assert!(load.json && load.config.close && load.config.arrivals == Arrivals::Poisson);
    }
}
