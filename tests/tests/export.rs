//! A recording in every format, read by the tools' own libraries: what one says, all say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Deserialize;
use tempfile::TempDir;
use whywait_tests::{
    DemoServer, Ended, Load, Serial, Whywait, install_python, kernel_test, requests, skip, whywait_command,
};

/// Readers of the formats.
const READERS: &[&str] = &[
    "duckdb==2.0.1",
    "opentelemetry-proto==1.45.2",
    "pandas==3.1.1",
    "perfetto==0.59.1",
    "protobuf==7.36.2",
    "pyarrow==26.0.1",
];
const READ: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/export/read.py");
/// How long an export may take.
const EXPORT: Duration = Duration::from_secs(20);

/// What a reader says of an export.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Said {
    /// Microseconds since 1970, microseconds of latency, route.
    requests: Vec<(f64, f64, String)>,
    by_pandas: Vec<(f64, f64, String)>,
    states_ns: BTreeMap<String, i64>,
    /// Time on a CPU by thread.
    running_ns: BTreeMap<String, i64>,
    left_open: usize,
    mismatched_switches: usize,
    flows: usize,
    flows_backwards: usize,
    without_parent: usize,
    wakings: usize,
    counters: Vec<String>,
    samples: usize,
    lock_waits: usize,
    thread_names: usize,
    threads: Vec<String>,
    boxes: Vec<String>,
}

/// A recording of a thread pool whose requests wait for a lock, sleep and run.
struct Recorded {
    dir: TempDir,
    python: PathBuf,
    _serial: Serial,
}

impl Recorded {
    fn new() -> Option<Self> {
        let serial = kernel_test()?;
        let python = match install_python("exports", READERS) {
            Ok(programs) => programs.join("python"),
            Err(reason) => {
                skip("readers of exports", &reason);
                return None;
            }
        };
        let dir = tempfile::tempdir().expect("making a folder");
        let recorded = Self { dir, python, _serial: serial };
        let server = DemoServer::start("thread-pool", &[]);
        let file = recorded.path("recording");
        let whywait = Whywait::attach(&["record", "--pid", &server.pid().to_string(), "--out", text(&file)]);
        // As many as the pool has workers, each of which keeps its connection.
        let load = Load::new(server.url("/lock?us=3000"), 150, 2)
            .and(server.url("/sleep?ms=2"))
            .and(server.url("/cpu?us=2000"))
            .connections(4);
        load.run();
        whywait.signal(whywait_tests::Signal::INT);
        assert_succeeded(&whywait.end(Duration::ZERO));
        Some(recorded)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn export(&self, args: &[&str]) -> Ended {
        let mut command = whywait_command(&["export"]);
        command.arg(self.path("recording")).args(args);
        Whywait::start(command).end(EXPORT)
    }

    /// Exports to a format, and has it read.
    fn read(&self, format: &str, more: &[&str]) -> Said {
        let out = self.path(format);
        assert_succeeded(&self.export(&[&["--to", format, "--output", text(&out)], more].concat()));
        let mut reader = Command::new(&self.python);
        reader.arg(READ).arg(format).arg(&out).stdin(Stdio::null()).stderr(Stdio::inherit());
        let output = reader.output().expect("running the reader");
        assert!(output.status.success(), "the reader of {format} failed: see above");
        let mut said: Said = serde_json::from_slice(&output.stdout).expect("what the reader says");
        said.requests.sort_by(|a, b| a.0.total_cmp(&b.0));
        said.by_pandas.sort_by(|a, b| a.0.total_cmp(&b.0));
        said
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in text")
}

fn assert_succeeded(ended: &Ended) {
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
}

/// The same requests, at the same times to the microsecond.
fn assert_same(format: &str, one: &[(f64, f64, String)], other: &[(f64, f64, String)]) {
    assert_eq!(one.len(), other.len(), "{format}");
    for (a, b) in one.iter().zip(other) {
        let same = (a.0 - b.0).abs() <= 1.0 && (a.1 - b.1).abs() <= 1.0 && a.2 == b.2;
        assert!(same, "{format}: {a:?} and {b:?}");
    }
}

/// Times in every format agree with the recording to the microsecond, and what they say of states and threads is the same.
#[test]
fn every_format_says_the_same() {
    let Some(recorded) = Recorded::new() else { return };
    let lines = recorded.read("jsonl", &[]);
    let least = usize::try_from(requests(300)).expect("a small number") * 9 / 10;
    assert!(lines.requests.len() >= least, "{} requests", lines.requests.len());

    let trace = recorded.read("perfetto", &[]);
    let tables = recorded.read("parquet", &[]);
    let spans = recorded.read("otlp", &[]);
    let profile = recorded.read("firefox", &[]);
    let one_table = recorded.path("requests.csv");
    assert_succeeded(&recorded.export(&["--to", "csv", "--output", text(&one_table)]));
    let sheet = recorded.read("csv", &["--table", "requests"]);
    for (format, said) in [
        ("perfetto", &trace.requests),
        ("parquet by DuckDB", &tables.requests),
        ("parquet by pandas", &tables.by_pandas),
        ("otlp", &spans.requests),
        ("firefox", &profile.requests),
        ("csv", &sheet.requests),
    ] {
        assert_same(format, said, &lines.requests);
    }
    for (format, said) in [("perfetto", &trace), ("parquet", &tables), ("otlp", &spans)] {
        assert_eq!(said.states_ns, lines.states_ns, "{format}");
    }

    // What Perfetto makes of the switches is what the intervals of threads say.
    assert_eq!(trace.mismatched_switches, 0);
    assert_eq!(trace.running_ns, tables.running_ns);
    assert!(trace.wakings > lines.requests.len(), "{} wake-ups", trace.wakings);
    assert_eq!((trace.left_open, trace.without_parent, trace.flows_backwards), (0, 0, 0));
    assert!(trace.flows > 0);
    assert_eq!(trace.counters, ["requests in flight", "requests per second"]);

    assert!(tables.samples > 0 && tables.lock_waits > 0 && tables.thread_names > 3, "{tables:?}");
    assert!(profile.samples > 0 && profile.threads.iter().any(|name| name == "worker-0"));
}

/// Profiles have the time of the states that have stacks, and their functions have names.
#[test]
fn profiles_have_the_time_of_the_states() {
    let Some(recorded) = Recorded::new() else { return };
    let states = recorded.read("jsonl", &[]).states_ns;
    let (profile, stacks) = (recorded.read("pprof", &[]), recorded.read("folded", &[]));
    for state in ["lock", "sleep", "on_cpu"] {
        let (profiled, folded) = (profile.states_ns[state], stacks.states_ns[state]);
        assert!((profiled - folded).abs() < 100_000, "{state}: {profiled} and {folded}");
        // A route that was never seen in a state by a sample has no stacks there.
        let share = profiled as f64 / states[state] as f64;
        assert!((0.8..1.001).contains(&share), "{state}: {profiled} of {}", states[state]);
    }
    let picture = recorded.read("svg", &[]);
    let has = |name: &str| picture.boxes.iter().any(|boxed| boxed.contains(name));
    assert!(has("GET /lock") && has("waiting for a lock") && has("demo_servers::"), "{:?}", picture.boxes);
    let only = recorded.read("folded", &["--route", "/sleep"]);
    assert!(only.states_ns.contains_key("sleep") && !only.states_ns.contains_key("lock"), "{only:?}");
}

/// A format goes to standard output as well, filtered by route; what cannot be is told in a sentence.
#[test]
fn standard_output_and_errors() {
    let Some(recorded) = Recorded::new() else { return };
    let ended = recorded.export(&["--to", "csv", "--route", "GET /sleep"]);
    assert_succeeded(&ended);
    let rows = ended.stdout.lines().skip(1);
    assert!(ended.stdout.starts_with("request,route,process,") && rows.clone().count() > 10);
    assert!(rows.clone().all(|row| row.contains(",GET /sleep,")));
    for (args, words) in [
        (&["--to", "csv", "--route", "/nowhere"][..], "no request has the route /nowhere"),
        (&["--to", "svg", "--table", "locks"][..], "leave --table out"),
        (
            &["--to", "otlp", "--endpoint", "http://127.0.0.1:1"][..],
            "cannot send spans to http://127.0.0.1:1",
        ),
        (&["--to", "jsonl", "--output", "/dev/full"][..], "cannot export to /dev/full: No space left"),
    ] {
        let ended = recorded.export(args);
        assert_eq!((ended.status.code(), ended.stderr.lines().count()), (Some(1), 1), "{}", ended.stderr);
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    }
}
