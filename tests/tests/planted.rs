//! Time that a server plants into its requests is found where it was planted.
//!
//! The servers say in a truth file how much of what kind of time each request really spent. Requests come one at a time over one
//! connection, so none waits for another.
//!
//! What the scheduler does to a server on a busy machine is no planted time, but it is real: the planted wall time includes
//! the wait for a CPU after each wake-up, and every request uses some CPU. How much of both there was the kernel's own
//! `schedstat` says (and `/proc/stat` what a hypervisor took), so on-CPU and run-queue time are held against that, and everything else against the planted time and
//! what a request for `/plaintext` has.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::Duration;

use demo_servers::truth::Kind;
use whywait_tests::{
    Client, DemoServer, Group, Report, STATES, SchedTimes, Whywait, kernel_test, requests, sched_times, skip,
    slow, stolen_us, thread_ids,
};

/// Requests for each path.
const ROUNDS: u64 = 40;
/// The share of the planted time that must be found, and that may be found elsewhere.
const FOUND: f64 = 0.95;
const ELSEWHERE: f64 = 0.05;

struct Plant {
    path: &'static str,
    query: &'static str,
    state: &'static str,
    kind: Kind,
}

const PLANTS: [Plant; 5] = [
    Plant { path: "/cpu", query: "us=10000", state: "on_cpu", kind: Kind::OnCpu },
    Plant { path: "/sleep", query: "ms=20", state: "sleep", kind: Kind::Sleep },
    Plant { path: "/lock", query: "us=20000", state: "lock", kind: Kind::Lock },
    Plant { path: "/disk", query: "bytes=4194304", state: "disk", kind: Kind::Disk },
    Plant { path: "/downstream", query: "ms=20", state: "downstream", kind: Kind::Downstream },
];

/// A request's wait for a CPU begins when its thread is being woken, the kernel's count when it is put on a run queue: between
/// the two a sleeping CPU is woken, which takes a virtual machine this long, once a request or a few times.
const WAKING_US: f64 = 150.0;

/// What happened to the threads of a server while requests were made, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Scheduled {
    /// Time on a CPU.
    on_cpu: f64,
    /// Time without one.
    run_queue: f64,
    /// What the hypervisor took from anybody.
    stolen: f64,
}

/// What the kernel says about the threads of a process so far.
fn thread_times(pid: u32) -> BTreeMap<u32, SchedTimes> {
    thread_ids(pid).into_iter().map(|tid| (tid, sched_times(pid, tid))).collect()
}

/// Asks for a path so many times, with pauses, and returns what the kernel says that the server's threads did meanwhile. The
/// connection stays open until then: its thread, where it has one, ends with it.
fn ask(server: &DemoServer, path: &str, times: u64) -> Scheduled {
    let stolen = stolen_us();
    let before = thread_times(server.pid());
    let mut client = Client::connect(&server.address().to_string());
    for _ in 0..times {
        client.ask(path);
        thread::sleep(Duration::from_millis(10));
    }
    let mut sum = Scheduled::default();
    for (tid, after) in thread_times(server.pid()) {
        let before = before.get(&tid).copied().unwrap_or_default();
        sum.on_cpu += (after.on_cpu - before.on_cpu) as f64 / 1e3;
        sum.run_queue += (after.run_queue - before.run_queue) as f64 / 1e3;
    }
    sum.stolen = stolen_us() - stolen;
    sum
}

fn planted(model: &str) {
    let Some(_serial) = kernel_test() else { return };
    // The build directory is on a disk where the directory for temporary files may be memory.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("making a directory");
    let truth = dir.path().join("truth");
    let upstream = DemoServer::upstream();
    let args =
        ["--upstream", &upstream.address().to_string(), "--truth", text(&truth), "--dir", text(dir.path())];
    let server = DemoServer::start(model, &args);
    let whywait = Whywait::on(server.pid());

    let times = requests(ROUNDS);
    ask(&server, "/plaintext", times);
    let scheduled =
        PLANTS.each_ref().map(|plant| ask(&server, &format!("{}?{}", plant.path, plant.query), times));
    let report = whywait.stop();
    report.assert_exactly(times * (1 + PLANTS.len() as u64));
    let records = server.stop_for_truth(&truth);
    for (plant, scheduled) in PLANTS.iter().zip(scheduled) {
        let its = records.iter().filter(|record| record.route == plant.path && record.kind == plant.kind);
        let planted_us = its.map(|record| record.planted_ns as f64 / 1e3).sum();
        check(&report, plant, times, planted_us, scheduled);
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in text")
}

fn group<'r>(report: &'r Report, path: &str) -> &'r Group {
    report.route(&format!("GET {path}")).unwrap_or_else(|| panic!("no requests for {path}"))
}

/// Compares what was found with what was planted.
fn check(report: &Report, plant: &Plant, answered: u64, planted_us: f64, scheduled: Scheduled) {
    let Plant { path, state: planted_state, .. } = *plant;
    let (found, idle) = (group(report, path), group(report, "/plaintext"));
    assert_eq!(found.count, answered, "requests for {path}");
    let Scheduled { on_cpu: on_cpu_us, run_queue: run_queue_us, stolen: stolen_us } = scheduled;
    let waking_us = WAKING_US * answered as f64;
    let told: BTreeMap<_, _> = STATES.map(|state| (state, found.total_us(state).round())).into();
    let told = format!(
        "{path}: planted {planted_us:.0} µs in {answered} requests, the kernel says on CPU {on_cpu_us:.0}, \
         run queue {run_queue_us:.0}, stolen {stolen_us:.0}; found {told:?}"
    );
    println!("{told}");
    if plant.kind == Kind::Disk && planted_us < 1000.0 {
        return skip("planted disk time", "the disk here is memory, nothing waits for it");
    }
    assert!(planted_us > 0.0, "{told}");
    for state in STATES {
        let it_is = found.total_us(state);
        if state == planted_state {
            // A wall time includes the wait for a CPU, and the system calls around what is waited for, which take their
            // time where each instruction is emulated; a CPU time includes neither.
            let calls_us = if slow() { on_cpu_us } else { 0.0 };
            let without_cpu =
                if plant.kind == Kind::OnCpu { 0.0 } else { run_queue_us + waking_us + stolen_us + calls_us };
            assert!(it_is >= FOUND * planted_us - without_cpu, "too little {state} in {told}");
        }
        let own = if state == planted_state { planted_us } else { 0.0 };
        let usual = match state {
            "on_cpu" => on_cpu_us.max(own) - own + stolen_us,
            "run_queue" => run_queue_us + waking_us + stolen_us,
            _ => idle.mean[state] * answered as f64,
        };
        // On an emulated machine everything that is not planted takes long.
        let most = own + usual + ELSEWHERE * planted_us;
        assert!(slow() || it_is <= most, "{state} of {it_is:.0} µs is more than {most:.0} in {told}");
    }
}

#[test]
fn iterative() {
    planted("iterative");
}

#[test]
fn thread_per_connection() {
    planted("thread-per-connection");
}

#[test]
fn thread_pool() {
    planted("thread-pool");
}

#[test]
fn event_loop() {
    planted("event-loop");
}
