//! The load generator against servers that misbehave in known ways.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use demo_servers::load::{self, LoadConfig, LoadReport, Url};

use crate::support::ServerProcess;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A server for one test: `serve` gets each connection on a thread of its own.
fn server(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            thread::spawn(move || serve(stream));
        }
    });
    url
}

/// Reads up to the end of a request; false at the end of the connection.
fn request(stream: &mut TcpStream) -> bool {
    let (mut seen, mut byte) = (Vec::new(), [0]);
    while !seen.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => seen.push(byte[0]),
            _ => return false,
        }
    }
    true
}

fn run(config: &LoadConfig) -> LoadReport {
    load::run(config, &AtomicBool::new(false)).unwrap()
}

/// A server that stalls once for 200 ms answers only the requests on the wire late. Those that were due meanwhile wait
/// in the generator, and the corrected latency says so: about 100 of 1000 requests, 100 ms on average, are 10 ms in
/// the mean. The service time, which a closed loop would report, hides it.
#[test]
fn a_stall_shows_in_the_latency_of_all_requests_that_were_due() {
    let served = AtomicUsize::new(0);
    let url = server(move |mut stream| {
        while request(&mut stream) {
            if served.fetch_add(1, Ordering::Relaxed) == 300 {
                thread::sleep(Duration::from_millis(200));
            }
            if stream.write_all(ANSWER).is_err() {
                break;
            }
        }
    });
    let report = run(&LoadConfig {
        rate: 500.0,
        duration: Duration::from_secs(2),
        connections: 1,
        ..LoadConfig::new(vec![url])
    });
    assert_eq!((report.requests, report.errors.total()), (1000, 0), "{report}");
    assert!(report.latency_us.max >= 200_000.0 && report.service_us.max >= 200_000.0, "{report}");
    assert!(report.latency_us.p99 > 150_000.0 && report.latency_us.mean > 8000.0, "{report}");
    assert!(report.service_us.p99 < 50_000.0 && report.service_us.mean < 5000.0, "{report}");
}

/// Failures are counted by what failed, and lose no other request.
#[test]
fn errors_are_counted_by_reason() {
    let served = AtomicUsize::new(0);
    let url = server(move |mut stream| {
        while request(&mut stream) {
            let n = served.fetch_add(1, Ordering::Relaxed);
            let answer: &[u8] = match n % 10 {
                3 => b"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbad\r\n0\r\n\r\n",
                // Cut in the middle of the answer: no reason to try again.
                6 => &ANSWER[..ANSWER.len() - 1],
                9 => b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
                _ => ANSWER,
            };
            if stream.write_all(answer).is_err() || n % 10 == 6 || n % 10 == 9 {
                break;
            }
        }
    });
    let report = run(&LoadConfig {
        rate: 100.0,
        duration: Duration::from_secs(1),
        connections: 2,
        ..LoadConfig::new(vec![url])
    });
    assert_eq!((report.sent, report.requests), (100, 90), "{report}");
    assert_eq!((report.errors.status, report.errors.read, report.errors.total()), (10, 10, 20), "{report}");
}

/// A server that closes a kept connection after each answer without saying so costs no request.
#[test]
fn a_kept_connection_that_was_closed_is_replaced() {
    let url = server(|mut stream| {
        if request(&mut stream) {
            let _ = stream.write_all(ANSWER);
        }
    });
    let report = run(&LoadConfig {
        duration: Duration::from_millis(500),
        connections: 4,
        ..LoadConfig::new(vec![url])
    });
    assert!(report.requests > 50 && report.errors.total() == 0, "{report}");
}

/// A server that never answers: the requests on the wire time out, those that found no connection are unsent.
#[test]
fn unanswered_requests_are_reported() {
    let url = server(|mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let report = run(&LoadConfig {
        rate: 100.0,
        duration: Duration::from_millis(200),
        connections: 3,
        ..LoadConfig::new(vec![url])
    });
    let counts = (report.requests, report.sent, report.errors.timeout, report.unsent, report.max_in_flight);
    assert_eq!(counts, (0, 3, 3, 17, 3), "{report}");
}

/// A port where nobody listens is one clear error, not a report full of zeros.
#[test]
fn a_server_that_is_not_there_is_an_error() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{free}/").parse().unwrap();
    let error = load::run(&LoadConfig::new(vec![url]), &AtomicBool::new(false)).unwrap_err();
    assert!(format!("{error:#}").contains("is the server running?"), "{error:#}");
}

/// Nobody listens and each request opens its connection: counted, and not in a busy loop.
#[test]
fn refused_connections_do_not_make_the_closed_loop_spin() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{free}/").parse().unwrap();
    let report = run(&LoadConfig {
        duration: Duration::from_millis(200),
        connections: 2,
        close: true,
        ..LoadConfig::new(vec![url])
    });
    assert!(report.errors.connect > 0 && report.errors.connect <= 50 && report.requests == 0, "{report}");
}

/// The warm-up appears nowhere in the report, and setting the flag ends a run early.
#[test]
fn warmup_is_not_measured_and_a_run_can_be_stopped() {
    let server = ServerProcess::start(&["serve", "event-loop"]);
    let config = LoadConfig {
        rate: 200.0,
        duration: Duration::from_secs(1),
        warmup: Some(Duration::from_millis(500)),
        ..LoadConfig::new(vec![server.url("/plaintext")])
    };
    let report = run(&config);
    assert_eq!((report.requests, report.errors.total()), (200, 0), "{report}");
    let (stop, began) = (AtomicBool::new(false), Instant::now());
    let report = thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_secs(1));
            stop.store(true, Ordering::Relaxed);
        });
        load::run(&LoadConfig { duration: Duration::from_mins(1), ..config }, &stop).unwrap()
    });
    assert!(began.elapsed() < Duration::from_secs(3) && report.duration_s < 1.0, "{report}");
    assert!(report.requests > 50, "{report}");
}

/// The report survives JSON, with the documented names.
#[test]
fn the_report_is_json() {
    let server = ServerProcess::start(&["serve", "iterative"]);
    let config = LoadConfig {
        duration: Duration::from_millis(100),
        connections: 1,
        ..LoadConfig::new(vec![server.url("/json")])
    };
    let report = run(&config);
    let json = serde_json::to_value(&report).unwrap();
    assert!(
        json["latency_us"]["p9999"].is_number()
            && json["errors"]["timeout"] == 0
            && json["max_in_flight"] == 1
    );
    assert_eq!(serde_json::from_value::<LoadReport>(json).unwrap(), report);
}
