//! Every model from end to end: the same routes, the same answers, the truth about what happened.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use demo_servers::Model;
use demo_servers::load::{self, Arrivals, LoadConfig};
use demo_servers::truth::{Kind, Record};

use crate::support::{ServerProcess, ask, models, records};

fn start(model: Model, more: &[&str]) -> ServerProcess {
    ServerProcess::start(&[&["serve", model.id(), "--threads", "12", "--workers", "12"], more].concat())
}

/// An iterative server serves one kept connection at a time: a second one would measure the idle timeout.
fn connections(model: Model) -> u16 {
    if model == Model::Iterative { 1 } else { 8 }
}

fn truth(path: &Path) -> HashMap<String, Record> {
    records(path).into_iter().map(|r| (r.route.clone(), r)).collect()
}

/// One second at 500 requests a second: every request is answered, without one error; then SIGTERM ends the server
/// soon with exit code 0, although the connections are open.
#[test]
fn every_model_answers_every_request_and_stops() {
    for model in models() {
        let server = start(model, &[]);
        let idle = server.connect();
        let config = LoadConfig {
            rate: 500.0,
            duration: Duration::from_secs(1),
            connections: connections(model),
            ..LoadConfig::new(vec![server.url("/plaintext"), server.url("/json")])
        };
        // The idle connection would be the one that the iterative server serves.
        let idle = (model != Model::Iterative).then_some(idle);
        let report = load::run(&config, &AtomicBool::new(false)).unwrap();
        // On a crowded machine the generator may not get to all of them; what it sent was answered.
        assert_eq!((report.requests + report.unsent, report.errors.total()), (500, 0), "{model}: {report}");
        assert!(report.requests > 250, "{model}: {report}");
        let (status, took) = server.stop();
        assert!(
            status.code() == Some(0) && took < Duration::from_secs(2),
            "{model}: {status} after {took:?}"
        );
        if let Some(mut idle) = idle {
            assert_eq!(idle.read(&mut [0; 16]).unwrap(), 0, "{model}: the idle connection was closed");
        }
    }
}

/// A connection for each request works as well, on a Poisson schedule.
#[test]
fn every_model_serves_short_connections() {
    for model in models() {
        let server = start(model, &[]);
        let config = LoadConfig {
            rate: 300.0,
            duration: Duration::from_secs(1),
            close: true,
            arrivals: Arrivals::Poisson,
            ..LoadConfig::new(vec![server.url("/plaintext")])
        };
        let report = load::run(&config, &AtomicBool::new(false)).unwrap();
        assert!(report.requests > 200 && report.errors.total() == 0, "{model}: {report}");
    }
}

/// Each route answers 200, and the truth file says that what was asked for is what happened.
#[test]
fn every_route_does_what_it_says() {
    let upstream = ServerProcess::start(&["upstream"]);
    for model in models() {
        let dir = tempfile::tempdir().unwrap();
        let (path, scratch) = (dir.path().join("truth"), dir.path().display().to_string());
        let truth_file = path.display().to_string();
        let server =
            start(model, &["--upstream", &upstream.address, "--truth", &truth_file, "--dir", &scratch]);
        let asked = [
            ("/plaintext", "", Kind::OnCpu, 0),
            ("/json", "", Kind::OnCpu, 0),
            ("/cpu", "?us=20000", Kind::OnCpu, 20_000),
            ("/sleep", "?ms=20", Kind::Sleep, 20_000),
            ("/lock", "?us=20000", Kind::Lock, 20_000),
            ("/disk", "?bytes=65536", Kind::Disk, 0),
            ("/downstream", "?ms=20", Kind::Downstream, 20_000),
            ("/alloc", "?bytes=1048576", Kind::PageFault, 0),
            ("/cached", "?key=a", Kind::OnCpu, 2000),
        ];
        for (route, query, ..) in asked {
            let response = server.get(&format!("{route}{query}"));
            assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{model} {route}: {response}");
        }
        assert!(server.get("/json").ends_with("\r\n\r\n{\"message\":\"Hello, World!\"}"));
        assert!(server.get("/plaintext").ends_with("\r\n\r\nHello, World!"));
        assert_eq!(server.stop().0.code(), Some(0));
        let truth = truth(&path);
        for (route, _, kind, micros) in asked {
            let record = truth[route].clone();
            let planted = Duration::from_nanos(record.planted_ns);
            let whole = record.end_ns.since(record.start_ns);
            let wanted = Duration::from_micros(micros);
            assert_eq!(record.kind, kind, "{model} {route}");
            // Wall time is longer on a busy machine; CPU time hardly, unless the machine is itself a guest that was paused.
            let most = if kind == Kind::OnCpu {
                wanted + Duration::from_millis(10)
            } else {
                wanted * 3 + Duration::from_secs(1)
            };
            assert!(planted >= wanted && planted <= most, "{model} {route}: {planted:?}");
            assert!(planted <= whole, "{model} {route}: {planted:?} of {whole:?}");
        }
    }
}

/// The first request for a key misses, the next is served from memory (on the same connection: processes have their
/// own); `/mix` needs no upstream.
#[test]
fn the_cache_and_the_mixture_work_in_every_model() {
    for model in models() {
        let server = start(model, &[]);
        let stream = server.connect();
        assert!(ask(&stream, "/cached?key=k").contains("\r\nX-Cache: miss\r\n"), "{model}");
        assert!(ask(&stream, "/cached?key=k").contains("\r\nX-Cache: hit\r\n"), "{model}");
        drop(stream);
        for _ in 0..100 {
            let response = server.get("/mix");
            assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{model}: {response}");
        }
    }
}

/// Pipelined requests are answered in order on one connection, waits between them included; a body is skipped; bytes
/// that are no request get 400 and the end of the connection.
#[test]
fn every_model_speaks_http() {
    for model in models() {
        let server = start(model, &[]);
        let mut stream = server.connect();
        let requests =
            "GET /sleep?ms=5 HTTP/1.1\r\n\r\nPOST /json HTTP/1.1\r\nContent-Length: 100000\r\n\r\n";
        let mut bytes = requests.as_bytes().to_vec();
        bytes.extend(vec![b'x'; 100_000]);
        bytes.extend(b"HEAD /plaintext HTTP/1.1\r\n\r\nGET /nowhere HTTP/1.1\r\n\r\nGET /cpu?us=x HTTP/1.1\r\n\r\n\x01\r\n\r\n");
        stream.write_all(&bytes).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let statuses: Vec<_> =
            text.match_indices("HTTP/1.1 ").map(|(at, _)| &text[at + 9..at + 12]).collect();
        assert_eq!(statuses, ["200", "200", "200", "404", "400", "400"], "{model}: {text}");
        let order =
            ["done", "{\"message\"", "Content-Length: 13\r\n\r\nHTTP", "no such route", "us=N", "not HTTP"];
        let places: Vec<_> = order.iter().map(|part| text.find(part).expect(part)).collect();
        assert!(places.is_sorted(), "{model}: {places:?} in {text}");
    }
}

/// Without its upstream `/downstream` is answered with 502; when it comes back so do the answers.
#[test]
fn a_lost_upstream_is_an_answer_too() {
    for model in models() {
        let upstream = ServerProcess::start(&["upstream"]);
        let address = upstream.address.clone();
        let server = start(model, &["--upstream", &address]);
        assert!(server.get("/downstream?ms=1").starts_with("HTTP/1.1 200"), "{model}");
        upstream.stop();
        assert!(server.get("/downstream?ms=1").starts_with("HTTP/1.1 502"), "{model}");
        let (_, port) = address.rsplit_once(':').unwrap();
        let _again = ServerProcess::start(&["upstream", "--port", port]);
        assert!(server.get("/downstream?ms=1").starts_with("HTTP/1.1 200"), "{model}");
    }
}

/// A connection on which nothing is asked is closed after the idle timeout.
#[test]
fn idle_connections_are_closed() {
    for model in models() {
        let server = start(model, &["--idle-timeout", "0.3"]);
        let mut stream = server.connect();
        let began = Instant::now();
        assert_eq!(stream.read(&mut [0; 16]).unwrap(), 0, "{model}");
        let waited = began.elapsed();
        assert!(
            waited > Duration::from_millis(250) && waited < Duration::from_secs(3),
            "{model}: {waited:?}"
        );
    }
}

/// Sixteen sleeps at once take the time of one on an event loop; the iterative server needs the sum.
#[test]
fn an_event_loop_sleeps_for_all_at_once() {
    let took = |model| {
        let server = start(model, &[]);
        let began = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| assert!(server.get("/sleep?ms=50").contains("done")));
            }
        });
        began.elapsed()
    };
    assert!(took(Model::EventLoop) < Duration::from_millis(400));
    assert!(took(Model::Iterative) >= Duration::from_millis(800));
}

/// A stopping server lets short work finish and does not wait for long work.
#[test]
fn stopping_does_not_wait_for_long_requests() {
    // The iterative server has no second connection for the short one.
    for model in Model::ALL.into_iter().filter(|&model| model != Model::Iterative) {
        let server = start(model, &[]);
        let (mut short, mut long) = (server.connect(), server.connect());
        short.write_all(b"GET /sleep?ms=200 HTTP/1.1\r\n\r\n").unwrap();
        long.write_all(b"GET /sleep?ms=30000 HTTP/1.1\r\n\r\n").unwrap();
        std::thread::sleep(Duration::from_millis(100));
        let (status, took) = server.stop();
        assert!(
            status.code() == Some(0) && took < Duration::from_secs(2),
            "{model}: {status} after {took:?}"
        );
        let mut text = String::new();
        short.read_to_string(&mut text).unwrap();
        assert!(text.contains("Connection: close\r\n") && text.ends_with("done\n"), "{model}: {text}");
    }
}
