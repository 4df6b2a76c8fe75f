//! Measures what the dashboard itself takes while it runs for long, or takes the pictures of the tour. `cargo xtask dashboard` runs it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use whywait_tests::{DemoServer, Load, Screen, kernel_test, wait_until, whywait_path};

/// The terminal's size.
const SIZE: (u16, u16) = (120, 40);
/// How long anything may take to be seen.
const SOON: Duration = Duration::from_secs(30);
/// From the beginning of a part of the tour until its picture: the numbers are those of ten seconds.
const PART: Duration = Duration::from_secs(13);
/// Between a key and the picture.
const DRAWN: Duration = Duration::from_millis(600);

#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Runs the dashboard on a server under load, and tells its memory and the CPU time of its threads
    Soak {
        /// Seconds
        #[arg(long)]
        seconds: u32,
        /// Requests a second
        #[arg(long)]
        rate: u32,
        /// What is asked for; given several times, each in turn
        #[arg(long = "url", value_name = "PATH")]
        paths: Vec<String>,
        /// The server's concurrency model
        #[arg(long)]
        model: String,
        /// Screen that is shown, by its key
        #[arg(long, default_value = "1")]
        screen: String,
    },
    /// Goes through the demo's tour and writes what is to be seen as SVG files
    Pictures {
        /// Folder to write to
        folder: PathBuf,
    },
}

fn main() -> ExitCode {
    let Some(_serial) = kernel_test() else { return ExitCode::FAILURE };
    let Some(screen) = Screen::open("measured", SIZE) else { return ExitCode::FAILURE };
    match Args::parse().task {
        Task::Soak { seconds, rate, paths, model, screen: key } => {
            soak(&screen, &model, &paths, (seconds, rate), &key);
        }
        Task::Pictures { folder } => pictures(&screen, &folder),
    }
    ExitCode::SUCCESS
}

/// Runs the dashboard under load, and prints a line each minute and what each thread took.
fn soak(screen: &Screen, model: &str, paths: &[String], (seconds, rate): (u32, u32), key: &str) {
    let server = DemoServer::start(model, &[]);
    let mut urls = paths.iter().map(|path| server.url(path));
    let load = Load::new(urls.next().expect("at least one path"), rate, seconds).connections(16);
    let load = urls.fold(load, Load::and);
    let load = thread::spawn(move || load.run());
    screen.command(&format!("{} top -p {}", whywait_path().display(), server.pid()));
    screen.wait_for("requests/s", SOON);
    screen.key(key);
    let pid = screen.child();
    let begun = Instant::now();
    let first = threads(pid);
    println!("minute  resident memory");
    for minute in 1..=u64::from(seconds / 60) {
        thread::sleep(Duration::from_secs(60 * minute).saturating_sub(begun.elapsed()));
        println!("{minute:>6}  {:>6.1} MiB", resident(pid));
    }
    // The load ends at about the time that is measured until.
    let left = Duration::from_secs(u64::from(seconds)).saturating_sub(begun.elapsed());
    thread::sleep(left.saturating_sub(Duration::from_secs(5)));
    let (last, length) = (threads(pid), begun.elapsed());
    screen.key("0");
    screen.wait_for("records since the beginning", SOON);
    let seen = screen.text();
    for line in
        seen.lines().filter(|line| ["losses", "records", "memory"].iter().any(|word| line.starts_with(word)))
    {
        println!("{line}");
    }
    println!("resident memory at the end: {:.1} MiB", resident(pid));
    println!("CPU time of each thread, in percent of a CPU:");
    for (name, nanos) in last {
        let nanos = nanos.saturating_sub(first.get(&name).copied().unwrap_or(0));
        println!("{name:<16} {:>6.2} %", nanos as f64 / length.as_nanos() as f64 * 100.0);
    }
    screen.key("q");
    screen.assert_whole();
    // Why it was not clean has been told; what the dashboard took is as true.
    if let Ok(report) = load.join() {
        println!("requests answered: {:.0} a second", report.per_second);
    }
}

/// Resident memory of a process in MiB.
fn resident(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("reading the dashboard's status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has memory");
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number of kB");
    kib / 1024.0
}

/// Nanoseconds on a CPU of each thread of a process, by name; those of one name are added up.
fn threads(pid: u32) -> BTreeMap<String, u64> {
    let mut times = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{pid}/task")).expect("listing threads").flatten() {
        let read = |file: &str| fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let nanos = read("schedstat").split_whitespace().next().and_then(|nanos| nanos.parse::<u64>().ok());
        *times.entry(read("comm").trim().to_owned()).or_default() += nanos.unwrap_or(0);
    }
    times
}

/// A part of the tour: what its note begins with, and the pictures, each after some keys.
type Part = (&'static str, &'static [(&'static [&'static str], &'static str)]);

const TOUR: &[Part] = &[
    ("1/7 steady", &[(&["1"], "steady")]),
    ("2/7 a lock", &[(&["1"], "lock"), (&["4"], "locks"), (&["Enter"], "lock-opened")]),
    ("3/7 a noisy", &[(&["1"], "neighbour"), (&["6"], "scheduler")]),
    ("4/7 a slow", &[(&["1"], "service"), (&["7"], "connections")]),
    ("5/7 too few", &[(&["1"], "workers"), (&["2", "Enter"], "request")]),
    ("6/7 the disk", &[(&["1"], "disk"), (&["3"], "threads")]),
];

/// Goes through the tour.
fn pictures(screen: &Screen, folder: &Path) {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir_all(folder).expect("making the folder");
    screen.command(&format!("cd {}; clear", scratch.path().display()));
    screen.command(&format!("COLORTERM=truecolor {} demo --background dark", whywait_path().display()));
    for (begins, shots) in TOUR {
        screen.wait_for(begins, SOON);
        thread::sleep(PART);
        for (keys, name) in *shots {
            for key in *keys {
                screen.key(key);
                thread::sleep(DRAWN);
            }
            take(screen, scratch.path(), &folder.join(format!("{name}.svg")));
        }
        screen.key("Escape");
        screen.key("1");
    }
    // The part's own title makes way for that of its first server within a moment.
    screen.wait_for("1/8 ", SOON);
    screen.key("9");
    screen.wait_for("all have run", 4 * SOON);
    take(screen, scratch.path(), &folder.join("models.svg"));
    screen.key("q");
    screen.assert_whole();
}

/// Has the picture written, and tells what its first lines say.
fn take(screen: &Screen, scratch: &Path, to: &Path) {
    screen.key("s");
    let svg = || {
        let files = fs::read_dir(scratch).expect("listing the pictures").flatten().map(|entry| entry.path());
        files.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "svg"))
    };
    // The text is written after it.
    let written = || svg().filter(|path| path.with_extension("txt").exists());
    assert!(wait_until(SOON, || written().is_some()), "no picture was written");
    let from = svg().expect("it is there");
    fs::copy(&from, to).expect("keeping the picture");
    let text = from.with_extension("txt");
    let seen = fs::read_to_string(&text).unwrap_or_default();
    println!("{}:", to.display());
    for line in seen.lines().skip(2).take(5) {
        println!("    {line}");
    }
    for path in [from, text] {
        fs::remove_file(path).expect("removing the picture");
    }
}
