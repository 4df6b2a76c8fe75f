//! The load generator against servers that misbehave in known ways.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use demo_servers::load::{self, Arrivals, LoadConfig, LoadReport, Url};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

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

/// `demo-servers load ARGS`, to its end; what it printed.
fn command(args: &[&str]) -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_demo-servers")).arg("load").args(args).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// Several URLs are told apart: their requests add up, as often as their weights say, and each has the latency and the
/// errors of its own. The same seed makes the same mixture.
#[test]
fn a_mixture_is_seeded_and_reported_by_url() {
    let server = ServerProcess::start(&["serve", "event-loop"]);
    let base = format!("http://{}", server.address);
    let run = |seed: &str| -> LoadReport {
        let urls =
            [format!("8@{base}/plaintext"), format!("1@{base}/sleep?ms=20"), format!("{base}/nowhere")];
        let text = command(&[
            "--json",
            "--rate",
            "400",
            "--duration",
            "1",
            "--seed",
            seed,
            "--url",
            &urls[0],
            "--url",
            &urls[1],
            "--url",
            &urls[2],
        ]);
        serde_json::from_str(&text).unwrap()
    };
    let report = run("5");
    let [plain, sleep, nowhere] = &report.by_url[..] else { panic!("{report}") };
    assert_eq!((plain.target.as_str(), sleep.target.as_str()), ("/plaintext", "/sleep?ms=20"));
    assert_eq!(plain.requests + sleep.requests + nowhere.requests, 400);
    assert!((250..350).contains(&plain.requests) && (15..90).contains(&sleep.requests), "{report}");
    assert!(sleep.latency_us.p50 >= 20_000.0 && plain.latency_us.p50 < 20_000.0, "{report}");
    assert_eq!((plain.errors.total(), nowhere.errors.status), (0, nowhere.requests), "{report}");
    assert_eq!(report.errors.status, nowhere.requests);
    let counts = |report: &LoadReport| report.by_url.iter().map(|url| url.requests).collect::<Vec<_>>();
    assert_eq!(counts(&run("5")), counts(&report));
    assert_ne!(counts(&run("6")), counts(&report));
}

/// Constant arrivals are as many as rate times duration; Poisson arrivals of one seed are the same number each time.
#[test]
fn arrivals_are_constant_or_seeded() {
    let server = ServerProcess::start(&["serve", "event-loop"]);
    let count = |arrivals, seed| {
        let report = run(&LoadConfig {
            rate: 400.0,
            duration: Duration::from_millis(500),
            arrivals,
            seed,
            ..LoadConfig::new(vec![server.url("/plaintext")])
        });
        assert_eq!(report.errors.total(), 0, "{report}");
        report.requests + report.unsent
    };
    assert_eq!(count(Arrivals::Constant, 1), 200);
    let drawn = count(Arrivals::Poisson, 3);
    assert!(drawn == count(Arrivals::Poisson, 3) && (140..260).contains(&drawn), "{drawn}");
}

/// The log of --hdr can be read back: what it counts is what the report counts, and the quantiles are the same.
#[test]
fn the_hdr_log_holds_what_was_measured() {
    let server = ServerProcess::start(&["serve", "event-loop"]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.hdr");
    let (first, second) = (server.url("/plaintext").to_string(), server.url("/cached?key=a,b").to_string());
    let args = ["--json", "--rate", "300", "--duration", "0.5", "--hdr", path.to_str().unwrap()];
    let text = command(&[&args[..], &["--url", &first, "--url", &second]].concat());
    let report: LoadReport = serde_json::from_str(&text).unwrap();
    let log = std::fs::read(&path).unwrap();
    assert!(log.starts_with(
        b"#[Histogram log format version 1.3]
"
    ));
    let mut histograms = Vec::new();
    for entry in IntervalLogIterator::new(&log) {
        if let LogEntry::Interval(interval) = entry.unwrap() {
            let bytes = BASE64.decode(interval.encoded_histogram()).unwrap();
            let histogram: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
            histograms.push((interval.tag().map(|tag| tag.as_str().to_owned()), histogram));
        }
    }
    let tags: Vec<_> = histograms.iter().map(|(tag, _)| tag.as_deref().unwrap_or_default()).collect();
    assert_eq!(tags, ["", "service", "/plaintext", "/cached?key=a%2Cb"]);
    let counts: Vec<u64> = histograms.iter().map(|(_, histogram)| histogram.len()).collect();
    assert_eq!(counts[..2], [report.requests; 2]);
    assert_eq!(counts[2] + counts[3], report.requests);
    let median = histograms[0].1.value_at_quantile(0.5) as f64 / 1e3;
    assert!((median / report.latency_us.p50 - 1.0).abs() < 0.002, "{median} {}", report.latency_us.p50);
}

/// The closed loop sends the next request when the last one is answered, on as many connections as it may have; with
/// --close each has a connection of its own.
#[test]
fn the_closed_loop_keeps_its_connections_or_not() {
    let accepted = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&accepted);
    let url = server(move |mut stream| {
        counter.fetch_add(1, Ordering::Relaxed);
        while request(&mut stream) {
            thread::sleep(Duration::from_millis(5));
            if stream.write_all(ANSWER).is_err() {
                break;
            }
        }
    });
    let config =
        LoadConfig { duration: Duration::from_millis(500), connections: 4, ..LoadConfig::new(vec![url]) };
    let report = run(&config);
    // Four at a time, each for 5 ms at least.
    assert!(report.requests > 20 && report.requests <= 400 + 4, "{report}");
    assert_eq!((report.max_in_flight, report.errors.total(), accepted.swap(0, Ordering::Relaxed)), (4, 0, 4));
    assert!(report.latency_us.p50 >= 5000.0, "{report}");
    let report = run(&LoadConfig { close: true, ..config });
    let opened = accepted.load(Ordering::Relaxed) as u64;
    assert!(report.errors.total() == 0 && opened >= report.requests && report.requests > 20, "{report}");
}

/// Answers in every form that servers give: chunked, without a length until the end, `Connection: close`, HTTP/1.0 with
/// and without keep-alive, none at all (204), a redirection, and an interim response before the real one.
#[test]
fn every_form_of_answer_is_understood() {
    const ANSWERS: [(&[u8], bool); 8] = [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", false),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", true),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", true),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", true),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", false),
        (b"HTTP/1.1 204 No Content\r\n\r\n", false),
        (b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", false),
        (
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            false,
        ),
    ];
    let served = AtomicUsize::new(0);
    let url = server(move |mut stream| {
        while request(&mut stream) {
            let (answer, last) = ANSWERS[served.fetch_add(1, Ordering::Relaxed) % ANSWERS.len()];
            // In two pieces, since the network may cut anywhere.
            let (head, tail) = answer.split_at(answer.len() / 2);
            let sent = stream.write_all(head).and_then(|()| {
                thread::sleep(Duration::from_millis(1));
                stream.write_all(tail)
            });
            if sent.is_err() || last {
                break;
            }
        }
    });
    let report = run(&LoadConfig {
        rate: 200.0,
        duration: Duration::from_secs(1),
        connections: 4,
        ..LoadConfig::new(vec![url])
    });
    assert_eq!((report.requests + report.unsent, report.errors.total()), (200, 0), "{report}");
}
