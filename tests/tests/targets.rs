//! Every way to say what is to be watched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use whywait_tests::{
    Client, DemoServer, Load, Report, TestServer, Whywait, kernel_test, requests, skip, wait_until,
    whywait_command,
};

/// Asks a server so many times over one connection.
fn ask(address: &str, times: u64) {
    let mut client = Client::connect(address);
    for _ in 0..times {
        client.ask("/some");
    }
}

/// Two servers, named by their ids; a third one is nobody's business.
#[test]
fn several_processes() {
    let Some(_serial) = kernel_test() else { return };
    let servers = [(); 3].map(|()| TestServer::start("read-write"));
    let [first, second] = [0, 1].map(|index: usize| servers[index].pid().to_string());
    let whywait = Whywait::explain(&["-p", &first, "--pid", &second]);
    for (server, times) in servers.iter().zip([5, 7, 11]) {
        ask(server.address(), times);
    }
    let report = whywait.stop();
    report.assert_exactly(12);
    assert_eq!(report.target.pids, [servers[0].pid(), servers[1].pid()]);
    assert_eq!(by_process(&report), [(servers[0].pid(), 5), (servers[1].pid(), 7)]);
}

fn by_process(report: &Report) -> Vec<(u32, u64)> {
    let mut counts: Vec<_> = report
        .processes
        .iter()
        .map(|group| (group.name.parse().expect("a process id"), group.count))
        .collect();
    counts.sort_by_key(|&(_, count)| count);
    counts
}

/// Whoever listens on a port.
#[test]
fn port() {
    let Some(_serial) = kernel_test() else { return };
    let (server, other) = (TestServer::start("read-write"), TestServer::start("read-write"));
    let whywait = Whywait::explain(&["--port", &server.port().to_string()]);
    ask(server.address(), 9);
    ask(other.address(), 4);
    let report = whywait.stop();
    report.assert_exactly(9);
    assert_eq!((report.target.pids, report.target.ports), (vec![server.pid()], vec![server.port()]));
}

/// A control group that goes away with the test.
struct Group(PathBuf);

impl Group {
    fn new(parent: &Path) -> Option<Self> {
        let path = parent.join(format!("whywait-tests-{}", std::process::id()));
        fs::create_dir(&path).ok().map(|()| Self(path))
    }

    fn add(&self, pid: u32) {
        fs::write(self.0.join("cgroup.procs"), pid.to_string())
            .expect("moving a process into the control group");
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its processes have been ended; the kernel may need a moment to know.
        wait_until(Duration::from_secs(2), || fs::remove_dir(&self.0).is_ok());
    }
}

/// Everybody in a control group, also who enters it later.
fn cgroup(mount: &str) {
    let Some(_serial) = kernel_test() else { return };
    let Some(group) = Group::new(Path::new(mount)) else {
        return skip("control groups", &format!("no group can be made in {mount}"));
    };
    let [early, late, outside] = [(); 3].map(|()| TestServer::start("read-write"));
    group.add(early.pid());
    let whywait = Whywait::explain(&["--cgroup", group.0.to_str().expect("a path in text")]);
    ask(early.address(), 5);
    ask(outside.address(), 3);
    group.add(late.pid());
    // Newcomers are looked for a few times a second.
    std::thread::sleep(Duration::from_millis(500));
    ask(late.address(), 7);
    let report = whywait.stop();
    drop((early, late, outside));
    report.assert_exactly(12);
}

#[test]
fn cgroup_v2() {
    let unified = "/sys/fs/cgroup/unified";
    cgroup(if Path::new(unified).exists() { unified } else { "/sys/fs/cgroup" });
}

#[test]
fn cgroup_v1() {
    let pids = "/sys/fs/cgroup/pids";
    if Path::new(pids).exists() { cgroup(pids) } else { skip("control groups v1", "none is mounted") }
}

/// A command is traced from its first instruction: a server that answers a number of requests and ends. What it prints goes to
/// its file, and the report comes when it has ended.
#[test]
fn command() {
    let Some(_serial) = kernel_test() else { return };
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("output");
    let path = output.to_str().expect("a path in text");
    let server = TestServer::command("read-write", "127.0.0.1:0");
    let script =
        format!("echo begun; timeout 4 {} read-write 127.0.0.1:0; echo over", server.get_program().display());
    let whywait = Whywait::attach(&["explain", "--json", "--output", path, "--", "sh", "-c", &script]);
    let read = || fs::read_to_string(&output).unwrap_or_default();
    assert!(
        wait_until(Duration::from_secs(10), || read().contains("listening")),
        "the command said `{}`",
        read()
    );
    let text = read();
    let address = text.lines().find_map(|line| line.strip_prefix("listening ")).expect("an address");
    let times = requests(50);
    ask(address, times);
    let ended = whywait.end(Duration::from_secs(10));
    let report = ended.report();
    report.assert_exactly(times);
    assert!(report.target_ended, "the command has ended by itself");
    assert_eq!(report.target.command, "sh");
    let text = read();
    assert!(text.starts_with("begun\n") && text.ends_with("over\n"), "the command's output: {text}");
    assert!(ended.stderr.contains(path), "where the output is, is said: {}", ended.stderr);
}

/// A command that is still running when the time is over is ended.
#[test]
fn command_outlives_the_window() {
    let Some(_serial) = kernel_test() else { return };
    let whywait = Whywait::attach(&["explain", "--json", "--duration", "1", "--", "sleep", "600"]);
    let report = whywait.finish(Duration::from_secs(6));
    report.assert_exactly(0);
    assert!(!report.target_ended);
    let pid = report.target.pids[0];
    let cmdline = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    assert!(!cmdline.contains("600"), "the command {pid} is still running: {cmdline}");
}

/// A command that does not exist is one sentence and no report.
#[test]
fn command_that_does_not_exist() {
    let Some(_serial) = kernel_test() else { return };
    let run = Whywait::start(whywait_command(&["explain", "--json", "--", "no-such-program-anywhere"]));
    let ended = run.end(Duration::from_secs(5));
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(1), ""), "{}", ended.stderr);
    let told = ended.stderr.lines().last().unwrap_or_default();
    assert!(told.contains("no-such-program-anywhere"), "{told}");
}

/// A shell whose child is the server: the child belongs to it, unless children are left out.
#[test]
fn children() {
    let Some(_serial) = kernel_test() else { return };
    let server = TestServer::command("read-write", "127.0.0.1:0");
    let script = format!("{} read-write 127.0.0.1:0; true", server.get_program().display());
    let shell = TestServer::start_as(Command::new("sh").args(["-c", &script]));
    let pid = shell.pid().to_string();
    for (extra, found) in [(&[][..], 6), (&["--no-children"][..], 0)] {
        let whywait = Whywait::explain(&[&["--pid", &pid], extra].concat());
        ask(shell.address(), 6);
        whywait.stop().assert_exactly(found);
    }
}

/// Threads that are created after whywait attached.
#[test]
fn threads_created_later() {
    let Some(_serial) = kernel_test() else { return };
    let server = TestServer::start("read-write");
    let whywait = Whywait::on(server.pid());
    for _ in 0..20 {
        ask(server.address(), 2);
    }
    whywait.stop().assert_exactly(40);
}

/// Workers that are forked after whywait attached serve on.
#[test]
fn workers_forked_later() {
    let Some(_serial) = kernel_test() else { return };
    let server = TestServer::start("prefork-later");
    let whywait = Whywait::on(server.pid());
    ask(server.address(), 3);
    for _ in 0..10 {
        ask(server.address(), 4);
    }
    whywait.stop().assert_exactly(43);
}

/// A server that executes itself anew stays the same target.
#[test]
fn re_executed_server() {
    let Some(_serial) = kernel_test() else { return };
    let server = TestServer::start("re-execute");
    let whywait = Whywait::on(server.pid());
    ask(server.address(), 3);
    for _ in 0..5 {
        ask(server.address(), 2);
    }
    whywait.stop().assert_exactly(13);
}

/// A server in another PID namespace is shown, and named, with the host's ids.
#[test]
fn another_pid_namespace() {
    let Some(_serial) = kernel_test() else { return };
    let server = TestServer::command("read-write", "127.0.0.1:0");
    let mut unshare = Command::new("unshare");
    unshare.args(["--pid", "--fork", "--mount-proc", "--kill-child", "--"]);
    unshare.arg(server.get_program()).args(server.get_args());
    let server = TestServer::start_as(&mut unshare);
    let whywait = Whywait::explain(&["--port", &server.port().to_string()]);
    ask(server.address(), 8);
    let report = whywait.stop();
    report.assert_exactly(8);
    let children =
        fs::read_to_string(format!("/proc/{0}/task/{0}/children", server.pid())).expect("reading children");
    let [pid] = report.target.pids[..] else { panic!("one process listens: {:?}", report.target) };
    assert_eq!(children.trim(), pid.to_string(), "the host's id of the server");
}

/// Two at once on the same server find the same.
#[test]
fn two_at_once() {
    let Some(_serial) = kernel_test() else { return };
    let server = DemoServer::start("thread-pool", &[]);
    let (first, second) = (Whywait::on(server.pid()), Whywait::on(server.pid()));
    let answered = Load::new(server.url("/plaintext"), 1000, 2).connections(4).run().requests;
    first.stop().assert_exactly(answered);
    second.stop().assert_exactly(answered);
}
