//! `whywait race`: servers one after another under the same load, and what a request costs in each.

mod course;
mod heat;
mod progress;
mod screen;

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result};
use demo_servers::Model;

pub use self::{
    course::hold,
    heat::{Contender, Heat, Track},
    screen::Live,
};
use super::{duration::seconds, helper::Helper, model::model, privileges, reference, top::ScreenArgs};
use crate::{
    platform::{proc::cpu_count, signals::StopFlag},
    race::{Conditions, Knob, OwnServer, Race, Setting, Sweep, write_csv, write_html, write_table},
    report::Palette,
};

/// The route that draws its work from a seeded mixture.
const MIX: &str = "/mix";

/// Options of `whywait race`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A concurrency model that takes part; may be given several times [default: all]
    #[arg(long = "model", value_name = "MODEL", value_parser = model())]
    models: Vec<Model>,
    /// A server of your own that takes part: a shell's command, in which {port}, {threads} and {workers} are replaced; may be
    /// given several times
    #[arg(long = "server", value_name = "NAME=CMD")]
    servers: Vec<OwnServer>,
    /// Where the servers of your own listen [default: {port}, or the port that they open]
    #[arg(long, requires = "servers", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// What to ask for; given several times, each in turn [default: /plaintext]
    #[arg(long = "url", value_name = "PATH", value_parser = path, conflicts_with = "mix")]
    paths: Vec<String>,
    /// Ask for a mixture of all kinds of work
    #[arg(long)]
    mix: bool,
    /// Requests per second; 0: each connection sends the next one when the last is answered
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    rate: u32,
    /// Connections at once
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=16384))]
    connections: u16,
    /// Keep connections, which needs a thread or process for each in some models (the rest then waits); by default each request
    /// opens a new one
    #[arg(long)]
    keep_alive: bool,
    /// Seconds of load for each server
    #[arg(short, long, value_name = "SECONDS", default_value = "3", value_parser = seconds)]
    duration: Duration,
    /// Processes, in the models that have several
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
    /// Threads in the pool, in the models that have one
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=4096))]
    threads: Option<u16>,
    /// Run with each of these values: threads=1,2,4,8 (default model: thread-pool), workers=1,2,4 (prefork) or connections=8,64
    #[arg(long, value_name = "OPTION=VALUES")]
    sweep: Option<Sweep>,
    /// Do without performance counters: each thread that a server creates is slower for them
    #[arg(long)]
    no_perf: bool,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    look: ScreenArgs,
}

/// What becomes of the figures; by default a table for people.
#[derive(Debug, clap::Args)]
struct Output {
    /// Print one JSON object (whywait.race/1) and nothing else
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print comma-separated values and nothing else
    #[arg(long)]
    csv: bool,
    /// Also write a page with plots to this file; it needs nothing else
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Show the dashboard meanwhile: the server that runs, and, as screen 9, all of them side by side. Its probes run beside those that
    /// measure, which makes every server slower
    #[arg(long, conflicts_with_all = ["json", "csv"])]
    screen: bool,
}

/// Runs the command. Every process that it starts has ended when it returns, whatever happens.
///
/// # Errors
/// When tracing is not allowed, nothing could be run, or the tables cannot be written.
pub fn run(args: &Args) -> Result<ExitCode> {
    privileges::check()?;
    // In the dashboard Ctrl-C is a key.
    let stop = if args.output.screen {
        StopFlag::new()
    } else {
        StopFlag::install().context("cannot watch for Ctrl-C")?
    };
    // Opened before anything runs: minutes of measuring must not end in a mistyped folder.
    let page = args.output.html.as_ref().map(|path| {
        let file = File::create(path).with_context(|| format!("cannot write the page to {}", path.display()));
        file.map(BufWriter::new)
    });
    let page = page.transpose()?;
    let heats = heats(args);
    let paths = paths(args);
    let conditions = Conditions {
        connections: args.connections,
        rate: f64::from(args.rate),
        duration_s: args.duration.as_secs_f64(),
        keep_alive: args.keep_alive,
        threads: args.threads,
        workers: args.workers,
        cpus: cpu_count(),
        paths,
    };
    let (_upstream, upstream) = upstream(&conditions.paths, &stop)?;
    let track = Track {
        conditions: conditions.clone(),
        upstream,
        port: args.port,
        perf: !args.no_perf,
        duration: args.duration,
    };
    let race = Race::new(conditions, args.sweep.as_ref().map(Sweep::option), heats.len());
    let race = if args.output.screen {
        screen::dashboard(race, track, heats, &args.look)?
    } else {
        hold(race, &track, &heats, &stop, &mut progress::Lines::of_stderr(&heats))
    };
    if let Some(mut page) = page {
        write_html(&race, &mut page).and_then(|()| page.flush()).context("cannot write the page")?;
    }
    let mut out = io::stdout().lock();
    if args.output.json {
        serde_json::to_writer_pretty(&mut out, &race)?;
        writeln!(out)?;
    } else if args.output.csv {
        write_csv(&race, &mut out)?;
    } else {
        write_table(&race, Palette::of_stdout(), &mut out)?;
    }
    Ok(if race.failed.is_empty() && !race.rows.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Everything that is to run, in order.
fn heats(args: &Args) -> Vec<Heat> {
    let all: &[Model] = match args.sweep.as_ref().map(Sweep::option) {
        _ if !args.models.is_empty() => &args.models,
        Some(Knob::Threads) => &[Model::ThreadPool],
        Some(Knob::Workers) => &[Model::Prefork],
        Some(Knob::Connections) | None => &Model::ALL,
    };
    let models = all.iter().copied().map(Contender::Model);
    let settings: Vec<Option<Setting>> =
        args.sweep.as_ref().map_or_else(|| vec![None], |sweep| sweep.settings().map(Some).collect());
    let contenders = models.chain(args.servers.iter().cloned().map(Contender::Own));
    contenders
        .flat_map(|contender| {
            // A server that a sweep makes no difference to runs once, beside it.
            let followed = args.sweep.as_ref().is_none_or(|sweep| contender.follows(sweep.option()));
            let settings = if followed { settings.clone() } else { vec![None] };
            settings.into_iter().map(move |setting| Heat { contender: contender.clone(), setting })
        })
        .collect()
}

fn paths(args: &Args) -> Vec<String> {
    if args.mix {
        vec![MIX.to_owned()]
    } else if args.paths.is_empty() {
        vec!["/plaintext".to_owned()]
    } else {
        args.paths.clone()
    }
}

/// The server that some routes ask, where one of those is asked for.
fn upstream(paths: &[String], stop: &StopFlag) -> Result<(Option<Helper>, Option<String>)> {
    let asked = |path: &String| path.starts_with("/downstream") || path.starts_with(MIX);
    if !paths.iter().any(asked) {
        return Ok((None, None));
    }
    let (helper, address) = Helper::serve("the upstream server", &[reference::UPSTREAM.to_owned()], stop)?;
    Ok((Some(helper), Some(address)))
}

fn path(text: &str) -> Result<String, String> {
    // A space or a line end would change the request that this becomes part of.
    if text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` is not a path on the server: write /plaintext or /cpu?us=1000"))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn labels(words: &[&str]) -> Vec<String> {
        let args = Cli::try_parse_from([&["race"], words].concat()).unwrap().args;
        let setting = |heat: &Heat| heat.setting.map_or_else(String::new, |setting| setting.to_string());
        heats(&args).iter().map(|heat| format!("{} {}", heat.contender.name(), setting(heat))).collect()
    }

    #[test]
    fn all_models_take_part_unless_some_are_named() {
        assert_eq!(labels(&[]).len(), Model::ALL.len());
        assert_eq!(labels(&["--model", "gil", "--model", "prefork"]), ["gil ", "prefork "]);
        assert_eq!(labels(&["--server", "mine=node x.js"]).len(), Model::ALL.len() + 1);
    }

    #[test]
    fn a_sweep_has_one_run_for_each_value() {
        assert_eq!(labels(&["--sweep", "threads=1,8"]), ["thread-pool threads=1", "thread-pool threads=8"]);
        let own = ["--sweep", "workers=1,2", "--server", "a=a -w {workers}", "--server", "b=b"];
        let told = ["prefork workers=1", "prefork workers=2", "a workers=1", "a workers=2", "b "];
        assert_eq!(labels(&own), told);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for words in [
            &["--url", "plaintext"][..],
            &["--url", "/a b"],
            &["--mix", "--url", "/json"],
            &["--json", "--csv"],
            &["--port", "80"],
            &["--server", "node x.js"],
            &["--sweep", "queue=1"],
            &["--model", "threads"],
        ] {
            assert!(Cli::try_parse_from([&["race"], words].concat()).is_err(), "{words:?}");
        }
    }
}
