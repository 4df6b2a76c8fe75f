//! Socket operations from the socket tracepoints and from system calls give the same requests.
//!
//! Kernels before 6.3 have no socket tracepoints; the way for them must say the same on the same load.

use whywait_tests::{DemoServer, Load, Report, STATES, Whywait, kernel_test, slow};

const ROUTES: [&str; 4] = ["/plaintext", "/json", "/sleep?ms=5", "/cpu?us=500"];

/// A load of several routes, in turn.
fn load(server: &DemoServer) -> Load {
    let [first, others @ ..] = ROUTES;
    let load = Load::new(server.url(first), 200, 2).connections(4);
    others.into_iter().fold(load, |load, path| load.and(server.url(path)))
}

fn watch(server: &DemoServer, extra: &[&str]) -> (u64, Report) {
    let pid = server.pid().to_string();
    let whywait = Whywait::explain(&[&["--pid", &pid], extra].concat());
    let answered = load(server).run().requests;
    (answered, whywait.stop())
}

/// Routes with their counts, by name.
fn routes(report: &Report) -> Vec<(String, u64)> {
    let mut routes: Vec<_> = report.routes.iter().map(|group| (group.name.clone(), group.count)).collect();
    routes.sort();
    routes
}

fn compare(model: &str) {
    let Some(_serial) = kernel_test() else { return };
    let server = DemoServer::start(model, &[]);
    let (answered, as_it_is) = watch(&server, &[]);
    as_it_is.assert_exactly(answered);
    let (answered_again, by_calls) = watch(&server, &["--sockets-by-syscall"]);
    by_calls.assert_exactly(answered_again);
    assert_eq!(by_calls.sockets_by, "system_calls");
    assert_eq!(answered, answered_again, "both loads are of the same size");
    assert_eq!(routes(&as_it_is), routes(&by_calls));
    // Both are loads on a real machine, so times agree only roughly: a fifth of the mean latency, whatever the state.
    let most = as_it_is.requests.latency_us.mean * 0.2 + 50.0;
    for state in STATES {
        let (one, other) = (as_it_is.breakdown_us.mean[state], by_calls.breakdown_us.mean[state]);
        assert!(
            slow() || (one - other).abs() <= most,
            "{state}: {one} and {other} µs, more than {most} apart"
        );
    }
}

#[test]
fn thread_per_connection() {
    compare("thread-per-connection");
}

#[test]
fn thread_pool() {
    compare("thread-pool");
}

#[test]
fn event_loop() {
    compare("event-loop");
}
