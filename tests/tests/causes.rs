//! The same cause in servers that have nothing else in common: Python, C, Java, Node.js, Go and Ruby programs with one cause planted, beside the same
//! programs with something that looks like it.
//!
//! As in `findings.rs`, a case is tried again where the machine is busy with something else.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use whywait_tests::Written::{C, Go, Java, Node, Python, Ruby};
use whywait_tests::{Guard, Load, RealServer, Report, Whywait, Written, caused, measuring_test};

/// How long a server is watched.
const WINDOW: Duration = Duration::from_secs(2);
/// Tries of a case on a machine that is busy with something else.
const TRIES: usize = 4;

/// So many clients that each send the next request when the last is answered.
fn clients(count: u16) -> impl Fn(&RealServer) {
    move |server| {
        let seconds = u32::try_from(WINDOW.as_secs()).expect("a short time");
        Load::new(server.url(), 0, seconds).connections(count).run();
    }
}

/// What is watched while a load is on.
fn watch(server: &RealServer, load: &(impl Fn(&RealServer) + Sync)) -> Report {
    // Attached before the crowd comes that takes the CPUs.
    let run = Whywait::explain_for(WINDOW, &["--pid", &server.pid().to_string()]);
    thread::scope(|scope| {
        scope.spawn(|| load(server));
        run.finish(WINDOW)
    })
}

/// A server with a cause, and which finding comes first then.
fn named(written: Written, cause: &str, load: impl Fn(&RealServer) + Sync, expected: &str) {
    let Some(server) = caused(written, cause) else { return };
    let mut told = Vec::new();
    for _ in 0..TRIES {
        let report = watch(&server, &load);
        let found: Vec<_> = report.findings.iter().map(|found| (found.id.clone(), found.share)).collect();
        if let Some(first) = report.findings.first()
            && first.id == expected
        {
            assert!(first.share > 0.1 && first.share <= 1.0, "{first:?}");
            return;
        }
        told.push(found);
    }
    panic!("{written:?} {cause}: expected {expected}, found {told:?}");
}

/// A server that looks as if it had a cause, and has it not.
fn not_named(written: Written, cause: &str, load: impl Fn(&RealServer) + Sync, wrong: &[&str]) {
    let Some(server) = caused(written, cause) else { return };
    let mut told = Vec::new();
    for _ in 0..TRIES {
        let report = watch(&server, &load);
        let found: Vec<_> = report.findings.iter().map(|found| found.id.clone()).collect();
        assert!(report.requests.count > 0, "{written:?} {cause} was not asked");
        if !found.iter().any(|found| wrong.contains(&found.as_str())) {
            return;
        }
        told.push(found);
    }
    panic!("{written:?} {cause}: found {told:?}");
}

/// Everything that can be found.
const ANYTHING: [&str; 14] = [
    "lock_contention",
    "gil_contention",
    "kernel_lock_contention",
    "cpu_bound",
    "too_many_threads",
    "event_loop_blocked",
    "workers_exhausted",
    "downstream_slow",
    "disk_slow",
    "page_faults",
    "sleeping",
    "slow_client",
    "thread_churn",
    "process_churn",
];

/// A mutex, a file's lock and a monitor; who only sleeps holds none.
#[test]
fn locks() {
    let Some(_serial) = measuring_test("causes") else { return };
    named(C, "mutex", clients(6), "lock_contention");
    named(Python, "flock", clients(6), "lock_contention");
    named(Java(12), "monitor", clients(6), "lock_contention");
    not_named(C, "sleep", clients(6), &["lock_contention"]);
    not_named(Python, "sleep", clients(6), &["lock_contention", "gil_contention"]);
}

/// A mutex of Go, of which the kernel sees nothing: its holder sleeps or computes, and goroutines that sleep or compute without one.
#[test]
fn locks_of_goroutines() {
    let Some(_serial) = measuring_test("causes") else { return };
    named(Go, "mutex", clients(8), "lock_contention");
    named(Go, "mutex-burn", clients(8), "lock_contention");
    named(Go, "sleep", clients(8), "sleeping");
    not_named(Go, "sleep", clients(8), &["lock_contention"]);
    not_named(Go, "burn", clients(8), &["lock_contention"]);
}

/// A file that many threads write at once has one lock in the kernel; files of their own have one each.
#[test]
fn locks_of_the_kernel() {
    let Some(_serial) = measuring_test("causes") else { return };
    for written in [Java(12), Go] {
        named(written, "one-file", clients(8), "kernel_lock_contention");
        not_named(written, "own-files", clients(2), &["kernel_lock_contention", "lock_contention"]);
    }
}

/// Ruby threads that compute wait for the interpreter's lock; those that sleep let it go, with a mutex in hand or without.
#[test]
fn the_lock_of_ruby() {
    let Some(_serial) = measuring_test("causes") else { return };
    named(Ruby, "burn", clients(8), "gil_contention");
    named(Ruby, "mutex", clients(8), "lock_contention");
    not_named(Ruby, "mutex", clients(8), &["gil_contention"]);
    not_named(Ruby, "sleep", clients(8), &["gil_contention", "lock_contention"]);
}

/// Python threads that compute wait for the interpreter's lock; those of C that compute as much do not.
#[test]
fn the_interpreters_lock() {
    let Some(_serial) = measuring_test("causes") else { return };
    named(Python, "burn", clients(8), "gil_contention");
    not_named(Python, "burn", clients(1), &["gil_contention"]);
    not_named(C, "burn", clients(4), &["gil_contention", "lock_contention"]);
}

/// More threads that compute than there are CPUs; one that computes is no crowd.
#[test]
fn crowds() {
    let Some(_serial) = measuring_test("causes") else { return };
    named(C, "burn", clients(32), "too_many_threads");
    named(Java(64), "burn", clients(48), "too_many_threads");
    not_named(C, "burn", clients(1), &["too_many_threads"]);
}

/// `fdatasync` waits for the disk; a write that stays in memory does not.
#[test]
fn disks() {
    let Some(_serial) = measuring_test("causes") else { return };
    named(C, "sync", clients(2), "disk_slow");
    not_named(C, "write", clients(2), &["disk_slow"]);
}

/// A mapped file that is not in memory is read by page faults; one that is there has faults as well, and waits for none.
#[test]
fn mapped_files() {
    let Some(_serial) = measuring_test("causes") else { return };
    named(C, "faults", clients(2), "page_faults");
    named(Python, "faults", clients(1), "page_faults");
    not_named(C, "resident", clients(2), &["page_faults"]);
}

/// A client that reads slowly keeps the server in its write, of a large response; one that fits into the socket's buffer does not.
#[test]
fn clients_that_read_slowly() {
    let Some(_serial) = measuring_test("causes") else { return };
    for written in [C, Python] {
        named(written, "big", slow_readers, "slow_client");
        not_named(written, "none", slow_readers, &["slow_client"]);
    }
}

/// Three clients that take 4 ms for each 64 kB.
fn slow_readers(server: &RealServer) {
    let end = Instant::now() + WINDOW;
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut stream = TcpStream::connect(("127.0.0.1", server.port())).expect("connecting");
                rustix::net::sockopt::set_socket_recv_buffer_size(&stream, 64 << 10)
                    .expect("making the socket's buffer small");
                while Instant::now() < end {
                    stream.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n").expect("asking");
                    read_slowly(&mut stream);
                }
            });
        }
    });
}

/// Reads one response.
fn read_slowly(stream: &mut TcpStream) {
    let (mut response, mut part) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        let length = stream.read(&mut part).expect("reading");
        response.extend_from_slice(&part[..length]);
        let head = response.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head at once");
        let text = std::str::from_utf8(&response[..head]).expect("a head in text");
        let body = text.rsplit(' ').next().and_then(|length| length.parse().ok()).unwrap_or(0);
        thread::sleep(Duration::from_millis(4));
        if response.len() >= head + 4 + body || length == 0 {
            return;
        }
    }
}

/// A process for each request, whatever starts it.
#[test]
fn processes() {
    let Some(_serial) = measuring_test("causes") else { return };
    named(Python, "spawn", clients(2), "process_churn");
    named(C, "spawn", clients(2), "process_churn");
    not_named(C, "threads", clients(2), &["process_churn"]);
}

/// Threads that live for a moment; a thread that lives for its connection is none of these.
#[test]
fn threads() {
    let Some(_serial) = measuring_test("causes") else { return };
    named(C, "threads", clients(2), "thread_churn");
    named(Java(4), "join", clients(2), "thread_churn");
    not_named(C, "none", clients(2), &["thread_churn"]);
}

/// The loop of Node.js in one request's way; the same loop with a quick one.
#[test]
fn loops() {
    let Some(_serial) = measuring_test("causes") else { return };
    let mixed = |server: &RealServer| {
        let seconds = u32::try_from(WINDOW.as_secs()).expect("a short time");
        let quick = || server.url();
        let load = (0..38).fold(Load::new(quick(), 400, seconds), |load, _| load.and(quick()));
        load.and(format!("{}slow", server.url())).connections(16).run();
    };
    named(Node, "loop", mixed, "event_loop_blocked");
    not_named(Node, "none", mixed, &ANYTHING);
}

/// Two threads for 24 clients; with threads enough only the sleep is left.
#[test]
fn pools() {
    let Some(_serial) = measuring_test("causes") else { return };
    named(Java(2), "sleep", clients(24), "workers_exhausted");
    named(Java(32), "sleep", clients(24), "sleeping");
}

/// Somebody else computes on every CPU; a server that computes alone has itself to blame.
#[test]
fn neighbours() {
    let Some(_serial) = measuring_test("causes") else { return };
    let crowded = |server: &RealServer| {
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        let burn = || {
            let mut command = Command::new("sh");
            Guard::spawn(command.args(["-c", "while :; do :; done"]).stdin(Stdio::null()))
        };
        let neighbours: Vec<Guard> = (0..2 * cpus).map(|_| burn()).collect();
        clients(1)(server);
        drop(neighbours);
    };
    for written in [C, Python] {
        named(written, "burn", crowded, "cpu_starved");
    }
}
