//! What is special about the models that differ in what their threads do.

use std::collections::HashSet;
use std::fs;
use std::thread;
use std::time::Duration;

use demo_servers::Model;
use demo_servers::truth::Record;

use crate::support::{ServerProcess, ask, records};

/// Runs `drive` on a server with one pool thread and returns the truth afterwards.
fn truth_of(model: Model, drive: impl FnOnce(&ServerProcess)) -> Vec<Record> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("truth");
    let server = ServerProcess::start(&[
        "serve",
        model.id(),
        "--threads",
        "1",
        "--truth",
        &path.display().to_string(),
    ]);
    drive(&server);
    server.stop();
    records(&path)
}

fn only<'r>(records: &'r [Record], route: &str) -> &'r Record {
    let mut of_route = records.iter().filter(|record| record.route == route);
    let record = of_route.next().unwrap();
    assert!(of_route.next().is_none(), "{route}");
    record
}

/// Ten requests on one kept connection are answered by ten threads; open connections alone cost none.
#[test]
fn a_thread_for_each_request() {
    let truth = truth_of(Model::ThreadPerRequest, |server| {
        let threads = || fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap().count();
        let stream = server.connect();
        assert!(ask(&stream, "/nowhere").contains("404"));
        let before = threads();
        let idle: Vec<_> = (0..10).map(|_| server.connect()).collect();
        assert!(ask(&idle[9], "/nowhere").contains("404"));
        assert_eq!(threads(), before);
        for _ in 0..10 {
            assert!(ask(&stream, "/json").contains("Hello, World!"));
        }
    });
    let answers: Vec<_> = truth.iter().filter(|record| record.route == "/json").collect();
    let threads: HashSet<_> = answers.iter().map(|record| record.tid).collect();
    assert_eq!((answers.len(), threads.len()), (10, 10));
}

/// While the pool computes, the loop answers others; its one thread does the second piece of work after the first. All
/// answers are written by the loop.
#[test]
fn a_loop_with_a_pool_is_not_held_up_by_work() {
    let truth = truth_of(Model::EventLoopPool, |server| {
        thread::scope(|scope| {
            scope.spawn(|| server.get("/cpu?us=500000"));
            thread::sleep(Duration::from_millis(50));
            scope.spawn(|| server.get("/alloc?bytes=4096"));
            thread::sleep(Duration::from_millis(50));
            server.get("/plaintext");
            server.get("/sleep?ms=1");
        });
    });
    let [cpu, alloc, plaintext, sleep] =
        ["/cpu", "/alloc", "/plaintext", "/sleep"].map(|route| only(&truth, route));
    assert!(plaintext.start_ns > cpu.start_ns && plaintext.end_ns < cpu.end_ns);
    assert!(sleep.end_ns < cpu.end_ns);
    assert!(alloc.start_ns < cpu.end_ns && alloc.end_ns >= cpu.end_ns, "{cpu:?} {alloc:?}");
    assert!(truth.iter().all(|record| record.tid == cpu.tid));
}

/// However many CPUs there are, two requests that compute take as long together as one after the other.
#[test]
fn the_interpreter_lock_lets_one_compute_at_a_time() {
    let truth = truth_of(Model::Gil, |server| {
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| server.get("/cpu?us=300000"));
            }
        });
    });
    let [first, second] = [&truth[0], &truth[1]];
    let (began, ended) = (first.start_ns.min(second.start_ns), first.end_ns.max(second.end_ns));
    let computed = Duration::from_nanos(first.planted_ns + second.planted_ns);
    assert_ne!(first.tid, second.tid);
    assert!(computed >= Duration::from_millis(600), "{computed:?}");
    assert!(first.start_ns < second.end_ns && second.start_ns < first.end_ns, "they were not at once");
    // In parallel it would be the half. The two clocks, that of a thread's CPU time and that on the wall, differ by up to a tick.
    let took = ended.since(began);
    assert!(took >= computed.mul_f64(0.95), "{computed:?} of CPU within {took:?}");
}

/// A short request next to one that computes waits for the switch interval, 5 ms, but not for the end of the other; one
/// that sleeps keeps nobody waiting.
#[test]
fn the_interpreter_lock_is_given_up_after_an_interval() {
    let truth = truth_of(Model::Gil, |server| {
        let stream = server.connect();
        thread::scope(|scope| {
            scope.spawn(|| server.get("/cpu?us=1000000"));
            scope.spawn(|| server.get("/sleep?ms=1000"));
            thread::sleep(Duration::from_millis(100));
            for _ in 0..9 {
                assert!(ask(&stream, "/plaintext").ends_with("Hello, World!"));
            }
        });
    });
    let cpu = only(&truth, "/cpu");
    let short: Vec<_> = truth.iter().filter(|record| record.route == "/plaintext").collect();
    assert!(short.len() == 9 && short.iter().all(|record| record.end_ns < cpu.end_ns));
    let mut waits: Vec<_> = short.iter().map(|record| record.end_ns.since(record.start_ns)).collect();
    waits.sort();
    assert!(waits[4] > Duration::from_millis(4) && waits[4] < Duration::from_millis(50), "{waits:?}");
}
