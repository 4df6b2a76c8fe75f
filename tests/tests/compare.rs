//! Two recordings of one server: what was changed is found, by cause and size, and what was not changed is not called a difference.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use serde_json::Value;
use whywait_tests::{DemoServer, Load, Signal, Whywait, kernel_test, slow, whywait_command};

/// A load's length in seconds.
const SECONDS: u32 = 5;

/// Records the server while it is asked for this path.
fn record(server: &DemoServer, path: &str, file: PathBuf) -> PathBuf {
    let pid = server.pid().to_string();
    let recording = Whywait::attach(&["record", "--pid", &pid, "-o", file.to_str().expect("a path in text")]);
    Load::new(server.url(path), 200, SECONDS).connections(8).poisson().run();
    std::thread::sleep(Duration::from_millis(200));
    recording.signal(Signal::INT);
    let ended = recording.end(Duration::from_secs(10));
    assert!(ended.status.success(), "{}", ended.stderr);
    file
}

fn compare(before: &Path, after: &Path, options: &[&str]) -> Output {
    let files = [before, after].map(|file| file.to_str().expect("a path in text"));
    let arguments = [&["compare"], &files[..], options].concat();
    whywait_command(&arguments).output().expect("starting whywait")
}

fn json(output: &Output) -> Value {
    let errors = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("no JSON ({error}): {errors}"))
}

/// The interval of a difference in microseconds.
fn interval(change: &Value) -> (f64, f64) {
    let end = |at: usize| change["interval"][at].as_f64().unwrap_or_else(|| panic!("no interval: {change}"));
    (end(0), end(1))
}

/// Two milliseconds more sleep are two milliseconds more in `sleep`, and fail a gate; the same load again fails none.
#[test]
fn what_was_changed_is_found_and_what_was_not_is_not() {
    let Some(_serial) = kernel_test() else { return };
    let dir = tempfile::tempdir().expect("making a directory");
    let server = DemoServer::start("thread-per-connection", &[]);
    let [before, again] =
        ["before", "again"].map(|name| record(&server, "/sleep?ms=5", dir.path().join(name)));
    let after = record(&server, "/sleep?ms=7", dir.path().join("after"));

    let page = dir.path().join("page.html");
    let gate = ["--json", "--fail-if", "sleep>+10%", "--fail-if", "rate>+50%", "--html"];
    let output = compare(&before, &after, &[&gate[..], &[page.to_str().unwrap()]].concat());
    assert_eq!(
        output.status.code(),
        Some(1),
        "a longer sleep fails the gate, whatever else the machine does"
    );
    let told = json(&output);
    assert_eq!(told["schema"], "whywait.compare/1");
    assert_eq!(told["conditions"][0]["failed"], true, "{told:#}");
    assert_eq!(told["conditions"][1]["failed"], false, "{told:#}");
    let sleep = &told["states_us"]["sleep"];
    assert_eq!(sleep["more_than_noise"], true, "{sleep}");
    // A timer is late by the time that it is late; it is not early.
    let (from, to) = interval(sleep);
    assert!(from > 0.0 && (slow() || (from < 2300.0 && to > 1700.0)), "{sleep}");
    let mean = told["latency_us"]["mean"]["difference"].as_f64().unwrap();
    let states = told["states_us"].as_object().unwrap().values();
    let sum: f64 = states.map(|change| change["difference"].as_f64().unwrap()).sum();
    assert!((sum - mean).abs() < 1e-6, "the states sum to {sum}, the mean differs by {mean}");
    let route = &told["routes"][0];
    assert_eq!(route["name"], "GET /sleep");
    assert!((route["by_itself_us"].as_f64().unwrap() - mean).abs() < 1e-6, "{route}");
    let page = std::fs::read_to_string(page).expect("the page");
    assert!(page.contains("GET /sleep") || page.contains("sleeping"), "{page}");
    assert!(!page.contains("src=") && !page.contains("href="), "the page loads nothing");

    let output = compare(&before, &again, &["--json", "--fail-if", "sleep>+15%", "--fail-if", "p50>+20%"]);
    let told = json(&output);
    assert_eq!(output.status.code(), Some(0), "{:#}", told["conditions"]);

    let same = json(&compare(&before, &before, &["--json"]));
    let changes = same["latency_us"]
        .as_object()
        .unwrap()
        .values()
        .chain(same["states_us"].as_object().unwrap().values());
    for change in changes {
        assert_eq!(change["difference"].as_f64(), Some(0.0), "{change}");
        assert_ne!(change["more_than_noise"], true, "{change}");
    }
}

#[test]
fn what_is_no_condition_or_no_recording_is_told() {
    let dir = tempfile::tempdir().expect("making a directory");
    let file = dir.path().join("text");
    std::fs::write(&file, "not a recording").expect("writing");
    let output = compare(&file, &file, &["--fail-if", "p99>10%"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("`p99>10%` is no condition: write `p99>+10%`"), "{errors}");
    let output = compare(&file, &file, &[]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("cannot replay") && errors.lines().count() == 1, "{errors}");
}
