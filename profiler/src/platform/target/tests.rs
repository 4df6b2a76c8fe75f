//! Targets of every kind, with real processes, and every way in which there is none.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use super::super::mounts::mounted;
use super::super::proc::{children_of, process_exists, threads};
use super::super::testing::{Running, wait_until};
use super::*;

fn by_pid(pid: Pid, children: bool) -> TargetSpec {
    TargetSpec { pids: vec![pid.0], children, ..TargetSpec::default() }
}

fn error_of(spec: &TargetSpec) -> TargetError {
    resolve(spec).err().unwrap()
}

/// A process alone, and with what it has started.
#[test]
fn a_process_and_its_children() {
    let shell = Running::new(Command::new("sh").args(["-c", "sleep 30 & sleep 30 & wait"]));
    wait_until(|| children_of(shell.pid()).len() == 2);
    let alone = resolve(&by_pid(shell.pid(), false)).unwrap();
    assert_eq!((alone.pids, &*alone.command, alone.ports), (vec![shell.pid()], "sh", vec![]));
    assert!(alone.launched.is_none());
    let family = resolve(&by_pid(shell.pid(), true)).unwrap();
    assert_eq!(family.pids[0], shell.pid());
    assert_eq!(family.pids[1..], children_of(shell.pid()));
    let twice = TargetSpec {
        pids: vec![family.pids[1].0, shell.pid().0, shell.pid().0],
        children: true,
        ..by_pid(shell.pid(), true)
    };
    let twice = resolve(&twice).unwrap();
    assert_eq!((twice.pids.len(), &*twice.command), (3, "sleep"));
}

/// What does not exist, exists no more, is no process, or is ourselves: each is told apart.
#[test]
fn ids_that_are_no_target() {
    let own = Pid(std::process::id());
    assert!(matches!(error_of(&TargetSpec::default()), TargetError::NoTarget));
    assert!(matches!(error_of(&by_pid(Pid(u32::MAX), true)), TargetError::NoProcess { .. }));
    assert!(matches!(error_of(&by_pid(own, true)), TargetError::Ourselves { pid } if pid == own));
    let other = threads(own).unwrap().into_iter().map(|facts| facts.tid).find(|tid| tid.0 != own.0).unwrap();
    assert!(matches!(error_of(&by_pid(Pid(other.0), true)), TargetError::Ourselves { pid } if pid == own));

    let mut child = Command::new("true").stdin(Stdio::null()).spawn().unwrap();
    let pid = Pid(child.id());
    wait_until(|| stat(pid).unwrap().has_ended());
    assert!(matches!(error_of(&by_pid(pid, true)), TargetError::Ended { pid: ended } if ended == pid));
    child.wait().unwrap();
    assert!(matches!(error_of(&by_pid(pid, true)), TargetError::NoProcess { pid: gone, .. } if gone == pid));
}

/// Of several processes one may have ended since they were listed; a list of which nobody is left is an error.
#[test]
fn those_that_are_left_of_a_list() {
    let shell = Running::new(Command::new("sleep").arg("30"));
    let list = |pids| TargetSpec { pids, ..TargetSpec::default() };
    let found = resolve(&list(vec![u32::MAX, shell.pid().0, u32::MAX])).unwrap();
    assert_eq!((found.pids, found.gone), (vec![shell.pid()], vec![Pid(u32::MAX)]));
    let nobody = error_of(&list(vec![u32::MAX, u32::MAX - 1]));
    assert!(matches!(nobody, TargetError::NoProcess { pid: Pid(u32::MAX), .. }));
}

/// The id of another process's thread names that process.
#[test]
fn a_thread_is_no_process() {
    let script = "import threading,time\nthreading.Thread(target=time.sleep,args=(30,),daemon=True).start()\ntime.sleep(30)";
    let Ok(spawned) = Command::new("python3").arg("--version").stdout(Stdio::null()).status() else {
        eprintln!("a_thread_is_no_process: skipped, because python3 is missing");
        return;
    };
    assert!(spawned.success());
    let python = Running::new(Command::new("python3").args(["-c", script]));
    wait_until(|| threads(python.pid()).unwrap().len() == 2);
    // Ids begin anew beyond `pid_max`: the newer thread may have the smaller one.
    let all = threads(python.pid()).unwrap();
    let tid = all.iter().map(|thread| thread.tid).find(|tid| tid.0 != python.pid().0).unwrap();
    let error = error_of(&by_pid(Pid(tid.0), true));
    assert!(matches!(&error, TargetError::Thread { pid, .. } if *pid == python.pid()), "{error}");
    assert!(error.to_string().contains(&format!("use --pid {}", python.pid())), "{error}");
}

/// The id that a process has inside its container leads to the one that it has here.
#[test]
fn an_id_from_inside_a_container() {
    // Ids inside count up from 1, where each is taken outside too; so the next one is set to one that is free outside.
    let free = (20_000..30_000).find(|&id| process_of(Tid(id)).is_none()).unwrap();
    let script = format!("echo {} > /proc/sys/kernel/ns_last_pid; sleep 32 & wait", free - 1);
    let unshare = Running::new(Command::new("unshare").args(["-pf", "--mount-proc", "sh", "-c", &script]));
    let Some(sleep) = unshare.descendant_named("sleep") else {
        eprintln!("an_id_from_inside_a_container: skipped, because unshare needs root and PID namespaces");
        return;
    };
    assert_eq!(resolve(&by_pid(sleep, false)).unwrap().pids, [sleep]);
    let status = fs::read_to_string(format!("/proc/{sleep}/status")).unwrap();
    let inner = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap();
    let inner = Pid(inner.split_ascii_whitespace().last().unwrap().parse().unwrap());
    if process_of(inner.main_thread()).is_some() {
        eprintln!(
            "an_id_from_inside_a_container: the hint is not checked, because {inner} exists out here too"
        );
        return;
    }
    let error = error_of(&by_pid(inner, false)).to_string();
    assert!(error.contains(&sleep.to_string()) && error.contains("container"), "{error}");
}

/// A port leads to its listener and to what that has started, and a free port to an error.
#[test]
fn a_port() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let spec = TargetSpec { port: Some(port), children: true, ..TargetSpec::default() };
    // Children that other tests are just forking hold the socket as well, until they are programs of their own.
    wait_until(|| matches!(resolve(&spec), Err(TargetError::Ourselves { .. })));

    let script = format!(
        "import socket,subprocess\ns=socket.socket()\ns.bind(('127.0.0.2',{port}))\ns.listen()\nsubprocess.run(['sleep','30'])"
    );
    let server = Running::new(Command::new("python3").args(["-c", &script]));
    if server.descendant_named("sleep").is_none() {
        eprintln!("a_port: only half checked, because python3 is missing");
        return;
    }
    wait_until(|| resolve(&spec).unwrap().pids.len() == 2);
    let found = resolve(&spec).unwrap();
    assert_eq!((found.pids[0], found.ports), (server.pid(), vec![port]));
    assert_eq!(found.command, "python3");
    drop((listener, server));
    wait_until(|| match resolve(&spec) {
        Err(TargetError::NobodyListens { port: nobody }) => nobody == port,
        // Without the privilege to look at everybody, nobody can be excluded.
        Err(TargetError::Proc(ProcError::Permission { .. })) => true,
        _ => false,
    });
}

/// A control group leads to its members, without those that they start elsewhere; an empty one is an error.
#[test]
fn a_cgroup() {
    let name = format!("whywait-target-{}", std::process::id());
    let spec =
        TargetSpec { cgroup: Some(PathBuf::from("/").join(&name)), children: true, ..TargetSpec::default() };
    let error = error_of(&spec);
    assert!(matches!(&error, TargetError::Proc(ProcError::NoCgroup { .. })), "{error}");
    let roots = mounted("cgroup2").into_iter().chain(mounted("cgroup"));
    let Some(group) = roots.map(|root| root.join(&name)).find(|group| fs::create_dir(group).is_ok()) else {
        eprintln!("a_cgroup: skipped, because no cgroup can be created here (needs root)");
        return;
    };
    let result = std::panic::catch_unwind(|| {
        assert!(matches!(error_of(&spec), TargetError::EmptyCgroup { .. }));
        let (first, second) = (Running::sleep(), Running::sleep());
        for child in [&second, &first] {
            fs::write(group.join("cgroup.procs"), child.pid().to_string()).unwrap();
        }
        let mut found = resolve(&spec).unwrap().pids;
        found.sort_unstable();
        let mut expected = [first.pid(), second.pid()];
        expected.sort_unstable();
        assert_eq!(found, expected);
    });
    let _ = fs::remove_dir(&group);
    result.unwrap();
}

/// A command is started but stopped, its name is the program's, and it goes with no other target.
#[test]
fn a_command() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out");
    let command = vec!["/bin/echo".into(), "hello".into()];
    let spec = TargetSpec { command, output: Some(output.clone()), ..TargetSpec::default() };
    let mut found = resolve(&spec).unwrap();
    let launched = found.launched.as_mut().unwrap();
    assert_eq!((&*found.command, &found.pids[..]), ("echo", &[launched.pid()][..]));
    assert!(process_exists(launched.pid()) && fs::read_to_string(&output).unwrap().is_empty());
    launched.go().unwrap();
    wait_until(|| launched.try_wait().is_some());
    assert_eq!(fs::read_to_string(&output).unwrap(), "hello\n");
    assert!(matches!(error_of(&TargetSpec { port: Some(80), ..spec }), TargetError::CommandAndOthers));
}

/// A process that may not be looked at (of another user, or one that guards itself) is a target all the same, without
/// its ports, and does not hide those of the others.
#[test]
fn a_process_that_hides_its_sockets() {
    let hidden = |pid: &Pid| matches!(listening_ports(&[*pid]), Err(ProcError::Permission { .. }));
    let Some(hidden) = super::super::proc::all_processes().into_iter().find(hidden) else {
        eprintln!("a_process_that_hides_its_sockets: skipped, because this user may look at every process");
        return;
    };
    let sleep = Running::sleep();
    let spec = TargetSpec { pids: vec![sleep.pid().0, hidden.0], ..TargetSpec::default() };
    let found = resolve(&spec).unwrap();
    assert_eq!((found.pids, found.ports), (vec![sleep.pid(), hidden], vec![]));
}

/// The hint for ids from containers reads well for none, one and several.
#[test]
fn hints() {
    let text = |inside: &[u32]| {
        let inside = inside.iter().map(|&pid| Pid(pid)).collect();
        TargetError::NoProcess { pid: Pid(7), inside }.to_string()
    };
    assert_eq!(text(&[]), "there is no process 7; choose a running one");
    assert!(text(&[41]).contains("use --pid 41"));
    assert!(text(&[41, 42]).contains("41, 42"));
}
