//! Time that a server plants into its requests is found where it was planted.
//!
//! The servers say in a truth file how much of what kind of time each request really spent. Requests come one at a time over one
//! connection, so none waits for another.
//!
//! What the scheduler does to a server on a busy machine is no planted time, but it is real: the planted wall time includes
//! the wait for a CPU after each wake-up, and every request uses some CPU. How much of both there was the kernel's own
//! `schedstat` says, so on-CPU and run-queue time are held against that, and everything else against the planted time and
//! what a request for `/plaintext` has.

use std::collections::BTreeMap;
use std::path::Path;

use demo_servers::truth::Kind;
use whywait_tests::{
    DemoServer, Group, Load, Report, STATES, SchedTimes, Whywait, kernel_test, sched_times, skip, slow,
    thread_ids,
};

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
    Plant { path: "/disk", query: "bytes=65536", state: "disk", kind: Kind::Disk },
    Plant { path: "/downstream", query: "ms=20", state: "downstream", kind: Kind::Downstream },
];

/// What the kernel says about all threads of a process so far.
fn process_times(pid: u32) -> SchedTimes {
    thread_ids(pid).into_iter().map(|tid| sched_times(pid, tid)).fold(SchedTimes::default(), |sum, each| {
        SchedTimes { on_cpu: sum.on_cpu + each.on_cpu, run_queue: sum.run_queue + each.run_queue }
    })
}

fn planted(model: &str) {
    let Some(_serial) = kernel_test() else { return };
    // The build directory is on a disk where the directory for temporary files may be memory.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let truth = dir.path().join("truth");
    let upstream = DemoServer::upstream();
    let args =
        ["--upstream", &upstream.address().to_string(), "--truth", text(&truth), "--dir", text(dir.path())];
    let server = DemoServer::start(model, &args);
    let whywait = Whywait::on(server.pid());

    let mut answered = BTreeMap::new();
    let mut scheduled = BTreeMap::new();
    answered.insert("/plaintext", Load::new(server.url("/plaintext"), 200, 1.0).run().requests);
    for plant in &PLANTS {
        let url = server.url(&format!("{}?{}", plant.path, plant.query));
        let before = process_times(server.pid());
        answered.insert(plant.path, Load::new(url, 20, 1.5).run().requests);
        let after = process_times(server.pid());
        let times = SchedTimes {
            on_cpu: after.on_cpu - before.on_cpu,
            run_queue: after.run_queue - before.run_queue,
        };
        scheduled.insert(plant.path, times);
    }
    let report = whywait.stop();
    report.assert_exactly(answered.values().sum());
    let records = server.stop_for_truth(&truth);
    for plant in &PLANTS {
        let its = records.iter().filter(|record| record.route == plant.path && record.kind == plant.kind);
        let planted_us = its.map(|record| record.planted_ns as f64 / 1e3).sum();
        check(&report, plant, answered[plant.path], planted_us, scheduled[plant.path]);
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in text")
}

fn group<'r>(report: &'r Report, path: &str) -> &'r Group {
    report.route(&format!("GET {path}")).unwrap_or_else(|| panic!("no requests for {path}"))
}

/// Compares what was found with what was planted.
fn check(report: &Report, plant: &Plant, answered: u64, planted_us: f64, scheduled: SchedTimes) {
    let Plant { path, state: planted_state, .. } = *plant;
    let (found, idle) = (group(report, path), group(report, "/plaintext"));
    assert_eq!(found.count, answered, "requests for {path}");
    let (on_cpu_us, run_queue_us) = (scheduled.on_cpu as f64 / 1e3, scheduled.run_queue as f64 / 1e3);
    let told: BTreeMap<_, _> = STATES.map(|state| (state, found.total_us(state).round())).into();
    let told = format!(
        "{path}: planted {planted_us:.0} µs in {answered} requests, the kernel says on CPU {on_cpu_us:.0}, \
         run queue {run_queue_us:.0}; found {told:?}"
    );
    println!("{told}");
    if plant.kind == Kind::Disk && planted_us < 1000.0 {
        return skip("planted disk time", "the disk here is memory, nothing waits for it");
    }
    assert!(planted_us > 0.0, "{told}");
    for state in STATES {
        let it_is = found.total_us(state);
        if state == planted_state {
            // A wall time includes the run queue; a CPU time does not.
            let with_run_queue = if plant.kind == Kind::OnCpu { 0.0 } else { run_queue_us };
            assert!(it_is >= FOUND * planted_us - with_run_queue, "too little {state} in {told}");
        }
        let own = if state == planted_state { planted_us } else { 0.0 };
        let usual = match state {
            "on_cpu" => on_cpu_us.max(own) - own,
            "run_queue" => run_queue_us,
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
