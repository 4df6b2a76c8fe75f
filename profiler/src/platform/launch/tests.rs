//! Launches of real programs: what they see, when they start, and that nothing of them is left.

use std::os::unix::process::ExitStatusExt;

use super::super::proc::{children_of, command_line, command_name, process_exists, stat};
use super::super::testing::wait_until;
use super::*;

fn argv(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// A launch whose output goes to a directory of the test.
fn prepare(dir: &Path, words: &[&str]) -> Launched {
    Launched::prepare(&argv(words), Some(&dir.join("out"))).unwrap()
}

fn ended(launched: &mut Launched) -> ExitStatus {
    wait_until(|| launched.try_wait().is_some());
    launched.try_wait().unwrap()
}

/// Before `go` the child exists but is not the program; after it, it is, with the same id.
#[test]
fn nothing_runs_before_go() {
    let dir = tempfile::tempdir().unwrap();
    let mark = dir.path().join("mark");
    let mut launched = prepare(dir.path(), &["touch", mark.to_str().unwrap()]);
    assert!(process_exists(launched.pid()) && children_of(Pid(std::process::id())).contains(&launched.pid()));
    std::thread::sleep(Duration::from_millis(50));
    assert!(!mark.exists() && launched.try_wait().is_none());
    assert_ne!(command_name(launched.pid()).unwrap(), "touch");
    launched.go().unwrap();
    assert!(ended(&mut launched).success() && mark.exists());
    launched.go().unwrap();
}

/// Both output streams go to the file, the input is empty, and arguments arrive as they are.
#[test]
fn streams_are_not_ours() {
    let dir = tempfile::tempdir().unwrap();
    let mut launched = prepare(dir.path(), &["sh", "-c", "cat; echo \"out $1\"; echo err >&2", "sh", "a b"]);
    launched.go().unwrap();
    assert!(ended(&mut launched).success());
    assert_eq!(std::fs::read_to_string(launched.output_path()).unwrap(), "out a b\nerr\n");
}

/// Without a file given, a new one is made in the temporary directory, with the program's name.
#[test]
fn output_has_a_default_place() {
    let mut launched = Launched::prepare(&argv(&["echo", "hello"]), None).unwrap();
    launched.go().unwrap();
    assert!(ended(&mut launched).success());
    let path = launched.output_path().to_owned();
    assert!(path.file_name().unwrap().to_str().unwrap().starts_with("whywait-echo-"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "hello\n");
    std::fs::remove_file(path).unwrap();
}

/// Each way to fail is told apart and names the program or file.
#[test]
fn failures_are_typed() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Launched::prepare(&[], None), Err(LaunchError::NoCommand)));
    let mut missing = prepare(dir.path(), &["/nonexistent/no-such-program"]);
    let error = missing.go().unwrap_err();
    assert!(matches!(&error, LaunchError::NotFound { .. }), "{error}");
    assert!(error.to_string().contains("/nonexistent/no-such-program"));
    assert!(matches!(missing.go(), Err(LaunchError::Ended { .. })) && missing.try_wait().is_none());
    let plain = dir.path().join("plain");
    std::fs::write(&plain, "no program").unwrap();
    let mut plain = prepare(dir.path(), &[plain.to_str().unwrap()]);
    assert!(matches!(plain.go(), Err(LaunchError::NotExecutable { .. })));
    let error = Launched::prepare(&argv(&["true"]), Some(Path::new("/nonexistent/out"))).err().unwrap();
    assert!(matches!(error, LaunchError::Output { .. }));
}

/// Exit codes and signals are told as they were, and the id stays taken until the end.
#[test]
fn exit_statuses_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut launched = prepare(dir.path(), &["sh", "-c", "exit 7"]);
    launched.go().unwrap();
    assert_eq!(ended(&mut launched).code(), Some(7));
    assert!(stat(launched.pid()).unwrap().has_ended(), "not collected");
    assert_eq!(launched.terminate(Duration::ZERO).unwrap().code(), Some(7));
    let mut launched = prepare(dir.path(), &["sh", "-c", "kill -USR1 $$"]);
    launched.go().unwrap();
    assert_eq!(ended(&mut launched).signal(), Some(libc::SIGUSR1));
}

/// A program that obeys SIGTERM ends by it; one that does not is killed after the grace, with what it started.
#[test]
fn terminate_is_polite_then_firm() {
    let dir = tempfile::tempdir().unwrap();
    let mut polite = prepare(dir.path(), &["sleep", "30"]);
    polite.go().unwrap();
    let started = Instant::now();
    assert_eq!(polite.terminate(Duration::from_secs(10)).unwrap().signal(), Some(libc::SIGTERM));
    assert!(started.elapsed() < Duration::from_secs(5) && !process_exists(polite.pid()));

    let mut stubborn = prepare(dir.path(), &["sh", "-c", "trap '' TERM; sleep 30 & echo ready; wait"]);
    stubborn.go().unwrap();
    let said = stubborn.output_path().to_owned();
    wait_until(|| std::fs::read_to_string(&said).unwrap() == "ready\n");
    let inner = children_of(stubborn.pid())[0];
    assert_eq!(stubborn.terminate(Duration::from_millis(100)).unwrap().signal(), Some(libc::SIGKILL));
    wait_until(|| stat(inner).map_or(true, |stat| stat.has_ended()));
}

/// Dropping ends and collects the child, before `go` and after it, also when another launch waits meanwhile.
#[test]
fn dropping_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mark = dir.path().join("mark");
    let waiting = prepare(dir.path(), &["touch", mark.to_str().unwrap()]);
    let other = prepare(dir.path(), &["touch", mark.to_str().unwrap()]);
    let mut running = prepare(dir.path(), &["sleep", "30"]);
    running.go().unwrap();
    for launched in [waiting, running, other] {
        let pid = launched.pid();
        drop(launched);
        assert!(!process_exists(pid));
    }
    assert!(!mark.exists());
}

/// A waiting child holds none of our descriptors open (neither sockets nor the pipes of another launch), but for those
/// that were given to us for our children.
#[test]
fn a_waiting_child_holds_nothing_of_ours() {
    let dir = tempfile::tempdir().unwrap();
    let _listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let _first = prepare(dir.path(), &["sleep", "30"]);
    let second = prepare(dir.path(), &["sleep", "30"]);
    let to_be_inherited = std::fs::read_dir("/proc/self/fdinfo").unwrap().flatten().filter(|entry| {
        let fd: i32 = entry.file_name().to_str().unwrap().parse().unwrap();
        let info = std::fs::read_to_string(entry.path()).unwrap_or_default();
        let flags =
            info.lines().find_map(|line| i32::from_str_radix(line.strip_prefix("flags:")?.trim(), 8).ok());
        fd > 2 && flags.is_some_and(|flags| flags & libc::O_CLOEXEC == 0)
    });
    // Input, two outputs, and its ends of two pipes.
    let expected = to_be_inherited.count() + 5;
    wait_until(|| std::fs::read_dir(format!("/proc/{}/fd", second.pid())).unwrap().count() == expected);
}

/// A child that somebody ends while it waits is reported; no signal hits a stranger.
#[test]
fn a_child_that_is_ended_while_it_waits() {
    let dir = tempfile::tempdir().unwrap();
    let mut launched = prepare(dir.path(), &["sleep", "30"]);
    child::signal(launched.pid(), libc::SIGTERM);
    wait_until(|| stat(launched.pid()).map_or(true, |stat| stat.has_ended()));
    launched.go().unwrap();
    assert_eq!(ended(&mut launched).signal(), Some(libc::SIGTERM), "not kept alive by our handlers");
}

/// When the launching process itself is killed, a waiting child does not start and a running one ends. The launching
/// process is this test again, in a process of its own.
#[test]
fn children_end_with_us() {
    const ROLE: &str = "WHYWAIT_TEST_LAUNCHER";
    if let Some(dir) = std::env::var_os(ROLE) {
        let dir = PathBuf::from(dir);
        let waiting = prepare(&dir, &["touch", dir.join("mark").to_str().unwrap()]);
        let mut running = prepare(&dir, &["sleep", "30"]);
        running.go().unwrap();
        std::fs::write(dir.join("pids.new"), format!("{} {}", waiting.pid(), running.pid())).unwrap();
        std::fs::rename(dir.join("pids.new"), dir.join("pids")).unwrap();
        std::thread::sleep(Duration::from_secs(30));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let name = std::thread::current().name().unwrap().to_owned();
    let mut launcher = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &name])
        .env(ROLE, dir.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    wait_until(|| dir.path().join("pids").exists());
    let pids = std::fs::read_to_string(dir.path().join("pids")).unwrap();
    let pids: Vec<Pid> = pids.split(' ').map(|pid| Pid(pid.parse().unwrap())).collect();
    assert_eq!(command_line(pids[1]).unwrap(), ["sleep", "30"]);
    launcher.kill().unwrap();
    launcher.wait().unwrap();
    wait_until(|| pids.iter().all(|&pid| stat(pid).map_or(true, |stat| stat.has_ended())));
    assert!(!dir.path().join("mark").exists());
}
