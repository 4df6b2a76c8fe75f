//! What whywait needs to be allowed, capability by capability: a user who is not root looks at a server of root's.
//!
//! | for | takes |
//! | --- | --- |
//! | `explain`, `demo` | `CAP_BPF` and `CAP_PERFMON` |
//! | the moment of accept | and `CAP_DAC_READ_SEARCH`, as tracefs is root's; and `CAP_SYS_ADMIN` where `kernel.perf_event_paranoid` is 3 |
//! | ports of others' processes | and `CAP_SYS_PTRACE` and `CAP_DAC_READ_SEARCH` |
//! | what whywait's programs cost | and `CAP_SYS_ADMIN` |

use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use whywait_tests::{
    BpfKind, BpfObjects, Cap, Client, DemoServer, Ended, Load, Report, User, Whywait, accept_test, cap_set,
    credentials, kernel_test, requests, skip,
};

const TRACING: [Cap; 2] = [Cap::Bpf, Cap::Perfmon];
const ACCEPT: [&str; 2] = ["sys_exit_accept", "sys_exit_accept4"];
const SAMPLES: [&str; 1] = ["sample_cpu"];
/// What kernels before 6.3 lack.
const SOCKETS: [&str; 2] = ["sock_recv_length", "sock_send_length"];

fn end(command: Command) -> Ended {
    Whywait::start(command).end(Duration::from_secs(10))
}

/// A run that failed before it attached, in one sentence that holds all of these words.
fn assert_refused(ended: &Ended, words: &[&str]) {
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(1), ""), "{}", ended.stderr);
    assert_eq!(
        ended.stderr.lines().count(),
        1,
        "one sentence, and nothing of an attachment: {}",
        ended.stderr
    );
    for word in words {
        assert!(ended.stderr.contains(word), "`{word}` is not in: {}", ended.stderr);
    }
}

/// Watches a server of root's under load, by this command; checks that exactly the requests answered are found.
fn watch(server: &DemoServer, command: Command, caps: &[Cap]) -> Report {
    let whywait = Whywait::start(command);
    whywait.wait_until_attached();
    assert_eq!(credentials(whywait.pid()), (65534, cap_set(caps)), "user and capabilities of whywait");
    assert_eq!(credentials(server.pid()).0, 0, "the server is root's");
    let objects = BpfObjects::held_by(whywait.pid());
    assert!(objects.count(BpfKind::Link) > 3, "attached programs: {objects:?}");
    let answered = Load::new(server.url("/plaintext"), 500, 2).connections(4).run().requests;
    let report = whywait.stop();
    report.assert_exactly(answered);
    assert_eq!(
        report.route("GET /plaintext").map(|group| group.count),
        Some(answered),
        "{:?}",
        report.routes
    );
    report
}

/// The hooks that a run did without.
fn without(report: &Report) -> Vec<&str> {
    let list = report.raw["without"].as_array().expect("a list");
    for item in list {
        let told = |field: &str| item[field].as_str().is_some_and(|text| !text.is_empty());
        assert!(told("lost") && told("why"), "what is lost, and why: {item}");
    }
    list.iter().map(|item| item["hook"].as_str().expect("a name")).collect()
}

fn explain<'a>(pid: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["explain", "--json", "--duration", "3600"], more, &["--pid", pid]].concat()
}

/// Everything but what is named, which is reported and keeps nothing else from working.
#[test]
fn explain_with_bpf_and_perfmon_alone() {
    let Some(_serial) = kernel_test() else { return };
    let (user, server) = (User::new(), DemoServer::start("thread-pool", &[]));
    let (_, found, _) = doctor(&user, &TRACING);
    let samples = kept_from_perfmon(&found, &SAMPLES);
    let report = watch(&server, user.command(&TRACING, &explain(&server.pid().to_string(), &[])), &TRACING);
    let lacking = match report.sockets_by.as_str() {
        "socket_tracepoints" => ACCEPT,
        // The accept is seen among all system calls, which are traced here.
        _ => SOCKETS,
    };
    let mut expected = [&lacking[..], &samples].concat();
    expected.sort_unstable();
    let mut missing = without(&report);
    missing.sort_unstable();
    assert_eq!(missing, expected);
    assert!(report.target.ports.is_empty(), "root's sockets may not be looked at: {:?}", report.target);
    assert_eq!(report.raw["overhead"]["bpf_ns_per_event"], 0.0, "the cost of programs takes more");
}

/// The way that `doctor` recommends: the capabilities are the program's, not the user's.
#[test]
fn explain_with_file_capabilities() {
    let Some(_serial) = kernel_test() else { return };
    let (user, server) = (User::new(), DemoServer::start("event-loop", &[]));
    if let Err(error) = user.give(&TRACING) {
        return skip("file capabilities", &format!("the file system of temporary files keeps none: {error}"));
    }
    let command = user.command_by_file(&explain(&server.pid().to_string(), &[]));
    watch(&server, command, &TRACING);
}

/// One capability more gives one ability more; where the kernel keeps performance events from all but `CAP_SYS_ADMIN` (as Debian's
/// do by default), `doctor` says so, and it takes two.
#[test]
fn the_moment_of_accept_takes_dac_read_search() {
    let Some(_serial) = accept_test() else { return };
    let (user, server) = (User::new(), DemoServer::start("thread-pool", &[]));
    let mut caps = vec![Cap::Bpf, Cap::Perfmon, Cap::DacReadSearch];
    let (_, found, _) = doctor(&user, &caps);
    if !kept_from_perfmon(&found, &[&ACCEPT[..], &SAMPLES].concat()).is_empty() {
        caps.push(Cap::SysAdmin);
    }
    let report = watch(&server, user.command(&caps, &explain(&server.pid().to_string(), &[])), &caps);
    let lacking: &[&str] = if report.sockets_by == "socket_tracepoints" { &[] } else { &SOCKETS };
    assert_eq!(without(&report), lacking);
}

#[test]
fn ports_of_others_take_sys_ptrace_and_dac_read_search() {
    let Some(_serial) = kernel_test() else { return };
    let (user, server) = (User::new(), DemoServer::start("thread-pool", &[]));
    let port = server.address().port().to_string();
    let args = ["explain", "--json", "--duration", "3600", "--port", &port];
    for caps in [
        &TRACING[..],
        &[Cap::Bpf, Cap::Perfmon, Cap::SysPtrace],
        &[Cap::Bpf, Cap::Perfmon, Cap::DacReadSearch],
    ] {
        assert_refused(&end(user.command(caps, &args)), &["CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH", &port]);
    }
    let caps = [Cap::Bpf, Cap::Perfmon, Cap::SysPtrace, Cap::DacReadSearch];
    let report = watch(&server, user.command(&caps, &args), &caps);
    assert_eq!(
        (report.target.pids, report.target.ports),
        (vec![server.pid()], vec![server.address().port()])
    );
}

#[test]
fn the_cost_of_programs_takes_sys_admin() {
    let Some(_serial) = kernel_test() else { return };
    let (user, server) = (User::new(), DemoServer::start("thread-pool", &[]));
    let pid = server.pid().to_string();
    // It is measured in a slice of the window, which must not be cut short.
    let args = ["explain", "--json", "--duration", "3", "--pid", &pid];
    let whywait = Whywait::start(user.command(&[Cap::Bpf, Cap::Perfmon, Cap::SysAdmin], &args));
    whywait.wait_until_attached();
    let mut client = Client::connect(&server.address().to_string());
    while !whywait.has_ended() {
        client.ask("/plaintext");
    }
    let report = whywait.finish(Duration::ZERO);
    let cost = report.raw["overhead"]["bpf_ns_per_event"].as_f64().expect("a number");
    assert!(cost > 0.0, "nanoseconds a run: {cost}");
}

/// Without privileges one sentence says which are missing and how they are got, and nothing is attached.
#[test]
fn without_privileges() {
    let Some(_serial) = kernel_test() else { return };
    let (user, server) = (User::new(), DemoServer::start("thread-pool", &[]));
    let pid = server.pid().to_string();
    for args in [&explain(&pid, &[])[..], &["demo"], &["demo", "--json"]] {
        let told = end(user.command(&[], args));
        assert_refused(&told, &["CAP_BPF and CAP_PERFMON", "root", "setcap"]);
    }
    assert!(user.left_behind().is_empty(), "files: {:?}", user.left_behind());
}

#[test]
fn with_one_of_the_two_the_other_is_named() {
    let Some(_serial) = kernel_test() else { return };
    let (user, server) = (User::new(), DemoServer::start("thread-pool", &[]));
    let pid = server.pid().to_string();
    for (has, lacks) in [(Cap::Bpf, "CAP_PERFMON"), (Cap::Perfmon, "CAP_BPF")] {
        for args in [&explain(&pid, &[])[..], &["demo"]] {
            let told = end(user.command(&[has], args));
            assert_refused(&told, &[&format!("for want of {lacks};")]);
        }
    }
}

/// What `doctor` says to a user with these capabilities, and its exit code.
fn doctor(user: &User, caps: &[Cap]) -> (Option<i32>, Value, String) {
    let run = |args: &[&str]| Whywait::start(user.command(caps, args)).end(Duration::from_secs(30));
    let (json, text) = (run(&["doctor", "--json"]), run(&["doctor"]));
    assert_eq!(json.status.code(), text.status.code(), "both forms agree");
    let found = serde_json::from_str(&json.stdout)
        .unwrap_or_else(|error| panic!("no JSON object ({error}): {} {}", json.stdout, json.stderr));
    (json.status.code(), found, text.stdout)
}

fn check<'a>(found: &'a Value, name: &str) -> &'a Value {
    let checks = found["checks"].as_array().expect("a list");
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name} in {found:#}"))
}

/// Asserts that an ability is missing for want of these capabilities, and that the remedy names them.
fn assert_takes(found: &Value, name: &str, lacks: &[&str]) {
    let check = check(found, name);
    assert_eq!(check["state"], "missing", "{check:#}");
    assert_eq!(check["lacks"], Value::from(lacks), "{check:#}");
    let takes = check["takes"].as_str().unwrap_or_default();
    assert!(lacks.iter().all(|name| takes.contains(&format!("CAP_{name}"))), "{check:#}");
}

/// Those of these hooks that are missing to the user of [`doctor`], all for want of `CAP_SYS_ADMIN`: they are performance events,
/// and some kernels keep these from `CAP_PERFMON` (Debian's 6.1 by default).
fn kept_from_perfmon<'a>(found: &Value, hooks: &[&'a str]) -> Vec<&'a str> {
    let mut missing = hooks.to_vec();
    missing.retain(|name| check(found, name)["state"] == "missing");
    for name in &missing {
        assert_takes(found, name, &["SYS_ADMIN"]);
    }
    missing
}

/// `doctor` says which capabilities are there, what is lost without the others, and what it takes.
#[test]
fn doctor_tells_what_each_ability_takes() {
    let Some(_serial) = accept_test() else { return };
    let user = User::new();
    let (code, found, text) = doctor(&user, &TRACING);
    assert_eq!((code, &found["works"]), (Some(0), &Value::Bool(true)), "{found:#}");
    let held = check(&found, "privileges")["gives"].as_str().expect("a text").to_owned();
    assert!(held.contains("not root") && held.contains("CAP_BPF, CAP_PERFMON"), "{held}");
    assert_takes(&found, "sockets", &["SYS_PTRACE", "DAC_READ_SEARCH"]);
    assert_takes(&found, "tracefs", &["DAC_READ_SEARCH"]);
    assert_takes(&found, "run statistics", &["SYS_ADMIN"]);
    for word in ["works here", "CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"] {
        let verdict = found["verdict"].as_str().expect("a text");
        assert!(
            verdict.contains(word) && text.contains(word),
            "`{word}` is not in {verdict}, or not in {text}"
        );
    }
    let (code, found, text) = doctor(&user, &[]);
    assert_eq!((code, &found["works"]), (Some(1), &Value::Bool(false)), "{found:#}");
    let verdict = found["verdict"].as_str().expect("a text");
    for word in ["does not work here", "CAP_BPF and CAP_PERFMON", "setcap"] {
        assert!(
            verdict.contains(word) && text.contains(word),
            "`{word}` is not in {verdict}, or not in {text}"
        );
    }
}

/// The reference server, its load and the explanation, all as that user; nothing of it is left.
#[test]
fn demo_with_bpf_and_perfmon_alone() {
    let Some(_serial) = kernel_test() else { return };
    let user = User::new();
    let rate = (requests(200) / 2).to_string();
    let args = ["demo", "--json", "--duration", "2", "--rate", &rate];
    let ended = Whywait::start(user.command(&TRACING, &args)).end(Duration::from_secs(30));
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    let demo: Value = serde_json::from_str(&ended.stdout).expect("one JSON object");
    let report = Report::parse(&demo["explanation"].to_string());
    let load = &demo["load"];
    assert_eq!(load["unsent"], 0, "{load:#}");
    report.assert_exactly(load["requests"].as_u64().expect("a count"));
    assert!(report.requests.count > 0);
    assert!(user.left_behind().is_empty(), "files: {:?}", user.left_behind());
}
