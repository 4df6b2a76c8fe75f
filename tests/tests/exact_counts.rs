//! Requests found equal requests answered, exactly, with nothing lost.
//!
//! The load generator offers 2,000 requests a second for 5 s, entirely inside whywait's window. What it got answered is the
//! truth; a server that cannot hold the rate answers fewer, and exactly those must be found. Servers of other people are in
//! `real_servers.rs`.

use whywait_tests::{DemoServer, Load, kernel_test, measure};

const RATE: u32 = 2000;
const SECONDS: u32 = 5;

fn demo(model: &str, shape: impl FnOnce(Load) -> Load) {
    let Some(_serial) = kernel_test() else { return };
    let server = DemoServer::start(model, &[]);
    let load = shape(Load::new(server.url("/plaintext"), RATE, SECONDS));
    let report = measure(server.pid(), &load);
    let route = report.route("GET /plaintext").expect("the route is named");
    assert_eq!(route.count, report.requests.count, "requests of the only route");
    assert_eq!(report.target.ports, [server.address().port()]);
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
