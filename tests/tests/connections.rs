//! Whatever a server does with its connections, each request is found once.
//!
//! `test-server` has one mode for each way of reading, writing and passing sockets on. The tests send requests one at a time and
//! compare the number, exactly.

use std::thread;
use std::time::Duration;

use whywait_tests::{Report, TestServer, Whywait, kernel_test, requests, skip};

/// Requests over each connection.
const ROUNDS: u64 = 25;

fn watched(mode: &str, address: &str, load: impl FnOnce(&TestServer)) -> Option<Report> {
    let _serial = kernel_test()?;
    let server = TestServer::start_at(mode, address);
    let whywait = Whywait::on(server.pid());
    load(&server);
    Some(whywait.stop())
}

fn watch(mode: &str, load: impl FnOnce(&TestServer)) -> Option<Report> {
    watched(mode, "127.0.0.1:0", load)
}

/// Three connections with several requests each, one after the other and then in turn.
fn keep_alive(server: &TestServer) {
    let rounds = requests(ROUNDS);
    let mut first = server.connect();
    for _ in 0..rounds {
        first.ask("/alone");
    }
    let (mut second, mut third) = (server.connect(), server.connect());
    for _ in 0..rounds {
        second.ask("/in-turn");
        third.ask("/in-turn");
    }
}

/// What [`keep_alive`] asked for was found, once each, and nothing else.
fn assert_keep_alive(report: &Report) {
    let rounds = requests(ROUNDS);
    report.assert_exactly(3 * rounds);
    let count = |name| report.route(name).map_or(0, |group| group.count);
    assert_eq!((count("GET /alone"), count("GET /in-turn")), (rounds, 2 * rounds), "requests by route");
    let latency = report.requests.latency_us;
    assert!(latency.mean > 0.0 && latency.max < 60e6, "{latency:?}");
}

/// The same with any route: where the bytes of a request never are in memory of the server before they are read from elsewhere,
/// nobody can tell its path.
fn assert_found(report: &Report) {
    report.assert_exactly(3 * requests(ROUNDS));
}

#[test]
fn read_and_write() {
    if let Some(report) = watch("read-write", keep_alive) {
        assert_keep_alive(&report);
        assert_eq!(report.requests.without_arrival, 0, "the arrival of each request is known");
    }
}

/// Looking at the bytes first takes nothing from the queue.
#[test]
fn recv_and_send_after_a_peek() {
    if let Some(report) = watch("recv-send", keep_alive) {
        assert_keep_alive(&report);
    }
}

#[test]
fn readv_and_writev() {
    if let Some(report) = watch("readv-writev", keep_alive) {
        assert_found(&report);
    }
}

#[test]
fn recvmsg_and_sendmsg() {
    if let Some(report) = watch("recvmsg-sendmsg", keep_alive) {
        assert_keep_alive(&report);
    }
}

#[test]
fn recvmmsg_and_sendmmsg() {
    if let Some(report) = watch("recvmmsg-sendmmsg", keep_alive) {
        assert_keep_alive(&report);
    }
}

/// The way for kernels without socket tracepoints, on any kernel: each call by which bytes are moved says the same.
#[test]
fn every_call_by_itself() {
    let Some(_serial) = kernel_test() else { return };
    for mode in ["read-write", "recv-send", "recvmsg-sendmsg", "recvmmsg-sendmmsg", "sendfile", "splice-out"]
    {
        println!("{mode}");
        let server = TestServer::start(mode);
        let whywait = Whywait::explain(&["--sockets-by-syscall", "--pid", &server.pid().to_string()]);
        keep_alive(&server);
        assert_keep_alive(&whywait.stop());
    }
}

#[test]
fn sendfile() {
    if let Some(report) = watch("sendfile", keep_alive) {
        assert_keep_alive(&report);
    }
}

#[test]
fn splice_from_a_file_through_a_pipe() {
    if let Some(report) = watch("splice-out", keep_alive) {
        assert_keep_alive(&report);
    }
}

#[test]
fn splice_from_the_socket_into_a_pipe() {
    if let Some(report) = watch("splice-in", keep_alive) {
        assert_found(&report);
    }
}

#[test]
fn io_uring() {
    if io_uring::IoUring::new(2).is_err() {
        return skip("io_uring", "this kernel has none, or does not let us use it");
    }
    let Some(report) = watch("io-uring", keep_alive) else { return };
    if report.sockets_by == "system_calls" {
        // Its operations are no system calls. Nothing may be made up of what is left.
        report.assert_exactly(0);
        return skip(
            "io_uring",
            "this kernel has no socket tracepoints, by which alone its operations are seen",
        );
    }
    assert_found(&report);
}

#[test]
fn ipv6() {
    let _ = watched("read-write", "[::1]:0", keep_alive).as_ref().map(assert_keep_alive);
}

#[test]
fn unix_socket() {
    let dir = tempfile::tempdir().unwrap();
    let address = format!("unix:{}", dir.path().join("socket").display());
    let _ = watched("read-write", &address, keep_alive).as_ref().map(assert_keep_alive);
}

/// A process for each connection, which inherits it.
#[test]
fn descriptors_passed_by_fork() {
    if let Some(report) = watch("fork", keep_alive) {
        assert_keep_alive(&report);
        assert_eq!(report.processes.len(), 3, "each connection had a process: {:?}", report.processes);
    }
}

/// The kernel gives the memory of a closed socket to the next one. The end of a Unix socket is not told, and this one has its request before it is
/// accepted.
#[test]
fn unix_sockets_for_one_request_each() {
    let dir = tempfile::tempdir().unwrap();
    let address = format!("unix:{}", dir.path().join("socket").display());
    let report = watched("fork-late", &address, |server| {
        for _ in 0..requests(ROUNDS) {
            server.connect().ask("/once");
        }
    });
    if let Some(report) = report {
        report.assert_exactly(requests(ROUNDS));
    }
}

/// One process accepts, another one serves what it gets over a Unix socket.
#[test]
fn descriptors_passed_in_a_message() {
    if let Some(report) = watch("passed", keep_alive) {
        assert_keep_alive(&report);
    }
}

/// Each request is read and written through a new descriptor, whose number another connection had before.
#[test]
fn duplicated_and_reused_descriptors() {
    if let Some(report) = watch("duplicated", keep_alive) {
        assert_keep_alive(&report);
    }
}

/// A response ends with its last write, and the pauses between the writes are the server's.
#[test]
fn a_response_in_many_writes() {
    if let Some(report) = watch("piecemeal", keep_alive) {
        assert_keep_alive(&report);
        let mean = report.requests.latency_us.mean;
        assert!(mean > 7_000.0, "seven pauses of 1 ms lie between the writes, a mean of {mean} µs");
    }
}

/// A request begins with its first byte and is one, however many segments and reads it takes.
#[test]
fn a_request_in_many_segments() {
    let rounds = requests(10);
    let report = watch("read-write", |server| {
        let mut client = server.connect();
        for _ in 0..rounds {
            for part in ["GET /slow HT", "TP/1.1\r\nHo", "st: test\r", "\n\r\n"] {
                client.send(part.as_bytes());
                thread::sleep(Duration::from_millis(5));
            }
            client.answer();
        }
    });
    if let Some(report) = report {
        report.assert_exactly(rounds);
        assert_eq!(report.route("GET /slow").map(|group| group.count), Some(rounds), "{:?}", report.routes);
        let mean = report.requests.latency_us.mean;
        assert!(mean > 14_000.0, "three pauses of 5 ms lie between the segments, a mean of {mean} µs");
    }
}

/// A server that takes requests one by one from a burst answers each in a turn of its own.
#[test]
fn pipelined_requests_that_are_read_one_by_one() {
    const REQUEST: &[u8; 32] = b"GET /burst HTTP/1.1\r\nHost: x\r\n\r\n";
    let bursts = requests(10);
    let report = watch("one-by-one", |server| {
        let mut client = server.connect();
        for _ in 0..bursts {
            client.send(&REQUEST.repeat(5));
            for _ in 0..5 {
                client.answer();
            }
        }
    });
    if let Some(report) = report {
        report.assert_exactly(5 * bursts);
        assert_eq!(
            report.route("GET /burst").map(|group| group.count),
            Some(5 * bursts),
            "{:?}",
            report.routes
        );
    }
}

/// Requests are found by turn-taking: a burst that one read takes whole, and that is then answered, is one turn. It is
/// counted once, and the requests after it are found as ever.
#[test]
fn pipelined_requests_that_are_read_together_are_one_turn() {
    let bursts = requests(10);
    let report = watch("read-write", |server| {
        let mut client = server.connect();
        for _ in 0..bursts {
            client.send(&b"GET /burst HTTP/1.1\r\n\r\n".repeat(5));
            for _ in 0..5 {
                client.answer();
            }
            client.ask("/single");
        }
    });
    if let Some(report) = report {
        report.assert_exactly(2 * bursts);
        assert_eq!(report.route("GET /single").map(|group| group.count), Some(bursts), "{:?}", report.routes);
    }
}

/// Whoever goes away before the answer was not answered, whether the server then writes into the void or not; the others
/// are counted as ever.
#[test]
fn a_client_that_goes_away_in_the_middle() {
    let report = watch("late", |server| {
        let mut stays = server.connect();
        stays.ask("/stays");
        for _ in 0..3 {
            let mut leaves = server.connect();
            leaves.send(b"GET /leaves HTTP/1.1\r\nHost: test\r\n");
            thread::sleep(Duration::from_millis(50));
            leaves.reset();
        }
        stays.ask("/stays");
        thread::sleep(Duration::from_millis(300));
    });
    if let Some(report) = report {
        report.assert_nothing_lost();
        assert_eq!(report.requests.count, 2, "answered requests: {:?}", report.routes);
        assert_eq!((report.requests.unanswered, report.requests.in_flight), (3, 0), "unanswered, in flight");
    }
}

/// A request that is being worked on when the window ends is in flight, and is no answered one.
#[test]
fn a_request_without_an_answer_yet_is_in_flight() {
    let report = watch("read-write", |server| {
        let mut whole = server.connect();
        whole.ask("/whole");
        let mut half = server.connect();
        half.send(b"GET /half HTTP/1.1\r\n");
        thread::sleep(Duration::from_millis(100));
        // The connection must not end before the window does.
        std::mem::forget(half);
    });
    if let Some(report) = report {
        let requests = &report.requests;
        assert_eq!(
            (requests.count, requests.unanswered, requests.in_flight),
            (1, 0, 1),
            "{:?}",
            report.routes
        );
    }
}

/// Connections that never send are no requests.
#[test]
fn connections_that_never_send() {
    let report = watch("read-write", |server| {
        let silent: Vec<_> = (0..10).map(|_| server.connect()).collect();
        keep_alive(server);
        drop(silent);
    });
    if let Some(report) = report {
        assert_keep_alive(&report);
    }
}

/// Requests are found by turn-taking, not by their protocol.
#[test]
fn a_line_protocol() {
    let rounds = requests(ROUNDS);
    let report = watch("lines", |server| {
        let mut client = server.connect();
        for _ in 0..rounds {
            assert_eq!(client.ask_line("MAIL FROM:<test>"), "250 done\n");
        }
    });
    if let Some(report) = report {
        report.assert_exactly(rounds);
    }
}

/// A server that ends its side after the answer, and reads on to the client's end; the kernel uses the sockets' memory
/// again for the next connections.
#[test]
fn shutdown_after_the_answer() {
    let rounds = requests(100);
    let report = watch("shutdown", |server| {
        for _ in 0..rounds {
            let mut client = server.connect();
            client.ask("/last");
            client.end();
        }
    });
    if let Some(report) = report {
        report.assert_exactly(rounds);
        assert_eq!(report.route("GET /last").map(|group| group.count), Some(rounds), "{:?}", report.routes);
    }
}

/// A connection that was open and used before whywait attached counts from its first complete request on.
#[test]
fn a_connection_from_before() {
    let Some(_serial) = kernel_test() else { return };
    let server = TestServer::start("read-write");
    let (mut used, mut unused) = (server.connect(), server.connect());
    for _ in 0..5 {
        used.ask("/before");
    }
    let whywait = Whywait::on(server.pid());
    for _ in 0..5 {
        used.ask("/within");
        unused.ask("/within");
    }
    let report = whywait.stop();
    report.assert_exactly(10);
    assert_eq!(report.route("GET /within").map(|group| group.count), Some(10), "{:?}", report.routes);
    used.ask("/after");
}
