//! `whywait race` on live servers: what it finds is what the load generator got answered, what a request costs in threads is what
//! the model says, and counts that come from elsewhere are the same.

use std::time::Duration;

use serde::Deserialize;
use whywait_tests::{Whywait, kernel_test, skip, slow, whywait_command};

/// `whywait.race/1`, as far as the test looks at it.
#[derive(Debug, Deserialize)]
struct Race {
    schema: String,
    planned: usize,
    rows: Vec<Row>,
    failed: Vec<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct Row {
    name: String,
    setting: Option<Setting>,
    requests_per_second: f64,
    processes: usize,
    memory_bytes: Memory,
    per_request: PerRequest,
    outside: Outside,
    ebpf: Counts,
    perf: Option<Perf>,
    perf_absent: Option<String>,
    procfs: Procfs,
}

#[derive(Debug, Deserialize)]
struct Setting {
    option: String,
    value: u16,
}

#[derive(Debug, Deserialize)]
struct Memory {
    rss: u64,
}

#[derive(Debug, Deserialize)]
struct PerRequest {
    threads_created: f64,
    processes_created: f64,
    system_calls: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct Outside {
    requests: u64,
    failed: u64,
}

#[derive(Debug, Deserialize)]
struct Counts {
    requests: u64,
    voluntary_switches: u64,
    involuntary_switches: u64,
    migrations: u64,
}

#[derive(Debug, Deserialize)]
struct Perf {
    context_switches: u64,
    migrations: u64,
}

#[derive(Debug, Deserialize)]
struct Procfs {
    context_switches: Option<u64>,
}

/// Runs a race; its servers must all have come to the end.
fn race(args: &[&str]) -> Race {
    let run = Whywait::start(whywait_command(&[&["race", "--json"], args].concat()));
    let ended = run.end(Duration::from_mins(1));
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    let race: Race = serde_json::from_str(&ended.stdout).expect("whywait.race/1 and nothing else");
    assert_eq!((&*race.schema, race.rows.len()), ("whywait.race/1", race.planned), "{race:?}");
    assert!(race.failed.is_empty(), "{race:?}");
    race
}

/// Whether a count is that of another source, to 5 %: the two do not begin and end at one instant.
fn agrees(ours: u64, theirs: u64) -> bool {
    ours.abs_diff(theirs) as f64 <= (0.05 * theirs as f64).max(20.0)
}

#[test]
fn three_models() {
    let Some(_serial) = kernel_test() else { return };
    // An open loop: it is the same load on any machine.
    let names = ["thread-pool", "thread-per-request", "prefork"];
    let models = names.map(|name| ["--model", name]).concat();
    let race = race(&[&models[..], &["--duration", "1", "--rate", "400", "--connections", "8"]].concat());
    assert_eq!(race.rows.iter().map(|row| &*row.name).collect::<Vec<_>>(), names);
    for row in &race.rows {
        let Outside { requests, failed } = row.outside;
        assert!(requests > 50 && failed == 0 && row.requests_per_second > 0.0, "a clean load: {row:?}");
        assert_eq!(row.ebpf.requests, requests, "requests found and answered: {row:?}");
        assert!(row.memory_bytes.rss > 500_000, "{row:?}");
        // They are counted in a slice of the run, in which no request may end on an emulated machine.
        assert!(slow() || row.per_request.system_calls > Some(3.0), "{row:?}");
        let switches = row.ebpf.voluntary_switches + row.ebpf.involuntary_switches;
        if let Some(counted) = row.procfs.context_switches {
            assert!(agrees(switches, counted), "{switches} switches, /proc counted {counted}: {row:?}");
        }
        match &row.perf {
            Some(perf) => {
                let counted = perf.context_switches;
                assert!(agrees(switches, counted), "{switches} switches, perf counted {counted}: {row:?}");
                // A thread that comes back on another CPU was moved at least once, and a new one was not.
                assert!(row.ebpf.migrations <= perf.migrations + 5, "migrations: {row:?}");
            }
            None => skip("performance counters", row.perf_absent.as_deref().unwrap_or_default()),
        }
        let (threads, processes) = (row.per_request.threads_created, row.per_request.processes_created);
        let wanted = if row.name == "thread-per-request" { 1.0 } else { 0.0 };
        assert!((threads - wanted).abs() < 0.05 && processes < 0.05, "created for a request: {row:?}");
    }
    let [pool, _, prefork] = &race.rows[..] else { unreachable!("three rows") };
    assert!(pool.procfs.context_switches.is_some(), "no thread of a pool ends: {pool:?}");
    assert_eq!((pool.processes, prefork.processes), (1, 3), "a master and two workers");
}

/// The watching ends with the load, not with its time: an answer that comes long after that is found as well.
#[test]
fn answers_after_the_loads_time_are_found() {
    let Some(_serial) = kernel_test() else { return };
    let model = ["--model", "thread-per-connection", "--url", "/sleep?ms=900"];
    let load = ["--duration", "0.5", "--rate", "20", "--connections", "4"];
    let race = race(&[&model[..], &load].concat());
    let row = &race.rows[0];
    assert!(row.outside.requests > 0 && row.outside.failed == 0, "a clean load: {row:?}");
    assert_eq!(row.ebpf.requests, row.outside.requests, "requests found and answered: {row:?}");
}

/// A sweep has a row for each value, and a server of one's own runs beside it, found by where it listens.
#[test]
fn a_sweep_and_a_server_of_ones_own() {
    let Some(_serial) = kernel_test() else { return };
    let own = "own=exec python3 -m http.server --bind 127.0.0.1 0";
    if std::process::Command::new("python3").arg("--version").output().is_err() {
        return skip("servers of one's own", "no python3");
    }
    let load = ["--duration", "0.5", "--rate", "100", "--connections", "2", "--url", "/"];
    let race = race(&[&["--sweep", "threads=1,2", "--server", own][..], &load].concat());
    let values: Vec<_> =
        race.rows.iter().map(|row| row.setting.as_ref().map(|set| (&*set.option, set.value))).collect();
    assert_eq!(values, [Some(("threads", 1)), Some(("threads", 2)), None]);
    let python = &race.rows[2];
    assert_eq!((&*python.name, python.ebpf.requests), ("own", python.outside.requests));
    assert!(
        (python.per_request.threads_created - 1.0).abs() < 0.1,
        "a thread for each connection: {python:?}"
    );
}
