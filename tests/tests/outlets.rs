//! What a live run tells other programs, read by those programs: a real Prometheus, the parser of its client library, a receiver of OTLP.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Seek, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Deserialize;
use whywait_tests::{
    DemoServer, Ended, Guard, Load, Prometheus, Report, Signal, Whywait, install_python, kernel_test, skip,
    slow, wait_until, whywait_command,
};

/// Readers of what is told.
const READERS: &[&str] = &["opentelemetry-proto==1.45.2", "prometheus-client==0.26.0", "protobuf==7.36.2"];
const READ: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/outlets/read.py");
/// How long it may take until somebody who asks each second knows.
const KNOWN: Duration = Duration::from_secs(15);

fn python() -> Option<PathBuf> {
    match install_python("outlets", READERS) {
        Ok(programs) => Some(programs.join("python")),
        Err(reason) => {
            skip("readers of outlets", &reason);
            None
        }
    }
}

fn read(python: &Path) -> Command {
    let mut command = Command::new(python);
    command.arg(READ).stdin(Stdio::null());
    command
}

/// What a scrape says, in one format.
#[derive(Debug, Deserialize, PartialEq)]
struct Scrape {
    counts: BTreeMap<String, f64>,
    sums: BTreeMap<String, f64>,
    states: BTreeMap<String, f64>,
    exemplars: Vec<(String, String, f64)>,
    units: BTreeMap<String, Option<String>>,
}

/// What a scrape says in both text formats.
#[derive(Debug, Deserialize)]
struct Scrapes {
    openmetrics: Scrape,
    plain: Scrape,
}

fn scrape(python: &Path, url: &str) -> Scrapes {
    let output =
        read(python).args(["scrape", url]).stderr(Stdio::inherit()).output().expect("running the reader");
    assert!(output.status.success(), "the reader failed: see above");
    serde_json::from_slice(&output.stdout).expect("what the reader says")
}

/// What a receiver of OTLP was told.
#[derive(Debug, Deserialize)]
struct Received {
    /// Requests by route, in each message.
    counts: Vec<BTreeMap<String, u64>>,
    sums: BTreeMap<String, f64>,
    states: BTreeMap<String, f64>,
    buckets: BTreeMap<String, u64>,
    exemplars: Vec<(String, String, f64)>,
    names: Vec<String>,
    /// By the id of the span: trace, nanoseconds, name.
    roots: BTreeMap<String, (String, u64, String)>,
    /// Nanoseconds of the spans below.
    below: BTreeMap<String, u64>,
}

struct Receiver {
    _guard: Guard,
    url: String,
}

impl Receiver {
    fn start(python: &Path) -> Self {
        let mut guard = Guard::spawn(read(python).arg("receive").stdout(Stdio::piped()));
        let mut line = String::new();
        BufReader::new(guard.stdout()).read_line(&mut line).expect("reading the receiver's address");
        let address = line.trim().strip_prefix("listening ").expect("the receiver's address");
        Self { _guard: guard, url: format!("http://{address}") }
    }

    fn said(&self) -> Received {
        let mut answer = ureq::get(format!("{}/said", self.url)).call().expect("asking the receiver");
        let text = answer.body_mut().read_to_string().expect("what the receiver says");
        serde_json::from_str(&text).expect("what the receiver was told")
    }
}

fn close(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-6 + other.abs() * 1e-4
}

fn endpoint(url: &str) -> &str {
    url.strip_prefix("http://").and_then(|rest| rest.strip_suffix("/metrics")).expect("an address of metrics")
}

fn mixed(server: &DemoServer) -> Load {
    // As many as the pool has workers, each of which keeps its connection.
    Load::new(server.url("/plaintext"), 300, 4)
        .and(server.url("/lock?us=500"))
        .and(server.url("/sleep?ms=2"))
        .connections(4)
}

/// Two of them, one with native histograms, count as many requests as the load generator and say the same of their time as the recording.
#[test]
fn a_real_prometheus_counts_every_request() {
    let Some(_serial) = kernel_test() else { return };
    let dir = tempfile::tempdir().expect("making a folder");
    let file = dir.path().join("recording");
    let file = file.to_str().expect("a path in text");
    let server = DemoServer::start("thread-pool", &[]);
    let pid = server.pid().to_string();
    let whywait = Whywait::attach(&["record", "--pid", &pid, "-o", file, "--prometheus", "127.0.0.1:0"]);
    let url = whywait.wait_for_line("metrics at ");
    let Some(classic) = Prometheus::scraping(endpoint(&url), false) else { return };
    let Some(native) = Prometheus::scraping(endpoint(&url), true) else { return };
    let report = mixed(&server).run();

    let all = report.requests as f64;
    let count = "sum(whywait_request_duration_seconds_count)";
    let native_count = "histogram_count(sum(whywait_request_duration_seconds))";
    let known =
        wait_until(KNOWN, || close(classic.number(count), all) && close(native.number(native_count), all));
    assert!(known, "{} and {} of {all}", classic.number(count), native.number(native_count));
    for (prometheus, expression) in [
        (&classic, "sum(whywait_requests_total)"),
        (&classic, "sum(whywait_request_duration_seconds_bucket{le=\"+Inf\"})"),
        (&classic, "sum(whywait_request_state_seconds_count{state=\"on_cpu\"})"),
        (&native, "histogram_count(sum(whywait_request_state_seconds{state=\"lock\"}))"),
    ] {
        assert!(close(prometheus.number(expression), all), "{expression}: {}", prometheus.number(expression));
    }
    let by_state = classic.query("sum by (state) (whywait_request_state_seconds_sum)");
    let latency = classic.number("sum(whywait_request_duration_seconds_sum)");
    assert!(close(by_state.iter().map(|(_, seconds)| seconds).sum(), latency), "{by_state:?} and {latency}");
    assert!(close(native.number("histogram_sum(sum(whywait_request_duration_seconds))"), latency));
    assert!(close(classic.number("whywait_target_up"), 1.0));
    assert!(close(classic.number("sum(whywait_lost_records_total)"), 0.0));
    let found = wait_until(KNOWN, || classic.query("whywait_finding_share").len() == 16);
    assert!(found, "findings while the recording goes on");

    whywait.signal(Signal::INT);
    let ended = whywait.end(Duration::ZERO);
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    let recorded = Whywait::start(whywait_command(&["report", file, "--json"])).end(KNOWN).report();
    assert_eq!(recorded.requests.count, report.requests);
    for (labels, seconds) in by_state {
        let mean = recorded.breakdown_us.mean[&labels["state"]];
        assert!(
            (seconds - mean * all / 1e6).abs() < 1e-3,
            "{labels:?}: {seconds} s, recorded {mean} µs each"
        );
    }
}

/// The last metrics have every request; spans are of some of them, whole, and an exemplar's trace is among those that were sent.
#[test]
fn a_receiver_of_otlp_gets_metrics_and_spans() {
    let Some(_serial) = kernel_test() else { return };
    let Some(python) = python() else { return };
    let receiver = Receiver::start(&python);
    let server = DemoServer::start("thread-pool", &[]);
    let pid = server.pid().to_string();
    let whywait = Whywait::explain(&[
        "--pid",
        &pid,
        "--otlp",
        &receiver.url,
        "--otlp-interval",
        "1",
        "--prometheus",
        "127.0.0.1:0",
    ]);
    let url = whywait.wait_for_line("metrics at ");
    let report = mixed(&server).run();
    let all_told = wait_until(KNOWN, || {
        receiver.said().counts.last().is_some_and(|last| last.values().sum::<u64>() == report.requests)
    });
    assert!(all_told, "{:?}", receiver.said().counts.last());
    let scrapes = scrape(&python, &url);
    let explained = whywait.stop();
    explained.assert_exactly(report.requests);

    let said = receiver.said();
    assert!(said.counts.len() >= 4, "a message each second, not {}", said.counts.len());
    for pair in said.counts.windows(2) {
        assert!(pair[0].iter().all(|(route, count)| pair[1][route] >= *count), "counts go back: {pair:?}");
    }
    let last = said.counts.last().expect("a message");
    assert_eq!(last, &said.buckets);
    assert_eq!(last.values().sum::<u64>(), report.requests);
    for (route, seconds) in &said.sums {
        assert!(close(said.states[route], *seconds), "{route}: {} and {seconds}", said.states[route]);
        let group = explained.route(route).unwrap_or_else(|| panic!("{route} in the report"));
        assert!(
            (group.latency_us.mean * group.count as f64 / 1e6 - seconds).abs() < 1e-3,
            "{route}: {seconds}"
        );
    }
    for name in ["whywait.requests.in.flight", "whywait.lost.records", "process.cpu", "whywait.target.info"] {
        assert!(said.names.iter().any(|told| told == name), "{name} is not in {:?}", said.names);
    }
    // So many a second are chosen: of the few that an emulated machine answers in one, that is most.
    let most = if slow() { report.requests } else { report.requests / 2 };
    assert!(said.roots.len() >= 10 && (said.roots.len() as u64) < most, "{} requests", said.roots.len());
    for (span, (_, nanos, name)) in &said.roots {
        assert_eq!(said.below.get(span).copied().unwrap_or(0), *nanos, "the states of {name}");
    }
    assert_exemplars(&said.exemplars, &said);

    // A scrape says the same, in either format, and its exemplars are those spans.
    let Scrapes { openmetrics, plain } = scrapes;
    assert_eq!((&openmetrics.counts, &openmetrics.sums), (&plain.counts, &plain.sums));
    assert!(close(openmetrics.counts.values().sum(), report.requests as f64), "{:?}", openmetrics.counts);
    for (route, seconds) in &openmetrics.sums {
        assert!(close(openmetrics.states[route], *seconds), "{route}");
    }
    assert_eq!(openmetrics.units["whywait_request_duration_seconds"].as_deref(), Some("seconds"));
    assert_exemplars(&openmetrics.exemplars, &said);
}

fn assert_exemplars(exemplars: &[(String, String, f64)], said: &Received) {
    assert!(!exemplars.is_empty());
    for (trace, span, seconds) in exemplars {
        let (its_trace, nanos, _) = said.roots.get(span).unwrap_or_else(|| panic!("no span {span} was sent"));
        assert_eq!(its_trace, trace);
        assert!(close(*nanos as f64 / 1e9, *seconds), "{nanos} ns and {seconds} s");
    }
}

/// Prometheus' own check of names, types and helps.
fn check_by_promtool(text: &str) {
    let mut file = tempfile::tempfile().expect("making a file");
    file.write_all(text.as_bytes()).and_then(|()| file.rewind()).expect("writing the file");
    let output = Command::new("promtool").args(["check", "metrics"]).stdin(file).output();
    match output {
        Ok(output) => {
            assert!(output.status.success(), "promtool: {}", String::from_utf8_lossy(&output.stderr));
        }
        Err(_) => skip("Prometheus", "promtool is not installed"),
    }
}

/// The flight recorder, which runs as long as a service does, tells what it finds in each window.
#[test]
fn findings_are_told_while_the_run_goes_on() {
    let Some(_serial) = kernel_test() else { return };
    let dir = tempfile::tempdir().expect("making a folder");
    let file = dir.path().join("flight");
    let server = DemoServer::start("thread-pool", &[]);
    let (pid, file) = (server.pid().to_string(), file.to_str().expect("a path in text"));
    let whywait = Whywait::attach(&[
        "record",
        "--pid",
        &pid,
        "-o",
        file,
        "--ring",
        "10s",
        "--prometheus",
        "127.0.0.1:0",
    ]);
    let url = whywait.wait_for_line("metrics at ");
    let text = || {
        let mut answer = ureq::get(&url).call().expect("a scrape");
        answer.body_mut().read_to_string().expect("metrics")
    };
    Load::new(server.url("/lock?us=4000"), 230, 12).connections(4).poisson().run();
    let active = "whywait_finding_active{id=\"lock_contention\"} 1\n";
    assert!(wait_until(KNOWN, || text().contains(active)), "{}", text());
    assert!(text().contains("\nwhywait_model_info{model=\""), "{}", text());
    // Nothing has come for three windows: nothing is found any more.
    assert!(wait_until(3 * KNOWN, || text().contains(&active.replace("} 1", "} 0"))), "{}", text());
    check_by_promtool(&text());
    whywait.signal(Signal::INT);
    assert_eq!(whywait.end(Duration::ZERO).status.code(), Some(0));
    server.stop();
}

fn run(args: &[&str]) -> Ended {
    Whywait::start(whywait_command(args)).end(Duration::from_secs(20))
}

/// A wrong address is bad usage, one that is taken a failure, each in a sentence; a receiver that is not there ends nothing.
#[test]
fn what_cannot_be_opened_is_told() {
    let Some(_serial) = kernel_test() else { return };
    let server = DemoServer::start("event-loop", &[]);
    let pid = server.pid().to_string();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let ended = run(&["explain", "--pid", &pid, "--prometheus", &address]);
    assert_eq!((ended.status.code(), ended.stderr.lines().count()), (Some(1), 1), "{}", ended.stderr);
    assert!(
        ended.stderr.contains(&format!("cannot listen on {address}: Address already in use")),
        "{}",
        ended.stderr
    );
    for wrong in [["--prometheus", "localhost"], ["--otlp", "https://localhost"], ["--otlp-interval", "5"]] {
        let ended = run(&[&["explain", "--pid", &pid], &wrong[..]].concat());
        assert_eq!(ended.status.code(), Some(2), "{wrong:?}: {}", ended.stderr);
    }
    drop(taken);
    let url = format!("http://{address}");
    let args = ["explain", "--json", "--pid", &pid, "-d", "4", "--otlp", &url, "--otlp-interval", "0.5"];
    let whywait = Whywait::attach(&args);
    let report = Load::new(server.url("/plaintext"), 100, 2).run();
    let ended = whywait.end(Duration::from_secs(20));
    let told: Vec<&str> =
        ended.stderr.lines().filter(|line| line.contains("does not take what is sent")).collect();
    assert_eq!(told.len(), 1, "{}", ended.stderr);
    assert!(ended.stderr.contains(" not taken, and spans of "), "{}", ended.stderr);
    let explained: Report = ended.report();
    explained.assert_exactly(report.requests);
}
