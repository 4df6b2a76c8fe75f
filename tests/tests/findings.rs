//! Causes that are planted are named, first, and those that are not are not; and what a finding says would help comes true.
//!
//! Each cause is planted into at least two unlike servers, beside something that looks like it. A machine that is busy with other
//! things takes the CPU away from any server, which is then found, rightly, and says nothing about the rules: where it
//! happens a case is tried again.

use std::time::Duration;

use whywait_tests::{DemoServer, Finding, Load, Report, Whywait, measuring_test};

/// Seconds of load for each case.
const SECONDS: u32 = 2;
/// Tries of a case on a machine that is busy with something else.
const TRIES: usize = 4;
/// What may be said of any server on such a machine.
const OF_THE_MACHINE: [&str; 2] = ["cpu_starved", "cpu_throttled"];
/// How far a gain may be from what comes true.
const GAIN: f64 = 0.25;
/// The same of what takes hardly any time, in microseconds: the request without its cause is a few instructions then.
const GAIN_US: f64 = 100.0;

/// Watches a server during a load.
fn watch(server: &DemoServer, load: &Load) -> Report {
    let run =
        Whywait::explain_for(Duration::from_secs(u64::from(SECONDS)), &["--pid", &server.pid().to_string()]);
    load.run();
    run.finish(Duration::from_secs(u64::from(SECONDS)))
}

/// Ids with their shares, for messages.
fn ids(report: &Report) -> Vec<(String, f64)> {
    report.findings.iter().map(|finding| (finding.id.clone(), finding.share)).collect()
}

/// Starts a server, asks it, and checks what comes first; `None`: that nothing is found.
fn expect(
    model: &str,
    args: &[&str],
    load: impl Fn(&DemoServer) -> Load,
    cause: Option<&str>,
) -> Option<Finding> {
    let mut told = Vec::new();
    for _ in 0..TRIES {
        let server = DemoServer::start(model, args);
        let report = watch(&server, &load(&server));
        let mut found = report.findings.iter().filter(|finding| cause.is_some() || !of_the_machine(finding));
        let first = found.next();
        match (cause, first) {
            (None, None) => return None,
            (Some(cause), Some(first)) if first.id == cause => {
                assert!(!first.summary.is_empty() && !first.advice.is_empty(), "{first:?}");
                assert!(first.share > 0.1 && first.share <= 1.0, "{first:?}");
                return Some(first.clone());
            }
            _ => told.push(ids(&report)),
        }
    }
    panic!("{model} {args:?}: expected {cause:?}, found {told:?}");
}

fn of_the_machine(finding: &Finding) -> bool {
    OF_THE_MACHINE.contains(&finding.id.as_str())
}

fn one(path: &str, rate: u32, connections: u16) -> impl Fn(&DemoServer) -> Load {
    let path = path.to_owned();
    move |server| Load::new(server.url(&path), rate, SECONDS).connections(connections)
}

#[test]
fn a_slow_service_is_named_with_its_address() {
    let Some(_serial) = measuring_test("findings") else { return };
    let upstream = DemoServer::upstream();
    let address = upstream.address().to_string();
    let args = ["--upstream", &address];
    for model in ["thread-per-connection", "event-loop", "prefork"] {
        let found = expect(model, &args, one("/downstream?ms=20", 40, 2), Some("downstream_slow"));
        assert!(found.is_some_and(|found| found.summary.contains(&address)), "{model}");
    }
    expect("thread-per-connection", &args, one("/downstream?ms=0", 40, 2), None);
}

#[test]
fn a_sleep_is_named() {
    let Some(_serial) = measuring_test("findings") else { return };
    for model in ["thread-per-connection", "prefork"] {
        expect(model, &[], one("/sleep?ms=20", 40, 2), Some("sleeping"));
    }
}

#[test]
fn too_few_workers_are_named_with_what_keeps_them() {
    let Some(_serial) = measuring_test("findings") else { return };
    let many =
        |server: &DemoServer| Load::new(server.url("/sleep?ms=20"), 160, SECONDS).connections(16).close();
    for (model, args) in [("thread-pool", ["--threads", "2"]), ("prefork", ["--workers", "2"])] {
        let found = expect(model, &args, many, Some("workers_exhausted"));
        assert!(found.is_some_and(|found| found.summary.contains("in sleep")), "{model}");
    }
    // The same load, and workers enough: only the sleep is left.
    expect("thread-pool", &["--threads", "32"], many, Some("sleeping"));
}

/// Quick requests, and one in forty that computes for long.
fn one_in_many_computes(server: &DemoServer) -> Load {
    // Few enough that most of the slowest tenth are quick ones that had to wait.
    let quick = || server.url("/plaintext");
    let load = (0..38).fold(Load::new(quick(), 400, SECONDS), |load, _| load.and(quick()));
    load.and(server.url("/cpu?us=25000")).connections(16)
}

#[test]
fn what_keeps_an_event_loop_is_named() {
    let Some(_serial) = measuring_test("findings") else { return };
    for model in ["event-loop", "async-single"] {
        let found = expect(model, &[], one_in_many_computes, Some("event_loop_blocked"));
        assert!(found.is_some_and(|found| found.summary.contains("behind GET /cpu")), "{model}");
    }
}

#[test]
fn computing_is_named() {
    let Some(_serial) = measuring_test("findings") else { return };
    for model in ["thread-per-connection", "async"] {
        expect(model, &[], one("/cpu?us=15000", 30, 1), Some("cpu_bound"));
    }
}

#[test]
fn a_lock_is_named() {
    let Some(_serial) = measuring_test("findings") else { return };
    for model in ["thread-per-connection", "thread-pool"] {
        expect(model, &[], one("/lock?us=15000", 40, 2), Some("lock_contention"));
    }
}

#[test]
fn a_healthy_server_has_no_finding() {
    let Some(_serial) = measuring_test("findings") else { return };
    for model in ["event-loop", "thread-pool", "async", "prefork", "green-threads"] {
        // A worker for each kept connection, in the models that need one.
        expect(model, &["--workers", "4", "--threads", "4"], one("/json", 300, 4), None);
    }
    // Busy, but with cheap requests only.
    expect("event-loop", &[], one("/plaintext", 8_000, 32), None);
}

/// What a finding says would be without its cause, against the same load on a server without it.
#[test]
fn what_would_help_comes_true() {
    let Some(_serial) = measuring_test("findings") else { return };
    let sleeps =
        |server: &DemoServer| Load::new(server.url("/sleep?ms=20"), 150, SECONDS).connections(16).close();
    gain(
        "thread-pool",
        &["--threads", "2"],
        sleeps,
        "workers_exhausted",
        ("thread-pool", &["--threads", "32"]),
        sleeps,
    );
    gain(
        "event-loop",
        &[],
        one_in_many_computes,
        "event_loop_blocked",
        ("event-loop-pool", &[]),
        one_in_many_computes,
    );
}

fn gain(
    model: &str,
    args: &[&str],
    load: impl Fn(&DemoServer) -> Load,
    cause: &str,
    (without, without_args): (&str, &[&str]),
    then: impl Fn(&DemoServer) -> Load,
) {
    let mut told = Vec::new();
    for _ in 0..TRIES {
        let found = expect(model, args, &load, Some(cause));
        let said = found.and_then(|found| found.gain).expect("a gain");
        let server = DemoServer::start(without, without_args);
        let really = watch(&server, &then(&server)).requests.latency_us;
        let is_near = |said: f64, really: f64| (said - really).abs() <= (GAIN * really).max(GAIN_US);
        // The tail is told too high rather than too low: what had queued up when the watching began is still in it.
        if is_near(said.mean_us, really.mean)
            && is_near(said.p50_us, really.p50)
            && said.p99_us >= really.p99 * (1.0 - GAIN)
        {
            return;
        }
        told.push(format!("said {said:?}, came {really:?}"));
    }
    panic!("{model} without {cause}: {told:?}");
}
