//! The functions in which requests wait and run are those that make them wait and run.

use std::{fs, path::PathBuf};

use serde_json::Value;
use whywait_tests::{Client, DemoServer, Load, NodeApp, Report, Whywait, kernel_test, node, requests};

/// Of a state's time, the share that stacks with a function in them have.
fn share(report: &Report, route: &str, state: &str, function: &str) -> f64 {
    let none = Vec::new();
    let profiles = report.raw["stacks"]["profiles"].as_array().unwrap_or(&none);
    let profile = profiles
        .iter()
        .find(|profile| profile["state"] == state && profile["route"] == route)
        .unwrap_or_else(|| panic!("no stacks of {route} in {state}: {:#}", report.raw["stacks"]));
    let has = |stack: &&Value| {
        let frames = stack["frames"].as_array();
        frames.is_some_and(|frames| {
            frames.iter().any(|frame| frame.as_str().is_some_and(|name| name.contains(function)))
        })
    };
    let stacks = profile["stacks"].as_array().unwrap_or(&none);
    stacks.iter().filter(has).filter_map(|stack| stack["share"].as_f64()).sum()
}

/// What a request waits for is planted by functions of known names, and each is found in its state and route; who ends the waits for
/// the lock is found as well.
#[test]
fn planted_waits_are_in_the_functions_that_plant_them() {
    let Some(_serial) = kernel_test() else { return };
    let server = DemoServer::start("thread-pool", &[]);
    let folded = tempfile::NamedTempFile::new().expect("making a file");
    let file = folded.path().to_str().expect("a path in text");
    let whywait = Whywait::explain(&["--pid", &server.pid().to_string(), "--folded", file]);
    let mut client = Client::connect(&server.address().to_string());
    for _ in 0..requests(60) {
        for path in ["/lock?us=5000", "/sleep?ms=5", "/cpu?us=10000"] {
            client.ask(path);
        }
    }
    let report = whywait.stop();
    for (route, state, function) in [
        ("GET /lock", "lock", "LockHolder::wait"),
        ("GET /sleep", "sleep", "nanosleep"),
        ("GET /sleep", "sleep", "demo_servers::"),
        ("GET /cpu", "on_cpu", "demo_servers::work::cpu::"),
    ] {
        let share = share(&report, route, state, function);
        assert!(share > 0.6, "{function} has {share} of {state} in {route}: {:#}", report.raw["stacks"]);
    }
    let wakers = report.raw["stacks"]["wakers"].to_string();
    assert!(wakers.contains("hold"), "the holder of the lock ends waits: {wakers}");
    let text = fs::read_to_string(folded.path()).expect("reading the folded stacks");
    let lock =
        text.lines().find(|line| line.starts_with("GET /lock;lock;") && line.contains("LockHolder::wait"));
    let time = lock.and_then(|line| line.rsplit_once(' ')).and_then(|(_, time)| time.parse::<u64>().ok());
    assert!(time.is_some_and(|time| time > 0), "{text}");
}

/// Code that is compiled while it runs has the names that its compiler writes for `perf`.
#[test]
fn functions_of_node_js_have_names() {
    let Some(_serial) = kernel_test() else { return };
    let Some(server) = node(NodeApp::Named) else { return };
    let _names = RemoveAtEnd(PathBuf::from(format!("/tmp/perf-{}.map", server.pid())));
    let folded = tempfile::NamedTempFile::new().expect("making a file");
    let file = folded.path().to_str().expect("a path in text");
    let whywait = Whywait::explain(&["--pid", &server.pid().to_string(), "--folded", file]);
    Load::new(server.url(), 20, 2).run();
    whywait.stop();
    // All stacks: the report tells the longest ones of many that differ in how far the clock had been read.
    let text = fs::read_to_string(folded.path()).expect("reading the folded stacks");
    let time = |has: &str| -> u64 {
        let lines = text.lines().filter(|line| line.starts_with("GET /;on_cpu;") && line.contains(has));
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
    };
    let (named, all) = (time("turnTheCrank"), time(""));
    assert!(named > all / 2, "{named} of {all} µs: {text}");
}

/// A process that takes no stacks says so by having none.
#[test]
fn without_stacks_there_are_none() {
    let Some(_serial) = kernel_test() else { return };
    let server = DemoServer::start("thread-pool", &[]);
    let whywait = Whywait::explain(&["--pid", &server.pid().to_string(), "--no-stacks"]);
    let mut client = Client::connect(&server.address().to_string());
    for _ in 0..requests(20) {
        client.ask("/sleep?ms=2");
    }
    let report = whywait.stop();
    let stacks = &report.raw["stacks"];
    assert_eq!(stacks["taken"]["off_cpu"], 0);
    assert_eq!(stacks["taken"]["on_cpu"], 0);
    assert_eq!(stacks["profiles"].as_array().map(Vec::len), Some(0));
}

struct RemoveAtEnd(PathBuf);

impl Drop for RemoveAtEnd {
    fn drop(&mut self) {
        let _absent = fs::remove_file(&self.0);
    }
}
