//! Measures how well whywait agrees with what the reference servers say about themselves, and prints it as tables.
//! `cargo xtask truth` runs it and keeps the tables in `docs/accuracy.md`.

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use demo_servers::Model;
use whywait_tests::kernel_test;
use whywait_tests::truth::{Cell, ROUTES, measure, tables};

#[derive(Parser)]
struct Args {
    /// The model to measure; all that this kernel can run without this
    #[arg(long = "model", value_name = "MODEL")]
    models: Vec<Model>,
    /// The route to ask for, such as /cpu; all of them without this
    #[arg(long = "route", value_name = "PATH")]
    routes: Vec<String>,
    /// Seconds for each route
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=3600))]
    duration: u32,
    /// Write every number to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let Some(_serial) = kernel_test() else { return ExitCode::FAILURE };
    let mut routes = ROUTES.to_vec();
    routes.retain(|route| args.routes.is_empty() || args.routes.iter().any(|path| path == route.path));
    let mut cells: Vec<Cell> = Vec::new();
    for model in Model::ALL {
        if !args.models.is_empty() && !args.models.contains(&model) {
            continue;
        }
        if let Err(error) = model.check() {
            eprintln!("truth: {model}: left out: {error:#}");
            continue;
        }
        eprintln!("truth: {model}");
        cells.extend(measure(model, &routes, args.duration));
    }
    if let Some(path) = args.json {
        let file = BufWriter::new(File::create(&path).expect("making the file for the numbers"));
        serde_json::to_writer_pretty(file, &cells).expect("writing the numbers");
    }
    print!("{}", tables(&cells));
    ExitCode::SUCCESS
}
