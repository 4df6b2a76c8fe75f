//! The lock that requests wait for is told with its name, its purpose and what its holder does.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    thread,
};

use serde_json::Value;
use whywait_tests::{Client, DemoServer, Guard, Report, Whywait, kernel_test, requests, skip};

/// Requests of each client.
const ROUNDS: u64 = 20;
/// Clients at once.
const CLIENTS: usize = 4;

/// Several clients ask for a path at once.
fn crowd(address: &str, path: &str) {
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut client = Client::connect(address);
                for _ in 0..requests(ROUNDS) {
                    client.ask(path);
                }
            });
        }
    });
}

/// The lock for which requests waited longest.
fn worst(report: &Report) -> Value {
    let lock = report.raw["locks"]["user"][0].clone();
    assert!(lock.is_object(), "no lock was waited for: {}", report.raw["breakdown_us"]);
    lock
}

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("{key} is not a number in {value}"))
}

/// Share of the time of a lock's holders that is under this key.
fn of_holders(lock: &Value, key: &str) -> f64 {
    let holders = lock["holders"].as_array().expect("holders");
    let sum = |key: &str| holders.iter().map(|holder| number(holder, key)).sum::<f64>();
    sum(key) / (sum("on_cpu_us") + sum("runnable_us") + sum("blocked_us"))
}

fn watch(pid: u32, load: impl FnOnce()) -> Report {
    let whywait = Whywait::on(pid);
    load();
    whywait.stop()
}

/// `/lock` waits for a mutex that a thread takes, and sleeps while it has it: that thread is the holder.
#[test]
fn the_thread_that_sleeps_with_a_mutex_is_its_holder() {
    let Some(_serial) = kernel_test() else { return };
    let server = DemoServer::start("thread-pool", &[]);
    let report = watch(server.pid(), || {
        let mut client = Client::connect(&server.address().to_string());
        for _ in 0..requests(2 * ROUNDS) {
            client.ask("/lock?us=20000");
        }
    });
    let lock = worst(&report);
    assert_eq!(lock["kind"], "exclusion", "{lock}");
    assert!(number(&lock, "share") > 0.9, "{lock}");
    assert!(number(&lock, "mean_us") > 15_000.0 && number(&lock, "at_once") >= 1.0, "{lock}");
    let holder = &lock["holders"][0];
    assert_eq!(holder["blocked_in"], "clock_nanosleep", "{lock}");
    assert!(of_holders(&lock, "blocked_us") > 0.8, "{lock}");
}

/// A server with a lock that works like an interpreter's is not Python: it has a lock, taken in turns.
#[test]
fn a_lock_that_works_like_pythons_is_not_pythons() {
    let Some(_serial) = kernel_test() else { return };
    let server = DemoServer::start("gil", &[]);
    let report = watch(server.pid(), || crowd(&server.address().to_string(), "/cpu?us=20000"));
    let lock = worst(&report);
    assert_eq!(lock["kind"], "exclusion", "{lock}");
    assert!(number(&lock, "waiters") > 1.0 && number(&lock, "at_once") > 1.0, "{lock}");
    assert!(of_holders(&lock, "blocked_us") < 0.3, "{lock}");
}

/// A threaded server: `/compute` computes for some 20 ms, `/wait` sleeps for 20 ms with a lock of its own.
const SERVER: &str = r#"
import threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
one = threading.Lock()
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path == "/wait":
            with one:
                time.sleep(0.02)
        else:
            until, x = time.thread_time() + 0.02, 0
            while time.thread_time() < until:
                for i in range(1000):
                    x += i
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *args):
        pass
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print("%s:%d" % server.server_address, flush=True)
server.serve_forever()
"#;

/// The Python server with its address; `None` where there is no Python.
fn python() -> Option<(Guard, String)> {
    let version = Command::new("python3").arg("--version").output();
    if !version.is_ok_and(|output| output.status.success()) {
        skip("python", "there is no python3");
        return None;
    }
    let mut command = Command::new("python3");
    let mut guard = Guard::spawn(command.args(["-c", SERVER]).stdout(Stdio::piped()));
    let mut line = String::new();
    BufReader::new(guard.stdout()).read_line(&mut line).expect("reading the server's address");
    Some((guard, line.trim().to_owned()))
}

/// Threads that compute in Python wait for the interpreter lock, and it is named.
#[test]
fn the_interpreter_lock_is_named() {
    let Some(_serial) = kernel_test() else { return };
    let Some((server, address)) = python() else { return };
    let report = watch(server.pid(), || crowd(&address, "/compute"));
    let lock = worst(&report);
    assert_eq!(lock["kind"], "gil", "{lock}");
    assert!(number(&lock, "share") > 0.8 && number(&lock, "waiters") > 1.0, "{lock}");
    server.stop();
}

/// A lock of the program is not the interpreter's, although Python runs it.
#[test]
fn a_lock_in_a_python_program_is_not_the_interpreters() {
    let Some(_serial) = kernel_test() else { return };
    let Some((server, address)) = python() else { return };
    let report = watch(server.pid(), || crowd(&address, "/wait"));
    let lock = worst(&report);
    assert_eq!(lock["kind"], "exclusion", "{lock}");
    assert!(number(&lock, "share") > 0.8 && number(&lock, "at_once") > 1.0, "{lock}");
    assert!(of_holders(&lock, "blocked_us") > 0.6, "{lock}");
    assert_eq!(lock["holders"][0]["routes"][0], "GET /wait", "{lock}");
    server.stop();
}
