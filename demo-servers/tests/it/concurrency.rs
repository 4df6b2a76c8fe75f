//! What is special in the asynchronous models: who waits for whom, on which thread, and how they end.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use demo_servers::Model;
use demo_servers::truth::Record;

use crate::support::{ServerProcess, models};

/// One thread that serves all; none of these has more.
const ONE_THREAD: [Model; 4] = [Model::EventLoop, Model::AsyncSingle, Model::GreenThreads, Model::IoUring];
/// Those whose stopping lets requests finish.
const PATIENT: [Model; 4] = [Model::Async, Model::AsyncSingle, Model::GreenThreads, Model::IoUring];

fn start(model: Model, more: &[&str]) -> ServerProcess {
    ServerProcess::start(&[&["serve", model.id()], more].concat())
}

/// Those of `wanted` that can run here.
fn here(wanted: &[Model]) -> Vec<Model> {
    models().filter(|model| wanted.contains(model)).collect()
}

fn records(path: &Path) -> Vec<Record> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn ask(server: &ServerProcess, target: &str) -> TcpStream {
    let mut stream = server.connect();
    write!(stream, "GET {target} HTTP/1.1\r\n\r\n").unwrap();
    stream
}

/// Reads up to `end`.
fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let (mut text, mut byte) = (String::new(), [0]);
    while !text.ends_with(end) {
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "{text}");
        text.push(char::from(byte[0]));
    }
    text
}

/// Two hundred requests that sleep for 200 ms are 40 s for one blocking thread and 200 ms for one that waits for all of
/// them; calls to another server, 64 at a time, are the same.
#[test]
fn one_thread_waits_for_all_at_once() {
    let upstream = ServerProcess::start(&["upstream"]);
    for model in here(&ONE_THREAD) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("truth");
        let server = start(model, &["--truth", &path.display().to_string(), "--upstream", &upstream.address]);
        for target in ["/sleep?ms=200", "/downstream?ms=200"] {
            let began = Instant::now();
            let mut streams: Vec<_> = (0..200).map(|_| ask(&server, target)).collect();
            for stream in &mut streams {
                read_until(stream, "done\n");
            }
            let took = began.elapsed();
            assert!(took < Duration::from_secs(5), "{model} {target}: {took:?}");
        }
        server.stop();
        let records = records(&path);
        let threads: HashSet<i32> = records.iter().map(|record| record.tid).collect();
        assert_eq!((records.len(), threads.len()), (400, 1), "{model}");
    }
}

/// Work on the one thread holds up a request that needs none. The runtime with several threads serves it meanwhile, though
/// not always: where the thread that works is the one that has just waited for sockets, and no other has taken its place
/// there, the request waits as on one thread. So one try of five is enough.
#[test]
fn work_holds_up_the_others_on_one_thread_only() {
    let waited = |model| {
        let server = start(model, &["--threads", "4"]);
        server.get("/plaintext");
        let (mut quick, mut busy) = (server.connect(), ask(&server, "/cpu?us=400000"));
        thread::sleep(Duration::from_millis(50));
        let began = Instant::now();
        quick.write_all(b"GET /plaintext HTTP/1.1\r\n\r\n").unwrap();
        read_until(&mut quick, "World!");
        let waited = began.elapsed();
        read_until(&mut busy, "done\n");
        waited
    };
    for model in here(&ONE_THREAD) {
        let waited = waited(model);
        assert!(waited > Duration::from_millis(200), "{model}: {waited:?}");
    }
    let tries: Vec<Duration> = (0..5).map(|_| waited(Model::Async)).collect();
    assert!(tries.iter().any(|waited| *waited < Duration::from_millis(200)), "{tries:?}");
}

/// `async` works on several threads at once, and its blocking work blocks none of them: four locks wait in the blocking
/// pool of a runtime that has one worker, while that serves others.
#[test]
fn the_async_runtime_uses_its_threads_and_its_blocking_pool() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("truth");
    let server = start(Model::Async, &["--threads", "4", "--truth", &path.display().to_string()]);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..10 {
                    server.get("/cpu?us=10000");
                }
            });
        }
    });
    server.stop();
    let records = records(&path);
    let threads: HashSet<i32> = records.iter().map(|record| record.tid).collect();
    assert!(records.len() == 80 && threads.len() >= 2 && threads.len() <= 4, "{threads:?}");

    let server = start(Model::Async, &["--threads", "1"]);
    let mut blocked: Vec<_> = (0..4).map(|_| ask(&server, "/lock?us=200000")).collect();
    thread::sleep(Duration::from_millis(50));
    let began = Instant::now();
    assert!(server.get("/plaintext").ends_with("World!"));
    assert!(began.elapsed() < Duration::from_millis(400), "{:?}", began.elapsed());
    for stream in &mut blocked {
        read_until(stream, "done\n");
    }
}

/// A client that sends its request byte by byte, or reads a long pipeline of answers late, holds up nobody.
#[test]
fn slow_clients_hold_up_nobody() {
    for model in here(&PATIENT) {
        let server = start(model, &[]);
        let mut slow = server.connect();
        let request = b"GET /json HTTP/1.1\r\nHost: slow\r\n\r\n";
        for byte in request {
            slow.write_all(&[*byte]).unwrap();
            assert!(server.get("/plaintext").ends_with("World!"), "{model}");
        }
        read_until(&mut slow, "World!\"}");

        // More answers than both socket buffers hold: the server has to wait until they are read.
        let mut late = server.connect();
        let count = 60_000;
        let mut writer = late.try_clone().unwrap();
        let sender = thread::spawn(move || {
            let requests = b"GET /plaintext HTTP/1.1\r\n\r\n".repeat(100);
            for _ in 0..count / 100 {
                writer.write_all(&requests).unwrap();
            }
        });
        thread::sleep(Duration::from_millis(300));
        assert!(server.get("/plaintext").ends_with("World!"), "{model}");
        let (mut answers, mut bytes, mut rest) = (0, vec![0; 64 * 1024], Vec::new());
        while answers < count {
            let read = late.read(&mut bytes).unwrap();
            assert!(read > 0, "{model}: closed after {answers}");
            rest.extend_from_slice(&bytes[..read]);
            while let Some(at) = rest.windows(13).position(|window| window == b"Hello, World!") {
                answers += 1;
                rest.drain(..at + 13);
            }
        }
        sender.join().unwrap();
    }
}

/// Clients that leave while their requests sleep, call another server or are being read take nothing with them.
#[test]
fn clients_that_leave_do_no_harm() {
    let upstream = ServerProcess::start(&["upstream"]);
    for model in here(&PATIENT) {
        let server = start(model, &["--upstream", &upstream.address]);
        for target in ["/sleep?ms=50", "/downstream?ms=50", "/plaintext"] {
            for _ in 0..20 {
                drop(ask(&server, target));
            }
            let mut half = server.connect();
            half.write_all(b"GET /pla").unwrap();
        }
        thread::sleep(Duration::from_millis(100));
        for target in ["/plaintext", "/sleep?ms=5", "/downstream?ms=5"] {
            assert!(server.get(target).starts_with("HTTP/1.1 200"), "{model} {target}");
        }
        assert_eq!(server.stop().0.code(), Some(0), "{model}");
    }
}

/// A stopping server answers what is short, says that the connection ends, and does not wait for what is long.
#[test]
fn stopping_lets_short_requests_finish() {
    let upstream = ServerProcess::start(&["upstream"]);
    for model in here(&PATIENT) {
        let server = start(model, &["--upstream", &upstream.address]);
        let mut short = [ask(&server, "/sleep?ms=200"), ask(&server, "/downstream?ms=200")];
        let _long = ask(&server, "/sleep?ms=30000");
        thread::sleep(Duration::from_millis(100));
        let (status, took) = server.stop();
        assert!(
            status.code() == Some(0) && took < Duration::from_secs(2),
            "{model}: {status} after {took:?}"
        );
        for stream in &mut short {
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            assert!(text.contains("Connection: close\r\n") && text.ends_with("done\n"), "{model}: {text}");
        }
    }
}
