//! The models that fork: who answers, who is replaced, who is left behind.

use std::collections::{BTreeSet, HashSet};
use std::fs;

use demo_servers::Model;

use crate::support::{ServerProcess, ask, eventually, kill, records};

const SUPERVISED: [Model; 3] = [Model::Prefork, Model::PreforkThreads, Model::Reuseport];

fn start(model: Model, more: &[&str]) -> ServerProcess {
    ServerProcess::start(&[&["serve", model.id(), "--workers", "3", "--threads", "2"], more].concat())
}

/// The children of a process, zombies included.
fn children(parent: u32) -> BTreeSet<u32> {
    let parent = parent.to_string();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let stats = processes.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    stats
        .filter_map(|stat| {
            // PID (NAME) STATE PARENT: the name may contain anything.
            let (pid, _) = stat.split_once(' ')?;
            let its_parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?;
            (its_parent == parent).then(|| pid.parse().unwrap())
        })
        .collect()
}

fn all_workers(server: &ServerProcess) -> BTreeSet<u32> {
    eventually("three workers", || Some(children(server.pid())).filter(|workers| workers.len() == 3))
}

/// Connections are served by several workers, whose threads are not the master's.
#[test]
fn several_processes_answer() {
    for model in SUPERVISED {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("truth");
        let server = start(model, &["--truth", &path.display().to_string()]);
        let workers = all_workers(&server);
        let owner = |tid: i32| {
            let task = |worker: &u32| format!("/proc/{worker}/task/{tid}");
            workers.iter().copied().find(|worker| fs::exists(task(worker)).unwrap())
        };
        let mut asked = 0;
        let answered = eventually("an answer of several workers", || {
            // Held until all are answered: a prefork worker has no time for a second one meanwhile.
            let streams: Vec<_> = (0..3).map(|_| server.connect()).collect();
            for stream in &streams {
                assert!(ask(stream, "/plaintext").ends_with("Hello, World!"), "{model}");
            }
            asked += streams.len();
            let written = eventually("the truth", || Some(records(&path)).filter(|all| all.len() == asked));
            let owners: HashSet<_> =
                written.iter().map(|record| owner(record.tid).expect("a worker's thread")).collect();
            (owners.len() > 1).then_some(owners.len())
        });
        assert!(model != Model::Prefork || answered == 3, "{answered}");
        assert_eq!(server.stop().0.code(), Some(0), "{model}");
        assert!(!workers.iter().any(|pid| fs::exists(format!("/proc/{pid}")).unwrap()), "{model}");
    }
}

/// A worker that is killed is replaced, and so is one that is asked to go; the others keep the socket meanwhile.
#[test]
fn a_worker_that_ends_is_replaced() {
    for model in SUPERVISED {
        let server = start(model, &[]);
        for signal in ["-KILL", "-TERM"] {
            let before = all_workers(&server);
            let victim = *before.first().unwrap();
            kill(signal, victim);
            let after = eventually("a new worker", || {
                Some(children(server.pid())).filter(|now| now.len() == 3 && !now.contains(&victim))
            });
            assert_eq!(after.difference(&before).count(), 1, "{model}");
            for _ in 0..20 {
                assert!(server.get("/plaintext").ends_with("Hello, World!"), "{model}");
            }
        }
        assert_eq!(server.stop().0.code(), Some(0), "{model}");
    }
}

/// Workers do not outlive a master that is killed and cannot tell them.
#[test]
fn workers_end_with_their_master() {
    for model in [Model::Prefork, Model::PreforkThreads, Model::Reuseport, Model::ForkPerConnection] {
        let server = start(model, &[]);
        let _open = server.connect();
        let workers = eventually("workers", || Some(children(server.pid())).filter(|all| !all.is_empty()));
        drop(server);
        eventually("the end of the workers", || {
            let alive = |pid: &u32| {
                let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                stat.contains("demo-servers") && !stat.contains(") Z ")
            };
            (!workers.iter().any(alive)).then_some(())
        });
    }
}

/// Each connection has a process of its own, for all its requests, and nothing is left of it afterwards.
#[test]
fn a_process_for_each_connection_and_no_zombies() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("truth");
    let server = start(Model::ForkPerConnection, &["--truth", &path.display().to_string()]);
    for _ in 0..20 {
        let stream = server.connect();
        ask(&stream, "/plaintext");
        ask(&stream, "/json");
    }
    eventually("no child", || children(server.pid()).is_empty().then_some(()));
    let master = server.pid().cast_signed();
    let all = records(&path);
    let by = |route| all.iter().filter(|r| r.route == route).map(|r| (r.port, r.tid)).collect::<HashSet<_>>();
    let processes: HashSet<_> = all.iter().map(|record| record.tid).collect();
    assert_eq!((all.len(), processes.len()), (40, 20));
    assert_eq!(by("/plaintext"), by("/json"));
    assert!(!processes.contains(&master));
    assert_eq!(server.stop().0.code(), Some(0));
}

/// A port that is taken is one clear error of the master, without a worker.
#[test]
fn a_port_that_is_taken_is_an_error() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for model in [Model::Prefork, Model::Reuseport, Model::ForkPerConnection] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_demo-servers"))
            .args(["serve", model.id(), "--port", &port])
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code() == Some(1) && error.contains("choose a free --port"),
            "{model}: {error}"
        );
    }
}

/// Workers that cannot work are not started over and over.
#[test]
fn a_worker_that_cannot_start_ends_the_server() {
    for model in SUPERVISED {
        let mut server = std::process::Command::new(env!("CARGO_BIN_EXE_demo-servers"))
            .args(["serve", model.id(), "--truth", "/nowhere/truth"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let status = eventually("the end", || server.try_wait().unwrap());
        assert_eq!(status.code(), Some(1), "{model}");
    }
}
