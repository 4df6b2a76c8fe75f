//! The dashboard while what it watches, or the terminal that it is in, becomes another one.

use std::path::Path;
use std::time::Duration;

use whywait_tests::{
    BpfKind, BpfObjects, Client, DemoServer, Screen, Signal, demo_servers_path, gunicorn, kernel_test,
    wait_until,
};

const SIZE: (u16, u16) = (120, 40);
const ANSWER: Duration = Duration::from_secs(15);
const SOON: Duration = Duration::from_secs(10);

/// A wrapper that executes the server in its own place: the header has the server's name from then on, and the screen says it.
#[test]
fn a_wrapper_executes_the_server() {
    let Some(_serial) = kernel_test() else { return };
    let Some(screen) = Screen::open("exec", SIZE) else { return };
    let server = demo_servers_path().display();
    screen.top(&format!("-- sh -c 'sleep 3; exec {server} serve thread-pool --port 0'"));
    screen.wait_for("whywait sh (", ANSWER);
    screen.wait_for("executes demo-servers now", SOON);
    screen.wait_for("whywait demo-servers (", SOON);
    screen.wait_for("port ", SOON);
    screen.key("q");
    screen.assert_whole();
}

/// A command that forks the server and ends, as one does that makes a daemon: the server is the target from then on.
#[test]
fn the_server_goes_on_without_its_parent() {
    let Some(_serial) = kernel_test() else { return };
    let Some(screen) = Screen::open("daemon", SIZE) else { return };
    let server = demo_servers_path().display();
    screen.top(&format!("-- sh -c 'sleep 2; {server} serve event-loop --port 0 & sleep 3'"));
    screen.wait_for("whywait sh (", ANSWER);
    screen.wait_for("goes on", SOON);
    screen.wait_for("whywait demo-servers (", SOON);
    let seen = screen.text();
    assert!(!seen.contains("HAS ENDED"), "{seen}");
    screen.key("q");
    screen.assert_whole();
}

/// Gunicorn replaces its workers: they are counted, it is said, and the requests of the new ones are seen.
#[test]
fn workers_are_replaced() {
    let Some(_serial) = kernel_test() else { return };
    let Some(screen) = Screen::open("reload", SIZE) else { return };
    let Some(server) = gunicorn(&["--workers", "2", "app:wsgi"]) else { return };
    screen.top(&format!("-p {}", server.pid()));
    screen.wait_for("3 processes", ANSWER);
    server.signal(Signal::HUP);
    screen.wait_for("forked", SOON);
    screen.key("3");
    screen.wait_for("ended", SOON);
    screen.wait_for("in 3 processes", SOON);
    screen.key("1");
    let ask = || {
        Client::connect(&format!("127.0.0.1:{}", server.port())).ask("/");
        screen.text().lines().any(|line| line.starts_with("GET / "))
    };
    assert!(wait_until(SOON, ask), "no request of a new worker is seen:\n{}", screen.text());
    screen.key("q");
    screen.assert_whole();
}

/// The terminal goes away without a word: the dashboard ends, and leaves nothing in the kernel.
#[test]
fn a_terminal_that_disappears_ends_it() {
    let Some(_serial) = kernel_test() else { return };
    let Some(screen) = Screen::open("gone", SIZE) else { return };
    let server = DemoServer::start("event-loop", &[]);
    screen.top(&format!("-p {}", server.pid()));
    screen.wait_for("No request was answered", ANSWER);
    let pid = screen.child();
    let objects = BpfObjects::held_by(pid);
    assert!(objects.count(BpfKind::Link) > 3, "attached programs of a running dashboard: {objects:?}");
    screen.disappear();
    let process = format!("/proc/{pid}");
    assert!(wait_until(SOON, || !Path::new(&process).exists()), "the dashboard goes on without a terminal");
    let gone = wait_until(SOON, || objects.still_there().is_empty());
    assert!(gone, "left behind in the kernel: {:?}", objects.still_there());
    assert!(server.stop().success(), "the target ends as it always does");
}
