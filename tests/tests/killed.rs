//! However whywait ends, nothing of it stays in the kernel and its target goes on undisturbed.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use whywait_tests::{
    BpfKind, BpfObjects, Cap, Client, DemoServer, Signal, User, Whywait, kernel_test, skip, thread_ids,
    wait_until, whywait_command,
};

/// A server under load, watched; what whywait has in the kernel meanwhile.
fn in_the_middle(end: impl FnOnce(Whywait)) {
    let Some(_serial) = kernel_test() else { return };
    let server = DemoServer::start("thread-pool", &["--idle-timeout", "600"]);
    let mut client = Client::connect(&server.address().to_string());
    // A server that answers has all its threads.
    client.ask("/plaintext");
    let threads = thread_ids(server.pid());
    let whywait = Whywait::on(server.pid());
    for _ in 0..200 {
        client.ask("/plaintext");
    }
    let objects = BpfObjects::held_by(whywait.pid());
    assert!(objects.count(BpfKind::Program) > 3, "programs of a running whywait: {objects:?}");
    assert!(objects.count(BpfKind::Link) > 3, "attached programs of a running whywait: {objects:?}");
    assert_eq!(objects.still_there(), objects, "the kernel knows what a running whywait holds");

    end(whywait);

    // The kernel frees programs and maps only after every CPU has left them.
    let gone = wait_until(Duration::from_secs(5), || objects.still_there().is_empty());
    assert!(gone, "left behind in the kernel: {:?}", objects.still_there());
    assert_eq!(client.ask("/plaintext"), b"Hello, World!", "the connection that whywait watched goes on");
    assert_eq!(Client::connect(&server.address().to_string()).ask("/plaintext"), b"Hello, World!");
    assert_eq!(thread_ids(server.pid()), threads, "the target's threads");
    assert!(server.stop().success(), "the target ends as it always does");
}

#[test]
fn sigkill_leaves_nothing() {
    in_the_middle(|whywait| {
        whywait.signal(Signal::KILL);
        let ended = whywait.end(Duration::ZERO);
        assert_eq!(ended.status.code(), None, "killed: {ended:?}");
        assert_eq!(ended.stdout, "", "no half report");
    });
}

/// Ctrl-C ends the watching early; the report is printed and whywait has done what it was asked for.
#[test]
fn sigint_prints_the_report() {
    in_the_middle(|whywait| whywait.stop().assert_exactly(200));
}

/// So does the signal by which a service manager stops it.
#[test]
fn sigterm_prints_the_report() {
    in_the_middle(|whywait| {
        thread::sleep(Duration::from_millis(100));
        whywait.signal(Signal::TERM);
        whywait.finish(Duration::ZERO).assert_exactly(200);
    });
}

/// A target that is killed while it is watched ends the watching, with a report.
#[test]
fn a_target_that_is_killed_is_reported() {
    let Some(_serial) = kernel_test() else { return };
    let server = DemoServer::start("event-loop", &[]);
    let whywait = Whywait::on(server.pid());
    let mut client = Client::connect(&server.address().to_string());
    for _ in 0..50 {
        client.ask("/plaintext");
    }
    drop(client);
    server.stop();
    let report = whywait.finish(Duration::from_secs(5));
    assert!(report.target_ended, "the report says that the target ended");
    report.assert_exactly(50);
}

/// The processes that a process has started, whichever of its threads did.
fn children(pid: u32) -> Vec<u32> {
    let lists = thread_ids(pid).into_iter().map(|tid| {
        // A thread can have ended meanwhile.
        fs::read_to_string(format!("/proc/{pid}/task/{tid}/children")).unwrap_or_default()
    });
    let ids = |list: String| {
        list.split_whitespace().map(|id| id.parse().expect("a process id")).collect::<Vec<u32>>()
    };
    lists.flat_map(ids).collect()
}

/// The words of a process's command line; none once it has ended.
fn command_line(pid: u32) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    text.split_terminator('\0').map(str::to_owned).collect()
}

/// `whywait demo`, killed in the middle of its load, takes its two servers, its load generator and its programs with it.
fn kill_demo(demo: Command) {
    let whywait = Whywait::start(demo);
    let under_load = wait_until(Duration::from_secs(20), || {
        let running =
            |helper: &&u32| command_line(**helper).get(1).is_some_and(|word| word.starts_with("__"));
        children(whywait.pid()).iter().filter(running).count() == 3
    });
    let helpers = children(whywait.pid());
    let what: Vec<Vec<String>> = helpers.iter().map(|pid| command_line(*pid)).collect();
    assert!(under_load, "two servers and a load generator, whywait's children: {what:?}");
    let objects = BpfObjects::held_by(whywait.pid());
    assert!(objects.count(BpfKind::Link) > 3, "attached programs under load: {objects:?}");

    whywait.signal(Signal::KILL);
    assert_eq!(whywait.end(Duration::ZERO).status.code(), None, "killed");

    let ended = || helpers.iter().all(|pid| command_line(*pid).is_empty());
    let gone = wait_until(Duration::from_secs(5), || ended() && objects.still_there().is_empty());
    let left: Vec<_> = helpers.iter().map(|pid| (pid, command_line(*pid))).collect();
    if !ended() {
        for pid in &helpers {
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
        }
    }
    assert!(gone, "left behind: {left:?}, in the kernel {:?}", objects.still_there());
}

const DEMO: [&str; 5] = ["demo", "--duration", "60", "--rate", "50"];

#[test]
fn a_demo_that_is_killed_takes_its_servers_with_it() {
    let Some(_serial) = kernel_test() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut demo = whywait_command(&DEMO);
    demo.env("TMPDIR", dir.path());
    kill_demo(demo);
}

/// A program that has capabilities is executed anew without the signal that its parent's end would send it
/// (`PR_SET_PDEATHSIG(2const)`), unless that is seen to.
#[test]
fn so_does_one_with_file_capabilities() {
    let Some(_serial) = kernel_test() else { return };
    let user = User::new();
    if let Err(error) = user.give(&[Cap::Bpf, Cap::Perfmon]) {
        return skip("file capabilities", &format!("the file system of temporary files keeps none: {error}"));
    }
    kill_demo(user.command_by_file(&DEMO));
}
