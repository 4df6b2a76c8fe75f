//! The concurrency model of every reference server is told from its behaviour: with kept connections and without, with
//! connections that were open before whywait attached, and with few workers.

use std::time::Duration;

use demo_servers::Model;
use whywait_tests::{
    DemoServer, Load, Report, Whywait, accept_test, kernel_test, patience, skip, slow, socket_tracepoints,
};

const CONNECTIONS: u16 = 8;
/// Requests a second.
const RATE: u32 = 300;
/// How long a load may take to have opened its connections, before whywait attaches.
const BEFORE: Duration = Duration::from_millis(500);

/// What an expert calls it.
fn expected(model: Model) -> &'static str {
    match model {
        Model::Iterative => "iterative",
        // The lock is another matter than where the threads come from.
        Model::ThreadPerConnection | Model::Gil => "thread_per_connection",
        Model::ThreadPerRequest => "thread_per_request",
        Model::ThreadPool => "thread_pool",
        // What the loop is made of, callbacks, tasks or operations of a ring, makes no difference to a request.
        Model::EventLoop | Model::AsyncSingle | Model::IoUring => "event_loop",
        Model::EventLoopPool => "event_loop_with_pool",
        Model::Async => "async_multi_thread",
        Model::GreenThreads => "green_threads",
        Model::Prefork => "prefork",
        Model::PreforkThreads => "prefork_threads",
        Model::ForkPerConnection => "process_per_connection",
        Model::Reuseport => "reuseport_shards",
    }
}

/// A path whose work shows the model: a pool behind a loop is not seen while nothing is handed to it.
fn path(model: Model) -> &'static str {
    if model == Model::EventLoopPool { "/cpu?us=200" } else { "/plaintext" }
}

fn start(model: Model, args: &[&str]) -> Option<DemoServer> {
    if let Err(missing) = model.check() {
        skip(&format!("reference server {model}"), &format!("{missing:#}"));
        return None;
    }
    if model == Model::IoUring && !socket_tracepoints() {
        println!("{model}: not to be seen on a kernel without socket tracepoints");
        return None;
    }
    Some(DemoServer::start(model.id(), args))
}

/// As many workers as connections, where a worker keeps the connection that it has: more connections would wait for ever.
const ENOUGH: &[&str] = &["--workers", "8", "--threads", "8"];
/// Also some that wait: a pool with exactly as many threads as connections looks like threads that were made for them.
const SPARE: &[&str] = &["--workers", "8", "--threads", "12"];
const FEW: &[&str] = &["--workers", "1", "--threads", "1"];

/// Connections that such a server serves at once.
fn connections(model: Model, args: &[&str]) -> u16 {
    let keeps = matches!(model, Model::ThreadPool | Model::Prefork | Model::PreforkThreads);
    if model == Model::Iterative || keeps && args == FEW { 1 } else { CONNECTIONS }
}

fn load(server: &DemoServer, model: Model, args: &[&str], seconds: u32) -> Load {
    Load::new(server.url(path(model)), RATE, seconds).connections(connections(model, args))
}

/// Watches a server from before its load to after it.
fn watched(model: Model, args: &[&str], shape: impl FnOnce(Load) -> Load) -> Option<Report> {
    let server = start(model, args)?;
    let whywait = Whywait::on(server.pid());
    shape(load(&server, model, args, 1)).run();
    Some(whywait.stop())
}

/// Whether the report names the model; told, for the models to be checked all.
fn named(model: Model, report: &Report, expected: &str) -> bool {
    let found = &report.model;
    println!("{model}: {} ({:.2}), {}", found.id, found.confidence, found.evidence.join("; "));
    found.id == expected && found.confidence > 0.5 && found.confidence < 1.0 && !found.evidence.is_empty()
}

/// Checks every model; those that are not told right are named together.
fn check_all(mut report_of: impl FnMut(Model) -> Option<Report>) {
    let wrong: Vec<&str> = Model::ALL
        .into_iter()
        .filter(|model| report_of(*model).is_some_and(|report| !named(*model, &report, expected(*model))))
        .map(Model::id)
        .collect();
    assert!(wrong.is_empty(), "models that are not told right: {wrong:?}, see above");
}

#[test]
fn with_kept_connections() {
    let Some(_serial) = accept_test() else { return };
    check_all(|model| watched(model, ENOUGH, |load| load));
}

#[test]
fn with_a_connection_for_each_request() {
    let Some(_serial) = kernel_test() else { return };
    check_all(|model| watched(model, &[], Load::close));
}

/// Nothing is accepted and nobody is born while whywait watches.
#[test]
fn with_connections_that_were_open_before() {
    let Some(_serial) = kernel_test() else { return };
    check_all(|model| {
        let server = start(model, SPARE)?;
        // Longer than it takes to attach.
        let seconds = if slow() { 20 } else { 3 };
        let load = load(&server, model, SPARE, seconds);
        std::thread::scope(|scope| {
            let load = scope.spawn(move || load.run());
            std::thread::sleep(BEFORE);
            let window = patience(Duration::from_secs(1));
            let args = ["--pid", &server.pid().to_string()];
            let report = Whywait::explain_for(window, &args).finish(window);
            load.join().expect("the load was made");
            Some(report)
        })
    });
}

/// A master with a single worker is still pre-forked, and a pool of one thread a pool. A runtime with one thread, and a single
/// shard, are plain event loops.
#[test]
fn with_few_workers() {
    let Some(_serial) = kernel_test() else { return };
    let few = [
        (Model::ThreadPool, "thread_pool"),
        (Model::EventLoopPool, "event_loop_with_pool"),
        (Model::Async, "event_loop"),
        (Model::Prefork, "prefork"),
        (Model::PreforkThreads, "prefork_threads"),
        (Model::Reuseport, "event_loop"),
    ];
    for (model, expected) in few {
        let Some(report) = watched(model, FEW, |load| load) else {
            continue;
        };
        assert!(named(model, &report, expected), "{model} with one worker is not told right, see above");
    }
}

/// Mean requests in flight are rate times latency, the parts of the window add up to its means, and busy shares are shares.
#[test]
fn figures_agree_with_one_another() {
    let Some(_serial) = accept_test() else { return };
    let server = DemoServer::start(Model::ThreadPool.id(), &["--threads", "8"]);
    let whywait = Whywait::on(server.pid());
    Load::new(server.url("/sleep?ms=20"), 200, 2).connections(CONNECTIONS).run();
    let report = whywait.stop().raw;
    let number = |path: &str| report.pointer(path).and_then(serde_json::Value::as_f64).expect(path);
    let near = |a: f64, b: f64| (a - b).abs() <= 0.05 * a.max(b) + 0.02;
    assert_eq!(report["little"]["holds"], true, "{}", report["little"]);
    assert!(near(number("/little/in_flight"), number("/concurrency/mean")), "{}", report["little"]);
    let series = report["series"].as_array().expect("a series");
    assert!((30..=60).contains(&series.len()), "{} parts", series.len());
    let mean = |name: &str| {
        series.iter().map(|point| point[name].as_f64().expect(name)).sum::<f64>() / series.len() as f64
    };
    // The last part is shorter than the others.
    let apart = (mean("concurrency") - number("/concurrency/mean")).abs();
    assert!(apart <= 0.1 * number("/concurrency/mean") + 0.02, "{apart} requests in flight apart");
    assert!((0.0..=1.0).contains(&number("/model/pool/utilisation")), "{}", report["model"]["pool"]);
    assert_eq!(report.pointer("/model/pool/workers"), Some(&serde_json::json!(8)));
    assert!(number("/model/pool/all_busy") <= number("/model/pool/utilisation"));
}
