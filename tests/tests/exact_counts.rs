//! Requests found equal requests answered, exactly, with nothing lost.
//!
//! The load generator offers 2,000 requests a second for 5 s, entirely inside whywait's window. What it got answered is the
//! truth; a server that cannot hold the rate (Gunicorn, on a small machine) answers fewer, and exactly those must be
//! found. Half of what is offered must be answered (a tenth on an emulated machine), or the test would prove little.

use std::time::Duration;

use whywait_tests::{
    DemoServer, Load, RealServer, Report, Whywait, gunicorn, kernel_test, nginx, node, patience, slow,
};

const RATE: u32 = 2000;
const SECONDS: u32 = 5;
/// Time for the generator to start, connect and end, and for late answers.
const MARGIN: Duration = Duration::from_secs(3);

/// Watches a process while the load runs.
fn measure(pid: u32, load: &Load) -> Report {
    let window = Duration::from_secs(u64::from(SECONDS)) + patience(MARGIN);
    let whywait = Whywait::explain_for(window, &["--pid", &pid.to_string()]);
    let answered = load.run().requests;
    assert!(!whywait.has_ended(), "the load ends inside the window");
    let offered = load.offered();
    let least = if slow() { offered / 10 } else { offered / 2 };
    assert!(answered >= least, "only {answered} of {offered} requests were answered");
    let report = whywait.stop();
    report.assert_exactly(answered);
    report
}

fn demo(model: &str, shape: impl FnOnce(Load) -> Load) {
    let Some(_serial) = kernel_test() else { return };
    let server = DemoServer::start(model, &[]);
    let load = shape(Load::new(server.url("/plaintext"), RATE, SECONDS));
    let report = measure(server.pid(), &load);
    let route = report.route("GET /plaintext").expect("the route is named");
    assert_eq!(route.count, report.requests.count, "requests of the only route");
    assert_eq!(report.target.ports, [server.address().port()]);
}

fn real(server: Option<RealServer>, shape: impl FnOnce(Load) -> Load) {
    let Some(server) = server else { return };
    let report = measure(server.pid(), &shape(Load::new(server.url(), RATE, SECONDS)));
    let route = report.route("GET /").expect("the route is named");
    assert_eq!(route.count, report.requests.count, "requests of the only route");
}

/// It serves one connection until that closes, so there is one.
#[test]
fn iterative() {
    demo("iterative", |load| load);
}

/// Connections queue up for the only thread.
#[test]
fn iterative_with_a_connection_for_each_request() {
    demo("iterative", |load| load.connections(4).close());
}

#[test]
fn thread_per_connection() {
    demo("thread-per-connection", |load| load.connections(16));
}

/// Each request has a thread of its own, which ends with it.
#[test]
fn thread_per_connection_with_a_connection_for_each_request() {
    demo("thread-per-connection", |load| load.connections(16).close());
}

/// Each of the four threads serves one connection.
#[test]
fn thread_pool() {
    demo("thread-pool", |load| load.connections(4));
}

/// Connections are handed over through the queue.
#[test]
fn thread_pool_with_a_connection_for_each_request() {
    demo("thread-pool", |load| load.connections(16).close());
}

#[test]
fn event_loop() {
    demo("event-loop", |load| load.connections(16));
}

#[test]
fn event_loop_with_a_connection_for_each_request() {
    demo("event-loop", |load| load.connections(16).close());
}

/// Several processes that share the listening socket; this worker knows no keep-alive.
#[test]
fn gunicorn_sync() {
    let Some(_serial) = kernel_test() else { return };
    real(gunicorn(&["--workers", "2", "--worker-class", "sync"]), |load| load.connections(8).close());
}

/// Threads under an interpreter lock, which take connections from one that waits for them.
#[test]
fn gunicorn_gthread() {
    let Some(_serial) = kernel_test() else { return };
    real(gunicorn(&["--workers", "1", "--worker-class", "gthread", "--threads", "4"]), |load| {
        load.connections(8)
    });
}

#[test]
fn node_js() {
    let Some(_serial) = kernel_test() else { return };
    real(node(), |load| load.connections(16));
}

#[test]
fn nginx_keep_alive() {
    let Some(_serial) = kernel_test() else { return };
    real(nginx(), |load| load.connections(16));
}

#[test]
fn nginx_with_a_connection_for_each_request() {
    let Some(_serial) = kernel_test() else { return };
    real(nginx(), |load| load.connections(16).close());
}
