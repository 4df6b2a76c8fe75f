//! The command line: exit codes, errors in one sentence, and the JSON contract.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use whywait_tests::{
    Client, DemoServer, Ended, Guard, Report, STATES, TestServer, Whywait, kernel_test, requests,
    whywait_command,
};

fn run(args: &[&str]) -> Ended {
    Whywait::start(whywait_command(args)).end(Duration::from_secs(10))
}

/// Failed with one sentence on standard error that holds all of these words, and with nothing on standard output.
fn assert_fails(ended: &Ended, words: &[&str]) {
    assert_says(ended, 1, words);
}

fn assert_says(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(code), ""), "{}", ended.stderr);
    assert_eq!(ended.stderr.lines().count(), 1, "one sentence: {}", ended.stderr);
    for word in words {
        assert!(ended.stderr.contains(word), "`{word}` is not in: {}", ended.stderr);
    }
}

#[test]
fn no_such_process() {
    // Above the largest number of processes that any kernel allows (PID_MAX_LIMIT, 2²²).
    assert_fails(&run(&["explain", "--json", "--pid", "4194305"]), &["no process 4194305"]);
}

#[test]
fn a_thread_is_no_process() {
    let server = DemoServer::start("thread-pool", &[]);
    Client::connect(&server.address().to_string()).ask("/plaintext");
    let threads = whywait_tests::thread_ids(server.pid());
    let thread = threads.iter().find(|tid| **tid != server.pid()).expect("a second thread");
    let told = run(&["explain", "--pid", &thread.to_string()]);
    assert_fails(&told, &["is a thread", &format!("--pid {}", server.pid())]);
}

#[test]
fn nobody_listens_on_the_port() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    drop(listener);
    assert_fails(&run(&["explain", "--json", "--port", &port]), &["nobody listens", &port]);
}

/// Bad usage, like an unknown option.
#[test]
fn no_target() {
    assert_says(&run(&["explain", "--json"]), 2, &["no target", "--pid"]);
}

#[test]
fn a_command_and_a_process() {
    let own = std::process::id().to_string();
    assert_says(&run(&["explain", "--pid", &own, "--", "true"]), 2, &["cannot be combined"]);
}

#[test]
fn no_such_cgroup() {
    assert_fails(&run(&["explain", "--cgroup", "no/such/group"]), &["no cgroup", "no/such/group"]);
}

/// Bad usage has an exit code of its own, and says how it is done.
#[test]
fn bad_usage() {
    for args in [
        &["explain", "--no-such-option"][..],
        &["explain", "--pid", "x"],
        &["explain", "--pid", "1", "--duration", "x"],
        &["explain", "--pid", "1", "--duration", "-1"],
        &["explain", "--pid", "1", "--port", "65536"],
        &["no-such-command"],
        &[],
    ] {
        let ended = run(args);
        assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(2), ""), "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("--help") || ended.stderr.contains("Usage"), "{}", ended.stderr);
    }
}

/// A target that ends at once is reported, or said to have ended, depending on when; never a crash.
#[test]
fn a_process_that_ends_meanwhile() {
    let Some(_serial) = kernel_test() else { return };
    for delay in ["0.02", "0.1", "0.3", "0.6"] {
        let sleeper = Guard::spawn(Command::new("sleep").arg(delay));
        // Collected as soon as it ends: nothing is left of it.
        let pid = sleeper.pid().to_string();
        let waiter = std::thread::spawn(move || sleeper.wait(Duration::from_secs(5)));
        let ended = run(&["explain", "--json", "--duration", "5", "--pid", &pid]);
        waiter.join().unwrap();
        match ended.status.code() {
            Some(0) => assert!(ended.report().target_ended, "{}", ended.stdout),
            _ => assert_fails(&ended, &[&pid]),
        }
    }
}

/// Everything that the contract names is there, with its type, and nothing but the object is on standard output.
#[test]
fn the_json_contract() {
    let Some(_serial) = kernel_test() else { return };
    let server = DemoServer::start("thread-pool", &[]);
    let whywait = Whywait::explain_for(Duration::from_secs(2), &["--pid", &server.pid().to_string()]);
    let mut client = Client::connect(&server.address().to_string());
    let times = requests(200);
    for _ in 0..times {
        client.ask("/json");
    }
    let ended = whywait.end(Duration::from_secs(5));
    assert!(ended.stdout.starts_with('{') && ended.stdout.trim_end().ends_with('}'), "{}", ended.stdout);
    let report = ended.report();
    report.assert_exactly(times);
    assert_eq!(report.schema, "whywait.explain/1");
    assert_eq!(report.target.command, "demo-servers");
    assert!((2.0..4.0).contains(&report.window_s), "a window of {} s", report.window_s);
    assert_contract(&report.raw);
    assert_sums(&report);
    for group in &report.routes {
        let sum: f64 = group.mean.values().sum();
        assert!(
            (sum - group.latency_us.mean).abs() < 0.1,
            "{}: {sum} of {}",
            group.name,
            group.latency_us.mean
        );
    }
}

/// A run without a request has the whole shape too.
#[test]
fn the_json_contract_without_requests() {
    let Some(_serial) = kernel_test() else { return };
    let server = TestServer::start("read-write");
    let report = Whywait::on(server.pid()).stop();
    report.assert_exactly(0);
    assert_contract(&report.raw);
    assert_sums(&report);
}

/// The states sum to the latency, up to the rounding of fourteen of them to nanoseconds.
fn assert_sums(report: &Report) {
    let sum: f64 = report.breakdown_us.mean.values().sum();
    let mean = report.requests.latency_us.mean;
    assert!((sum - mean).abs() < 0.1, "the states sum to {sum} µs, the mean latency is {mean} µs");
    for (state, time) in report.breakdown_us.mean.iter().chain(&report.breakdown_us.p99) {
        assert!(*time >= 0.0, "{state} has {time} µs");
    }
}

fn assert_contract(report: &Value) {
    let numbers = [
        "/window_s",
        "/requests/per_second",
        "/requests/latency_us/mean",
        "/requests/latency_us/p50",
        "/requests/latency_us/p90",
        "/requests/latency_us/p99",
        "/requests/latency_us/p999",
        "/requests/latency_us/max",
        "/concurrency/mean",
        "/parallelism/mean",
        "/model/confidence",
        "/per_request/context_switches",
        "/per_request/involuntary_switches",
        "/per_request/system_calls",
        "/per_request/threads_created",
        "/per_request/processes_created",
        "/per_request/migrations",
        "/overhead/bpf_ns_per_event",
        "/overhead/cpu_percent",
    ];
    let counts = [
        "/requests/count",
        "/concurrency/max",
        "/parallelism/max",
        "/model/processes",
        "/model/threads",
        "/lost/events",
        "/lost/requests",
        "/overhead/events",
    ];
    let lists = ["/target/pids", "/target/ports", "/model/evidence", "/findings"];
    let at = |path: &str| report.pointer(path).unwrap_or_else(|| panic!("{path} is missing in {report:#}"));
    for path in numbers {
        assert!(at(path).is_number(), "{path} is no number: {}", at(path));
    }
    for path in counts {
        assert!(at(path).is_u64(), "{path} is no count: {}", at(path));
    }
    for path in lists {
        assert!(at(path).is_array(), "{path} is no list: {}", at(path));
    }
    for path in ["/schema", "/target/command", "/model/id"] {
        assert!(at(path).is_string(), "{path} is no text: {}", at(path));
    }
    for path in ["/breakdown_us/mean", "/breakdown_us/p99"] {
        let states: Vec<&String> = at(path).as_object().expect("an object").keys().collect();
        let mut expected = STATES.to_vec();
        expected.sort_unstable();
        assert_eq!(states, expected, "the states in {path}");
    }
}
