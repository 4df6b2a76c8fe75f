//! One model under a load of known requests, watched.

use std::path::Path;

use demo_servers::Model;
use demo_servers::clock::MonotonicNs;
use demo_servers::truth::Record;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::Serialize;
use whywait::clock::Request;
use whywait::units::Ns;

use super::{accuracy::Accuracy, log::RequestLog};
use crate::demo::{DemoServer, Load};

/// Connections that are kept open, and threads or processes to serve them: where one of those serves one connection until its
/// end, no connection may wait for a free one.
const CONNECTIONS: u16 = 4;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct PlantedRoute {
    /// The path, as the server and whywait name the route.
    pub path: &'static str,
    /// Its parameters: what is planted.
    pub query: &'static str,
    /// Requests a second: what one thread serves half of its time.
    pub rate: u32,
}

/// Every route of the reference servers.
pub const ROUTES: [PlantedRoute; 10] = [
    PlantedRoute { path: "/plaintext", query: "", rate: 100 },
    PlantedRoute { path: "/json", query: "", rate: 100 },
    PlantedRoute { path: "/cpu", query: "us=3000", rate: 60 },
    PlantedRoute { path: "/sleep", query: "ms=10", rate: 50 },
    PlantedRoute { path: "/lock", query: "us=6000", rate: 50 },
    PlantedRoute { path: "/disk", query: "bytes=262144", rate: 30 },
    PlantedRoute { path: "/downstream", query: "ms=10", rate: 50 },
    PlantedRoute { path: "/alloc", query: "bytes=1048576", rate: 60 },
    PlantedRoute { path: "/cached", query: "key=one", rate: 100 },
    PlantedRoute { path: "/mix", query: "", rate: 150 },
];

/// One model and one route.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    /// The model's name on the command line.
    pub model: &'static str,
    /// The route's path.
    pub route: &'static str,
    /// How well the two sides agree.
    pub accuracy: Accuracy,
}

/// Asks a server of this model for one route after the other, for so many seconds each, and compares what whywait found with what
/// the server says.
pub fn measure(model: Model, routes: &[PlantedRoute], seconds: u32) -> Vec<Cell> {
    let own = std::env::current_exe().expect("knowing where the test program is");
    // The build directory is on a disk where the directory for temporary files may be memory.
    let beside = own.parent().expect("a program lies in a directory");
    let dir = tempfile::tempdir_in(beside).expect("making a directory");
    let truth = dir.path().join("truth");
    let upstream = on(Side::Client, DemoServer::upstream);
    let count = CONNECTIONS.to_string();
    let args = [
        ["--upstream", &upstream.address().to_string()],
        ["--truth", text(&truth)],
        ["--dir", text(dir.path())],
        ["--threads", &count],
        ["--workers", &count],
    ];
    let server = on(Side::Server, || DemoServer::start(model.id(), args.as_flattened()));
    let log = on(Side::Client, || RequestLog::on(server.pid()));
    let asked: Vec<Asked> = routes.iter().map(|route| ask(&server, model, route, seconds)).collect();
    let found = log.stop();
    let records = server.stop_for_truth(&truth);
    let ends = asked.iter().skip(1).map(|next| next.began).chain([Ns(u64::MAX)]);
    let cells = asked.iter().zip(ends).map(|(asked, end)| {
        let path = asked.route.path;
        let records: Vec<Record> = records.iter().filter(|record| record.route == path).cloned().collect();
        let within = |request: &&Request| (asked.began..end).contains(&request.first_read);
        let found: Vec<Request> = found.iter().filter(within).cloned().collect();
        Cell { model: model.id(), route: path, accuracy: Accuracy::of(asked.answered, &records, &found) }
    });
    cells.collect()
}

/// A route that has been asked for.
struct Asked<'a> {
    route: &'a PlantedRoute,
    /// Before the first request.
    began: Ns,
    /// Requests that were answered.
    answered: u64,
}

/// Makes the load.
fn ask<'a>(server: &DemoServer, model: Model, route: &'a PlantedRoute, seconds: u32) -> Asked<'a> {
    let PlantedRoute { path, query, rate } = route;
    // It serves one connection until that closes.
    let connections = if model == Model::Iterative { 1 } else { CONNECTIONS };
    let load = Load::new(server.url(&format!("{path}?{query}")), *rate, seconds);
    let load = load.connections(connections).poisson();
    let began = Ns(MonotonicNs::now().0);
    let answered = on(Side::Client, || load.run().requests);
    Asked { route, began, answered }
}

/// Who gets which CPUs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    /// All but the last one.
    Server,
    /// The last one.
    Client,
}

/// Runs something, and lets what it starts run, on the CPUs of one side. A client that an answer wakes on the server's CPU runs at
/// once, before the server's write has returned to the server: the server would take the client's time for its own. With one CPU there
/// is no choice. For the same reason nobody takes the CPU from a thread of the server, not even another one of its own, where
/// this process may have that.
fn on<T>(side: Side, what: impl FnOnce() -> T) -> T {
    let all = sched_getaffinity(None).expect("knowing the CPUs");
    let mut cpus: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| all.is_set(*cpu)).collect();
    if let Some(last) = cpus.pop_if(|_| all.count() > 1)
        && side == Side::Client
    {
        cpus = vec![last];
    }
    let mut set = CpuSet::new();
    for cpu in cpus {
        set.set(cpu);
    }
    // What is started inherits the CPUs of this thread.
    sched_setaffinity(None, &set).expect("choosing CPUs");
    let uninterrupted = side == Side::Server && policy(libc::SCHED_FIFO);
    let result = what();
    if uninterrupted {
        assert!(policy(libc::SCHED_OTHER), "going back to the usual policy");
    }
    sched_setaffinity(None, &all).expect("choosing CPUs");
    result
}

/// Makes this thread, and what it starts from now on, run under a policy of sched(7). Returns whether that is allowed.
#[expect(unsafe_code, reason = "nobody wraps the policy of a thread")]
fn policy(policy: i32) -> bool {
    let priority = libc::sched_param { sched_priority: i32::from(policy == libc::SCHED_FIFO) };
    // SAFETY: the call reads the parameter and changes nothing but this thread's policy.
    unsafe { libc::sched_setscheduler(0, policy, &raw const priority) == 0 }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in text")
}
