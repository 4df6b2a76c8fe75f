//! Measures what a recording weighs, and how fast it is read and replayed on one core. `cargo xtask replay-speed` runs it.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Parser;
use demo_servers::load::LoadReport;
use rustix::time::{ClockId, clock_gettime};
use whywait::clock::RequestClock;
use whywait::decode::{Gaps, Reorder, Routes, Traces, decode};
use whywait::observe::replay;
use whywait::recording::{Block, BlockKind, Recording, Writer, records};
use whywait_tests::{DemoServer, Load, Signal, Whywait, kernel_test};

/// How far records of two CPUs may be out of order, as the pipeline has it.
const SLACK: u64 = 2_000_000;
/// Repetitions of each measurement; the fastest counts, as the others were disturbed.
const TIMES: usize = 5;

#[derive(Parser)]
struct Args {
    /// Models of the reference servers to record
    #[arg(long = "model", value_name = "MODEL", default_values_t = ["event-loop".to_owned(), "thread-pool".to_owned()])]
    models: Vec<String>,
    /// Requests a second
    #[arg(long, default_value_t = 5_000)]
    rate: u32,
    /// Seconds of load
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// Size of the file that is opened, in MiB
    #[arg(long, default_value_t = 1_024)]
    large: u64,
}

fn main() {
    let args = Args::parse();
    let Some(_serial) = kernel_test() else { std::process::exit(1) };
    let dir = tempfile::tempdir().expect("making a directory");
    println!(
        "| recording of | requests | records | bytes a request | bytes a record | of the ring's | decode | decode and clock | whole replay |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    let mut last = None;
    for model in &args.models {
        let file = dir.path().join(model);
        let load = record(model, &args, &file);
        println!("{}", row(model, &load, &file));
        last = Some(file);
    }
    let file = last.expect("a model");
    let large = dir.path().join("large");
    enlarge(&file, &large, args.large << 20);
    println!("\n{}", opened(&large));
}

/// Records a server under load.
fn record(model: &str, args: &Args, file: &Path) -> LoadReport {
    let server = DemoServer::start(model, &[]);
    let path = file.to_str().expect("a path in text");
    let recording = Whywait::attach(&["record", "--pid", &server.pid().to_string(), "-o", path]);
    let load = Load::new(server.url("/plaintext"), args.rate, args.seconds).connections(4).run();
    recording.signal(Signal::INT);
    let ended = recording.end(Duration::ZERO);
    assert!(ended.status.success(), "recording: {}", ended.stderr);
    load
}

/// The blocks of records of a file.
fn blocks(file: &Path) -> Vec<Block> {
    let mut recording = open(file);
    let entries: Vec<_> =
        recording.entries().iter().filter(|entry| entry.kind == BlockKind::Records).copied().collect();
    entries.iter().map(|entry| recording.block(entry).expect("a block")).collect()
}

fn open(file: &Path) -> Recording<File> {
    Recording::open(File::open(file).expect("opening")).expect("a recording")
}

/// CPU time of the fastest of some repetitions: what else runs on the machine does not count.
fn fastest(mut what: impl FnMut()) -> Duration {
    let times = (0..TIMES).map(|_| {
        let began = cpu_time();
        what();
        cpu_time().saturating_sub(began)
    });
    times.min().expect("a time")
}

/// CPU time of this thread.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn row(model: &str, load: &LoadReport, file: &Path) -> String {
    let blocks = blocks(file);
    let count: u64 = blocks.iter().map(|block| u64::from(block.entry.records)).sum();
    let (on_disk, raw): (u64, usize) =
        (fs::metadata(file).expect("a file").len(), blocks.iter().map(|block| block.content.len()).sum());
    let decoded = fastest(|| {
        let mut routes = Routes::default();
        for block in &blocks {
            for (_, record) in records(&block.content) {
                std::hint::black_box(decode(record, &mut routes).expect("a record"));
            }
        }
    });
    let clocked = fastest(|| clock(&blocks));
    let replayed = fastest(|| {
        std::hint::black_box(replay(file).expect("a replay").observation.pipeline.window().count());
    });
    let per_second = |time: Duration| format!("{:.1} million/s", count as f64 / time.as_secs_f64() / 1e6);
    format!(
        "| {model} | {} | {count} | {:.0} | {:.1} | {:.0} % | {} | {} | {} |",
        load.requests,
        on_disk as f64 / load.requests as f64,
        on_disk as f64 / count as f64,
        on_disk as f64 / raw as f64 * 100.0,
        per_second(decoded),
        per_second(clocked),
        per_second(replayed),
    )
}

/// Decoding, the numbers of the records, their order, and the request clock.
fn clock(blocks: &[Block]) {
    let (mut routes, mut gaps, mut order) = (Routes::default(), Gaps::default(), Reorder::new(SLACK));
    let (mut traces, mut clock, mut done) = (Traces::default(), RequestClock::new(), Vec::new());
    for block in blocks {
        for (_, record) in records(&block.content) {
            order.push_if(decode(record, &mut routes).expect("a record"), |event| {
                traces.number(event, &mut ());
                gaps.check(event)
            });
            order.pass(|event| clock.apply(event, &mut done));
        }
        std::hint::black_box(&done);
        done.clear();
    }
    std::hint::black_box(clock.tally());
}

/// A file of this size, of the same records over and over.
fn enlarge(from: &Path, to: &PathBuf, bytes: u64) {
    let (blocks, preamble) = (blocks(from), open(from).preamble().clone());
    let out = BufWriter::new(File::create(to).expect("making a file"));
    let mut writer = Writer::begin(out, &preamble).expect("writing");
    while writer.written().bytes < bytes {
        for block in &blocks {
            writer.records(&block.content).expect("writing");
        }
    }
    writer.finish().expect("writing");
}

/// How long it takes to open a large file, to read all of it, and how much memory that takes.
fn opened(file: &Path) -> String {
    let size = fs::metadata(file).expect("a file").len() as f64 / f64::from(1 << 20);
    let before = resident();
    let began = Instant::now();
    let mut recording = open(file);
    let by_index = began.elapsed();
    let (count, opened) = (recording.records(), resident() - before);
    let began = cpu_time();
    let (mut taken, mut most) = (0_u64, 0.0_f64);
    for entry in recording.entries().to_vec() {
        if entry.kind == BlockKind::Records {
            let block = recording.block(&entry).expect("a block");
            taken += records(&block.content).count() as u64;
            most = most.max(resident() - before);
        }
    }
    let read = cpu_time().saturating_sub(began);
    // Without its last byte it has no index, as if it had been cut.
    let cut = File::options().write(true).open(file).expect("opening");
    cut.set_len(fs::metadata(file).expect("a file").len() - 1).expect("cutting");
    let began = Instant::now();
    assert_eq!(open(file).records(), count, "every block is found");
    let by_headers = began.elapsed();
    assert_eq!(taken, count);
    format!(
        "A file of {size:.0} MiB with {:.0} million records opens in {:.1} ms and {opened:.1} MiB of memory by its index, in {:.0} ms when \
         its end is missing; reading all of it takes {:.1} s and at most {most:.1} MiB.",
        count as f64 / 1e6,
        by_index.as_secs_f64() * 1e3,
        by_headers.as_secs_f64() * 1e3,
        read.as_secs_f64(),
    )
}

/// MiB of memory that this process has (`/proc/self/statm`).
fn resident() -> f64 {
    let text = fs::read_to_string("/proc/self/statm").expect("reading statm");
    let pages: u64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("pages");
    pages as f64 * rustix::param::page_size() as f64 / f64::from(1 << 20)
}
