//! `whywait export`: a recording in the formats of other tools.

use std::{
    fs::File,
    io::{self, BufWriter, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::{
    export::{
        Destination, Encoding, End, Export, Exporter, Firefox, Form, JsonLines, Lost, Otlp, Perfetto, Pprof,
        Profiles, Receiver, Table, Tables, WallClock,
    },
    observe::replay_to,
    recording::{Preamble, Recording},
};

/// Formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A trace for ui.perfetto.dev: threads, requests, hand-overs
    Perfetto,
    /// A profile for profiler.firefox.com
    Firefox,
    /// A profile for `pprof`: time on the CPU and off it
    Pprof,
    /// Stacks a line each, for flame-graph programs
    Folded,
    /// A flame graph
    Svg,
    /// Tables for `DuckDB`, pandas and others
    Parquet,
    /// Tables as text
    Csv,
    /// A JSON object for each request
    Jsonl,
    /// Spans of OpenTelemetry
    Otlp,
}

impl Format {
    fn is_binary(self) -> bool {
        matches!(self, Self::Perfetto | Self::Pprof | Self::Parquet)
    }

    /// How it encodes tables, if it has some.
    fn encoding(self) -> Option<Encoding> {
        match self {
            Self::Csv => Some(Encoding::Csv),
            Self::Parquet => Some(Encoding::Parquet),
            _ => None,
        }
    }
}

/// Options of `whywait export`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The recording
    #[arg(value_name = "FILE")]
    recording: PathBuf,
    /// The format
    #[arg(long, value_enum, value_name = "FORMAT")]
    to: Format,
    /// File to write, by default standard output; of parquet and csv, a folder for all tables, or a file of that name's ending for one
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
    /// Only requests of this route: `GET /orders`, or `/orders` for any method
    #[arg(long)]
    route: Option<String>,
    /// The one table to write in parquet or csv [default without a folder: requests]
    #[arg(long, value_name = "TABLE", value_parser = table)]
    table: Option<Table>,
    /// Send otlp spans to a receiver by HTTP, such as one on `http://localhost:4318`
    #[arg(long, value_name = "URL", conflicts_with = "output")]
    endpoint: Option<String>,
}

/// Takes the name of a table.
fn table(name: &str) -> Result<Table, String> {
    let names: Vec<&str> = Table::ALL.iter().map(|table| table.name()).collect();
    let found = Table::ALL.into_iter().find(|table| table.name() == name);
    found.ok_or_else(|| format!("the tables are {}", names.join(", ")))
}

/// Runs the command.
///
/// # Errors
/// When the recording cannot be read, or the export cannot be written.
pub fn run(args: &Args) -> Result<ExitCode> {
    if args.table.is_some() && args.to.encoding().is_none() {
        bail!("only parquet and csv have tables: leave --table out");
    }
    if args.endpoint.is_some() && args.to != Format::Otlp {
        bail!("only otlp is sent to an endpoint: leave --endpoint out, or use --to otlp");
    }
    let recording = open(&args.recording)?;
    let (preamble, lost) = (recording.preamble(), Lost::of(recording.entries()));
    let export = Export::new(exporter(args, preamble)?, args.route.clone());
    let mut replayed = replay_to(&args.recording, |_| export.sink(), &|| export.has_failed())?;
    let end = End {
        pipeline: &replayed.observation.pipeline,
        stacks: &replayed.observation.stacks,
        lost: &lost,
        code: &mut replayed.names,
        route: args.route.as_deref(),
    };
    let place = args.output.as_deref().map_or_else(|| "standard output".into(), Path::to_string_lossy);
    let requests = export.finish(end).with_context(|| format!("cannot export to {place}"))?;
    for missing in &replayed.missing {
        eprintln!("whywait: {missing}");
    }
    if let Some(path) = &args.output {
        eprintln!("{requests} requests exported to {}", path.display());
    } else if let Some(url) = &args.endpoint {
        eprintln!("{requests} requests sent to {url}");
    }
    Ok(ExitCode::SUCCESS)
}

fn open(path: &Path) -> Result<Recording<File>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    Recording::open(file).with_context(|| format!("cannot export {}", path.display()))
}

fn exporter(args: &Args, preamble: &Preamble) -> Result<Box<dyn Exporter>> {
    let clock = WallClock::of(preamble);
    if let Some(url) = &args.endpoint {
        return Ok(Box::new(Otlp::new(preamble, Receiver::at(url))));
    }
    let out = || output(args);
    let tables = |encoding| anyhow::Ok(Tables::begin(clock, encoding, destination(args, encoding)?)?);
    let profiles = |form| anyhow::Ok(Profiles::new(form, preamble.command.clone(), out()?));
    Ok(match args.to {
        Format::Perfetto => Box::new(Perfetto::begin(preamble, out()?)?),
        Format::Firefox => Box::new(Firefox::new(preamble, out()?)),
        Format::Pprof => Box::new(Pprof::new(clock, out()?)),
        Format::Folded => Box::new(profiles(Form::Folded)?),
        Format::Svg => Box::new(profiles(Form::Svg)?),
        Format::Parquet => Box::new(tables(Encoding::Parquet)?),
        Format::Csv => Box::new(tables(Encoding::Csv)?),
        Format::Jsonl => Box::new(JsonLines::new(clock, out()?)),
        Format::Otlp => Box::new(Otlp::new(preamble, Receiver::Lines(out()?))),
    })
}

/// A folder gets all tables; a file with the ending of the format, and standard output, one.
fn destination(args: &Args, encoding: Encoding) -> Result<Destination> {
    let folder = args.output.as_ref().filter(|path| {
        let ending = path.extension().and_then(|ending| ending.to_str());
        args.table.is_none() && ending != Some(encoding.extension())
    });
    if let Some(folder) = folder {
        return Ok(Destination::Folder(folder.clone()));
    }
    Ok(Destination::One(args.table.unwrap_or(Table::Requests), output(args)?))
}

fn output(args: &Args) -> Result<Box<dyn Write + Send>> {
    if let Some(path) = &args.output {
        let file = File::create(path).with_context(|| format!("cannot make {}", path.display()))?;
        return Ok(Box::new(BufWriter::new(file)));
    }
    if args.to.is_binary() && io::stdout().is_terminal() {
        bail!("this format is not text, and standard output is a terminal: name a file with -o");
    }
    Ok(Box::new(BufWriter::new(io::stdout())))
}
