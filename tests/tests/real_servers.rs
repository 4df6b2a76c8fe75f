//! Servers of other people, started from their packages: requests found equal the client's count, exactly, with nothing lost, and the
//! concurrency model is the one that the server's own documents say it has.
//!
//! Over HTTP the client is the load generator of `demo-servers`: it counts complete answers, and its connections carry
//! nothing else. It offers 2,000 requests at a fixed rate; a server that cannot hold it answers fewer, and exactly those must
//! be found. The other clients count what they asked for, not how they got there; each test says what they add.

use std::time::Duration;

use whywait_tests::{
    Client, Executor, Load, Mpm, NodeApp, Pgbench, RealServer, RedisBenchmark, Whywait, apache, gunicorn,
    java, kernel_test, measure, nginx, node, postgres, redis, requests,
};

/// Seconds in which the requests are offered.
const FAST: u32 = 1;
/// For servers that do more for a request.
const SLOW: u32 = 2;
const REQUESTS: u32 = 2000;
const CONNECTIONS: u16 = 16;
/// How long after the connection some clients send.
const LATE: Duration = Duration::from_millis(5);

fn http(server: Option<RealServer>, model: &str, seconds: u32, shape: impl FnOnce(Load) -> Load) {
    let Some(server) = server else { return };
    let load = Load::new(server.url(), REQUESTS / seconds, seconds).connections(CONNECTIONS);
    let report = measure(server.pid(), &shape(load));
    let route = report.route("GET /").expect("the route is named");
    assert_eq!(route.count, report.requests.count, "requests of the only route");
    report.assert_model(model);
}

/// Several processes that share the listening socket; this worker knows no keep-alive.
#[test]
fn gunicorn_sync() {
    let Some(_serial) = kernel_test() else { return };
    http(gunicorn(&["--workers", "2", "--worker-class", "sync", "app:wsgi"]), "prefork", SLOW, Load::close);
}

/// Threads under an interpreter lock, which take connections from one that waits for them.
#[test]
fn gunicorn_gthread() {
    let Some(_serial) = kernel_test() else { return };
    http(
        gunicorn(&["--worker-class", "gthread", "--threads", "4", "app:wsgi"]),
        "prefork_threads",
        SLOW,
        |load| load,
    );
}

/// The same threads wait, each for itself, for the first bytes of clients that do not send at once, as none does over a network.
#[test]
fn gunicorn_gthread_and_clients_that_send_late() {
    let Some(_serial) = kernel_test() else { return };
    let Some(server) = gunicorn(&["--worker-class", "gthread", "--threads", "4", "app:wsgi"]) else { return };
    let whywait = Whywait::on(server.pid());
    let address = server.url().trim_start_matches("http://").trim_end_matches('/').to_owned();
    let each = requests(160) / 4;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..each {
                    let mut client = Client::connect(&address);
                    std::thread::sleep(LATE);
                    client.ask("/");
                }
            });
        }
    });
    let report = whywait.stop();
    report.assert_exactly(4 * each);
    report.assert_model("prefork_threads");
}

/// A coroutine for each connection, all on one thread; head and body are two writes.
#[test]
fn gunicorn_gevent() {
    let Some(_serial) = kernel_test() else { return };
    http(gunicorn(&["--worker-class", "gevent", "app:wsgi"]), "green_threads", SLOW, |load| load);
}

/// An event loop in each of two processes; head and body are two writes.
#[test]
fn gunicorn_with_uvicorn_workers() {
    let Some(_serial) = kernel_test() else { return };
    let class = "uvicorn_worker.UvicornWorker";
    http(gunicorn(&["--workers", "2", "--worker-class", class, "app:asgi"]), "prefork", FAST, |load| load);
}

#[test]
fn node_js() {
    let Some(_serial) = kernel_test() else { return };
    http(node(NodeApp::Plain), "event_loop", SLOW, |load| load);
}

/// Each request goes through libuv's thread pool, which is busy.
#[test]
fn node_js_with_its_thread_pool_busy() {
    let Some(_serial) = kernel_test() else { return };
    http(node(NodeApp::Pool), "event_loop_with_pool", SLOW, |load| load);
}

/// The first process accepts the connections and passes them to two others.
#[test]
fn node_js_cluster() {
    let Some(_serial) = kernel_test() else { return };
    http(node(NodeApp::Cluster), "prefork", SLOW, |load| load);
}

#[test]
fn node_js_cluster_with_a_connection_for_each_request() {
    let Some(_serial) = kernel_test() else { return };
    http(node(NodeApp::Cluster), "prefork", SLOW, Load::close);
}

/// One thread waits for all connections and gives each readable one to the pool.
#[test]
fn java_on_a_fixed_pool() {
    let Some(_serial) = kernel_test() else { return };
    http(java(Executor::FixedPool), "thread_pool", SLOW, |load| load);
}

/// The thread that answers is born for the request and ends with it.
#[test]
fn java_with_a_thread_for_each_request() {
    let Some(_serial) = kernel_test() else { return };
    http(java(Executor::ThreadPerRequest), "thread_per_request", SLOW, |load| load);
}

#[test]
fn nginx_keep_alive() {
    let Some(_serial) = kernel_test() else { return };
    http(nginx(), "prefork", FAST, |load| load);
}

#[test]
fn nginx_with_a_connection_for_each_request() {
    let Some(_serial) = kernel_test() else { return };
    http(nginx(), "prefork", FAST, Load::close);
}

#[test]
fn apache_prefork() {
    let Some(_serial) = kernel_test() else { return };
    http(apache(Mpm::Prefork), "prefork", FAST, |load| load);
}

#[test]
fn apache_worker() {
    let Some(_serial) = kernel_test() else { return };
    http(apache(Mpm::Worker), "prefork_threads", FAST, |load| load);
}

#[test]
fn apache_event() {
    let Some(_serial) = kernel_test() else { return };
    http(apache(Mpm::Event), "prefork_threads", FAST, |load| load);
}

/// Runs pgbench, which counts transactions; with `--select-only` each is one statement, thus one turn.
///
/// It adds, on each connection, two turns at the start (the question whether the server encrypts, which is answered by one
/// byte and not asked over a Unix socket; the start-up packet, which is answered by "authenticated, ready") and a farewell at the end, which
/// nobody answers.
/// Before the clients' connections it has one of its own, on which it asks two questions: how many branches there are, which
/// is the scale, and whether the accounts are partitioned.
fn postgresql_under(load: &Pgbench) {
    let Some(server) = postgres() else { return };
    let whywait = Whywait::on(server.pid());
    let transactions = server.run(load);
    let report = whywait.stop();
    assert_eq!(transactions, load.clients * load.transactions, "transactions that pgbench processed");
    let connections = 1 + if load.reconnect { transactions } else { load.clients };
    let opening = if load.unix_socket { 1 } else { 2 };
    let found = &report.requests;
    println!("{transactions} transactions, {connections} connections, {} turns found", found.count);
    assert_eq!(
        (found.count, found.unanswered, found.in_flight),
        (transactions + opening * connections + 2, connections, 0),
        "requests found, unanswered, in flight; lost {:?}",
        report.lost
    );
    report.assert_nothing_lost();
    report.assert_model("process_per_connection");
}

/// A process for each of eight connections.
#[test]
fn postgresql_under_pgbench() {
    let Some(_serial) = kernel_test() else { return };
    postgresql_under(&Pgbench {
        clients: 8,
        transactions: requests(3000) / 8,
        reconnect: false,
        unix_socket: false,
    });
}

/// A process for each transaction.
#[test]
fn postgresql_under_pgbench_with_a_connection_for_each_transaction() {
    let Some(_serial) = kernel_test() else { return };
    postgresql_under(&Pgbench {
        clients: 4,
        transactions: requests(200) / 4,
        reconnect: true,
        unix_socket: false,
    });
}

/// The same over the Unix socket, of whose end the kernel tells nothing.
#[test]
fn postgresql_under_pgbench_over_its_unix_socket() {
    let Some(_serial) = kernel_test() else { return };
    postgresql_under(&Pgbench {
        clients: 4,
        transactions: requests(400) / 4,
        reconnect: false,
        unix_socket: true,
    });
}

/// Runs redis-benchmark, which counts commands, and checks that so many turns were found; it starts with one turn more, on a
/// connection of its own: it asks at once for the settings `save` and `appendonly`, which it prints with the result.
fn redis_under(shape: impl FnOnce(&mut RedisBenchmark)) {
    let Some(server) = redis() else { return };
    let Some(mut load) = RedisBenchmark::new(requests(5000), CONNECTIONS) else { return };
    shape(&mut load);
    let whywait = Whywait::on(server.pid());
    let commands = load.run(&server);
    let report = whywait.stop();
    println!("{commands} commands completed, {} turns found", report.requests.count);
    assert_eq!(commands, load.commands, "commands that redis-benchmark completed");
    report.assert_exactly(commands / u64::from(load.pipeline) + 1);
    report.assert_model("event_loop");
}

/// One command is one turn.
#[test]
fn redis_under_redis_benchmark() {
    let Some(_serial) = kernel_test() else { return };
    redis_under(|_| {});
}

/// Commands that are sent at once are read at once and answered at once: they are one turn.
#[test]
fn redis_under_redis_benchmark_with_pipelining() {
    let Some(_serial) = kernel_test() else { return };
    redis_under(|load| {
        load.pipeline = 10;
        load.commands -= load.commands % 10;
    });
}
