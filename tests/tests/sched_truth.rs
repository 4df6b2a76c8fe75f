//! Switches and times of each thread are those that the kernel itself counts.
//!
//! `/proc` is read in quiet moments: before whywait attaches and after the load, with every thread of the server waiting and
//! the client's connections still open, so that no thread has ended. What a hypervisor took meanwhile (nothing, on a machine of
//! one's own) may have been taken from any of the threads.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use whywait_tests::{
    Client, DemoServer, Report, SchedTimes, Switches, Whywait, kernel_test, requests, sched_times, slow,
    stolen_us, switches, thread_ids, wait_until,
};

/// Times agree within this share, or this many microseconds.
const SHARE: f64 = 0.01;
const LEAST_US: f64 = 200.0;
/// On an emulated machine the kernel's time stamp and that of the program after it are a hundred times further apart.
const SHARE_WHERE_SLOW: f64 = 0.03;

type Counters = BTreeMap<u32, (Switches, SchedTimes)>;

/// The counters of all threads, once none of them changes any more.
fn when_quiet(pid: u32) -> Counters {
    let read = || -> Counters {
        thread_ids(pid).into_iter().map(|tid| (tid, (switches(pid, tid), sched_times(pid, tid)))).collect()
    };
    let mut last = read();
    let quiet = wait_until(Duration::from_secs(10), || {
        thread::sleep(Duration::from_millis(50));
        let now = read();
        std::mem::replace(&mut last, now.clone()) == now
    });
    assert!(quiet, "the server is never idle");
    last
}

/// Several connections at once: waits, and more computing than there are CPUs, so that threads are preempted.
fn load(address: &str, connections: usize) {
    let rounds = requests(40);
    let mut clients: Vec<Client> = (0..connections).map(|_| Client::connect(address)).collect();
    thread::scope(|scope| {
        for client in &mut clients {
            scope.spawn(move || {
                for _ in 0..rounds {
                    for path in ["/plaintext", "/cpu?us=4000", "/sleep?ms=1", "/json"] {
                        client.ask(path);
                    }
                }
            });
        }
    });
    // Their threads must live until they have been looked at.
    KEPT.with_borrow_mut(|kept| kept.extend(clients));
}

thread_local! {
    static KEPT: std::cell::RefCell<Vec<Client>> = const { std::cell::RefCell::new(Vec::new()) };
}

fn compare(report: &Report, pid: u32, before: &Counters, after: &Counters, stolen: f64) {
    report.assert_nothing_lost();
    let share = if slow() { SHARE_WHERE_SLOW } else { SHARE };
    let mut busy = 0;
    for (tid, (switches, times)) in after {
        let (old_switches, old_times) = before.get(tid).copied().unwrap_or_default();
        let voluntary = switches.voluntary - old_switches.voluntary;
        let involuntary = switches.involuntary - old_switches.involuntary;
        let on_cpu = (times.on_cpu - old_times.on_cpu) as f64 / 1e3;
        let run_queue = (times.run_queue - old_times.run_queue) as f64 / 1e3;
        let Some(found) = report.threads.iter().find(|thread| thread.tid == *tid) else {
            assert_eq!((voluntary, involuntary), (0, 0), "thread {tid} switched, but is not in the report");
            continue;
        };
        assert_eq!(found.pid, pid, "the process of thread {tid}");
        let name = &found.name;
        println!(
            "{name} ({tid}): kernel {voluntary} + {involuntary} switches, {on_cpu:.0} + {run_queue:.0} µs; found {} + {}, {:.0} + {:.0}",
            found.voluntary, found.involuntary, found.on_cpu_us, found.run_queue_us
        );
        assert_eq!(
            (found.voluntary, found.involuntary),
            (voluntary, involuntary),
            "voluntary and involuntary switches of {name} ({tid})"
        );
        for (what, found, truth) in
            [("on-CPU", found.on_cpu_us, on_cpu), ("run-queue", found.run_queue_us, run_queue)]
        {
            let error = (truth * share).max(LEAST_US);
            assert!(
                (truth - error..=truth + error + stolen).contains(&found),
                "{what} time of {name} ({tid}): {found} µs, really {truth} µs, and {stolen} µs stolen"
            );
        }
        busy += u32::from(on_cpu > 1000.0);
    }
    assert!(busy > 0, "no thread did anything");
}

fn server(model: &str, connections: usize) {
    let Some(_serial) = kernel_test() else { return };
    let server = DemoServer::start(model, &["--idle-timeout", "600"]);
    let (pid, address) = (server.pid(), server.address().to_string());
    let before = when_quiet(pid);
    let stolen = stolen_us();
    let whywait = Whywait::on(pid);
    load(&address, connections);
    let after = when_quiet(pid);
    let stolen = stolen_us() - stolen;
    let report = whywait.stop();
    KEPT.take();
    report.assert_exactly(4 * requests(40) * connections as u64);
    compare(&report, pid, &before, &after, stolen);
}

#[test]
fn iterative() {
    server("iterative", 1);
}

/// Threads that are created while whywait watches.
#[test]
fn thread_per_connection() {
    server("thread-per-connection", 8);
}

#[test]
fn thread_pool() {
    server("thread-pool", 4);
}

#[test]
fn event_loop() {
    server("event-loop", 8);
}
