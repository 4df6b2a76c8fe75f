//! What is recorded says the same as what was watched, whatever ended the recording, and to whoever can read the file.

use std::fs::{self, Permissions};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use whywait_tests::{
    Client, DemoServer, Load, Signal, User, Whywait, demo_servers_path, kernel_test, open_dir, wait_until,
    whywait_command,
};

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in text")
}

/// What `whywait report FILE --json` prints for a user who may do nothing but read the file.
fn report(user: &User, file: &Path) -> Value {
    let output = user.command(&[], &["report", text(file), "--json"]).output().expect("starting whywait");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "report ended with {}: {errors}", output.status);
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

/// Where two JSON values differ, as paths.
fn differences(path: &str, one: &Value, other: &Value, found: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) if one.len() == other.len() => {
            for (key, value) in one {
                differences(&format!("{path}.{key}"), value, other.get(key).unwrap_or(&Value::Null), found);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (at, (one, other)) in one.iter().zip(other).enumerate() {
                differences(&format!("{path}[{at}]"), one, other, found);
            }
        }
        _ if one == other => {}
        _ => found.push(format!("{path}: {one} became {other}")),
    }
}

fn assert_same(live: &Value, replayed: &Value) {
    let mut found = Vec::new();
    differences("", live, replayed, &mut found);
    assert!(
        found.is_empty(),
        "{} differences, the first of them {:#?}",
        found.len(),
        &found[..found.len().min(20)]
    );
}

/// The whole report, to the last digit: times, model, findings, locks, stacks by name, neighbours, cost.
#[test]
fn the_same_bytes_give_the_same_answer_to_a_user_without_privileges() {
    let Some(_serial) = kernel_test() else { return };
    let (dir, user) = (open_dir(), User::new());
    let upstream = DemoServer::upstream();
    for (model, calls) in [("thread-pool", true), ("event-loop", false), ("prefork", false), ("async", false)]
    {
        let at = upstream.address().to_string();
        let server = DemoServer::start(model, &["--upstream", &at]);
        let file = dir.path().join(model);
        let pid = server.pid().to_string();
        let watching = Whywait::explain(&["--pid", &pid, "--record", text(&file)]);
        let mut load = Load::new(server.url("/plaintext"), 300, 3).connections(8).close().poisson();
        for path in ["/lock?us=2000", "/cpu?us=1000", "/sleep?ms=3", "/disk?bytes=65536", "/cached?key=7"] {
            load = load.and(server.url(path));
        }
        if calls {
            load = load.and(server.url("/downstream?ms=5"));
        }
        load.run();
        let live = watching.stop();
        assert!(live.requests.count > 0, "requests to {model}");
        let replayed = report(&user, &file);
        assert_same(&live.raw, &replayed);
        assert_eq!(replayed["missing"], Value::Array(Vec::new()));
    }
}

/// A command is recorded from its first instruction; of the file everything is said, and written, to a user who may do nothing but read it.
#[test]
fn everything_is_made_of_a_recording_without_a_privilege() {
    let Some(_serial) = kernel_test() else { return };
    let (dir, user, out) = (open_dir(), User::new(), open_dir());
    fs::set_permissions(out.path(), Permissions::from_mode(0o777)).expect("opening a directory to all");
    let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
    let (file, port) = (dir.path().join("f"), free.port().to_string());
    let server = [text(demo_servers_path()), "serve", "thread-pool", "--port", &port];
    let recording = Whywait::attach(&[&["record", "-o", text(&file), "--"][..], &server].concat());
    assert!(wait_until(Duration::from_secs(10), || TcpStream::connect(free).is_ok()), "the server comes up");
    let url = |path| format!("http://{free}{path}");
    let load = Load::new(url("/plaintext"), 150, 2).connections(4).close().and(url("/lock?us=2000"));
    let answered = load.run().requests;
    recording.signal(Signal::INT);
    let ended = recording.end(Duration::from_secs(5));
    assert!(ended.status.success(), "recording: {}", ended.stderr);
    assert_eq!(report(&user, &file)["requests"]["count"].as_u64(), Some(answered));

    let made = |args: &[&str], name: &str| {
        let path = out.path().join(name);
        let args: Vec<&str> = args.iter().map(|arg| if *arg == "OUT" { text(&path) } else { arg }).collect();
        let output = user.command(&[], &args).output().expect("starting whywait");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?} ended with {}: {errors}", output.status);
        let written = !name.is_empty() && (path.is_dir() || path.metadata().is_ok_and(|file| file.len() > 0));
        assert!(written || !output.stdout.is_empty(), "{args:?} says nothing");
    };
    let f = text(&file);
    made(&["report", f], "");
    made(&["report", f, "--html", "OUT"], "page.html");
    made(&["compare", f, f], "");
    made(&["compare", f, f, "--json"], "");
    made(&["compare", f, f, "--html", "OUT"], "compared.html");
    for format in ["perfetto", "firefox", "pprof", "folded", "svg", "parquet", "csv", "jsonl", "otlp"] {
        made(&["export", f, "--to", format, "-o", "OUT"], format);
    }
}

/// Killed in the middle, the file has everything but the last moment, and says that something is missing.
#[test]
fn a_recording_that_is_killed_can_be_read() {
    let Some(_serial) = kernel_test() else { return };
    let (dir, user) = (open_dir(), User::new());
    let file = dir.path().join("killed");
    let server = DemoServer::start("thread-pool", &[]);
    let recording = Whywait::attach(&["record", "--pid", &server.pid().to_string(), "-o", text(&file)]);
    let load = Load::new(server.url("/plaintext"), 200, 4).connections(4);
    load.run();
    recording.signal(Signal::KILL);
    assert_eq!(recording.end(Duration::ZERO).status.code(), None, "killed");
    let report = report(&user, &file);
    let (count, offered) = (report["requests"]["count"].as_u64().unwrap(), load.offered());
    // Facts, and with them the records before, are written each second.
    assert!(count >= offered / 2 && count <= offered, "{count} requests of {offered}");
    let missing = report["missing"][0].as_str().unwrap_or_default();
    assert!(missing.contains("cut off"), "{missing}");
    assert_eq!(Client::connect(&server.address().to_string()).ask("/plaintext"), b"Hello, World!");
}

/// On a disk that becomes full the recording ends with an error that names the file; the target goes on, and what is there can be read.
#[test]
fn a_full_disk_ends_the_recording_and_not_the_target() {
    let Some(_serial) = kernel_test() else { return };
    let dir = open_dir();
    let server = DemoServer::start("thread-pool", &[]);
    let script = format!(
        "mount -t tmpfs -o size=256k none {dir} && {whywait} record --pid {pid} -o {dir}/f 2>{dir}.err; \
         echo $? >{dir}.status; {whywait} report {dir}/f --json",
        dir = dir.path().display(),
        whywait = whywait_tests::whywait_path().display(),
        pid = server.pid(),
    );
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]);
    let recording = Whywait::start(command);
    let status = dir.path().with_extension("status");
    let mut client = Client::connect(&server.address().to_string());
    let full = wait_until(Duration::from_secs(30), || {
        for _ in 0..200 {
            client.ask("/plaintext");
        }
        status.exists()
    });
    let ended = recording.end(Duration::from_secs(10));
    let errors = fs::read_to_string(dir.path().with_extension("err")).unwrap_or_default();
    let code = fs::read_to_string(&status).unwrap_or_default();
    for name in ["err", "status"] {
        let _gone = fs::remove_file(dir.path().with_extension(name));
    }
    assert!(full, "the disk was never full: {errors}");
    assert_eq!(code.trim(), "1", "{errors}");
    assert!(errors.contains(&format!("{}/f", dir.path().display())), "the error names the file: {errors}");
    assert!(errors.contains("No space left"), "{errors}");
    let report: Value = serde_json::from_str(&ended.stdout).expect("a report of what is there");
    assert!(report["requests"]["count"].as_u64().unwrap() > 0, "{report:#}");
    assert!(!report["missing"].as_array().unwrap().is_empty());
    assert_eq!(client.ask("/plaintext"), b"Hello, World!", "the target goes on");
}

/// Each file of several is a recording of its own: of its part of the time, with everything in it, and the oldest are gone.
#[test]
fn files_of_a_bounded_size_follow_one_another() {
    let Some(_serial) = kernel_test() else { return };
    let (dir, user) = (open_dir(), User::new());
    let file = dir.path().join("f");
    let server = DemoServer::start("thread-pool", &[]);
    let mut client = Client::connect(&server.address().to_string());
    client.ask("/plaintext");
    let (pid, path) = (server.pid().to_string(), text(&file));
    let recording =
        Whywait::attach(&["record", "--pid", &pid, "-o", path, "--max-size", "64K", "--keep", "2"]);
    let numbered = |number: u32| dir.path().join(format!("f.{number}"));
    let turned = wait_until(Duration::from_secs(30), || {
        for _ in 0..100 {
            client.ask("/plaintext");
        }
        numbered(2).exists()
    });
    assert!(turned, "there is no third file");
    recording.signal(Signal::INT);
    assert!(recording.end(Duration::ZERO).status.success());
    assert!(!numbered(3).exists());
    for file in [file, numbered(1), numbered(2)] {
        let report = report(&user, &file);
        let requests = &report["requests"];
        assert_eq!(report["missing"], Value::Array(Vec::new()));
        assert_eq!(report["lost"]["missing"], 0, "a file begins with what was there: {}", report["lost"]);
        // The one connection was opened long before the later files: it is known to them all.
        assert!(requests["count"].as_u64().unwrap() > 0 && requests["without_arrival"] == 0, "{requests}");
        assert_eq!(report["threads"][0]["name"].as_str().map(str::is_empty), Some(false));
    }
}

/// A flight recorder writes what has led up to a slow request, and no more than that; a signal has it write once more.
#[test]
fn a_flight_recorder_writes_what_led_up_to_a_slow_request() {
    let Some(_serial) = kernel_test() else { return };
    let (dir, user) = (open_dir(), User::new());
    let file = dir.path().join("f");
    let server = DemoServer::start("thread-pool", &[]);
    let (pid, path) = (server.pid().to_string(), text(&file));
    let recording =
        Whywait::attach(&["record", "--pid", &pid, "-o", path, "--ring", "3600", "--on", "request>200ms"]);
    let mut client = Client::connect(&server.address().to_string());
    let ask = |client: &mut Client, number: u32| {
        for _ in 0..number {
            client.ask("/plaintext");
        }
    };
    ask(&mut client, 200);
    let written = |number: u32| dir.path().join(format!("f.{number}"));
    assert!(!written(1).exists(), "nothing was slow");
    client.ask("/sleep?ms=300");
    // A request is over when the next one is read.
    let met = wait_until(Duration::from_secs(10), || {
        ask(&mut client, 1);
        written(1).exists()
    });
    assert!(met, "no file is written");
    recording.signal(Signal::USR1);
    assert!(wait_until(Duration::from_secs(10), || written(2).exists()), "no file on the signal");
    recording.signal(Signal::INT);
    let ended = recording.end(Duration::ZERO);
    assert!(ended.status.success() && ended.stderr.contains("request>200 ms: "), "{}", ended.stderr);
    for number in [1, 2] {
        let report = report(&user, &written(number));
        assert!(report["requests"]["count"].as_u64().unwrap() > 200, "{}", report["requests"]);
        let slowest = report["requests"]["latency_us"]["max"].as_f64().unwrap();
        assert!(slowest >= 300_000.0, "the slow request is in file {number}: {slowest}");
        assert_eq!(report["missing"], Value::Array(Vec::new()));
    }
}

/// What is no recording, or none of this version, is refused by a sentence that names the file.
#[test]
fn what_is_no_recording_is_refused() {
    let dir = open_dir();
    let file = dir.path().join("other");
    fs::write(&file, "PK and so on").unwrap();
    for (path, why) in [(file, "no recording of whywait"), (dir.path().join("none"), "No such file")] {
        let output = whywait_command(&["report", text(&path)]).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(text(&path)) && error.contains(why), "{error}");
    }
}
