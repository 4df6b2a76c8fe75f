//! The mean latency is the client's own, less the way between the two.
//!
//! The client's time includes what it takes to send, and to be woken and run for the answer, so whywait's mean must lie below
//! it always, and close to it. How close depends on how long the client itself waits for a CPU, which on a machine
//! with other work is not up to the server: the closest of five windows counts.

use whywait_tests::{DemoServer, Load, Whywait, kernel_test, nginx, slow};

/// Within this share of the client's mean, or this many microseconds.
const SHARE: f64 = 0.1;
const LEAST_US: f64 = 60.0;

fn compare(pid: u32, load: &Load) {
    let mut told = Vec::new();
    for _ in 0..5 {
        let whywait = Whywait::on(pid);
        let client = load.run();
        let report = whywait.stop();
        report.assert_exactly(client.requests);
        let (found, clients) = (report.requests.latency_us.mean, client.service_us.mean);
        println!("whywait {found:.1} µs, the client {clients:.1} µs");
        assert!(found > 0.0 && found < clients, "a mean of {found} µs; the client itself saw {clients} µs");
        if slow() || clients - found <= (clients * SHARE).max(LEAST_US) {
            return;
        }
        told.push((found, clients));
    }
    panic!("whywait's mean latency is far below the client's, each time: {told:?}");
}

fn demo(model: &str, connections: u16) {
    let Some(_serial) = kernel_test() else { return };
    let server = DemoServer::start(model, &[]);
    compare(server.pid(), &Load::new(server.url("/plaintext"), 500, 3).connections(connections));
}

#[test]
fn iterative() {
    demo("iterative", 1);
}

#[test]
fn thread_per_connection() {
    demo("thread-per-connection", 4);
}

#[test]
fn thread_pool() {
    demo("thread-pool", 4);
}

#[test]
fn event_loop() {
    demo("event-loop", 4);
}

#[test]
fn nginx_with_two_workers() {
    let Some(_serial) = kernel_test() else { return };
    let Some(server) = nginx() else { return };
    compare(server.pid(), &Load::new(server.url(), 500, 3).connections(4));
}
