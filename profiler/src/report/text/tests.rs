//! The whole text of three runs, word for word.

use super::*;
use crate::{
    clock::State,
    explain::{Finding, Gain, Id},
    fingerprint::{Lag, Little, Loop, ModelId, Worker},
    report::counters::{Counters, Delays},
    report::cpu::Cpu,
    report::explanation::{
        AtOnce, Breakdown, Breakdowns, Group, Latency, Lost, Model, Overhead, PerRequest, Requests, Target,
        ThreadUse, Without,
    },
    report::locks::Locks,
    report::stacks::{Profile, Stack, Stacks, Taken},
    units::{Pid, Tid},
};

fn text(explanation: &Explanation) -> String {
    let mut out = Vec::new();
    write_text(explanation, Palette::PLAIN, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn times(of: &[(State, f64)]) -> Breakdown {
    let time = |state| of.iter().find(|(other, _)| *other == state).map_or(0.0, |(_, time)| *time);
    Breakdown(State::ALL.into_iter().map(|state| (state, time(state))).collect())
}

fn latency(mean: f64) -> Latency {
    Latency { mean, p50: mean / 2.0, p90: mean * 2.0, p99: mean * 20.0, p999: mean * 26.0, max: mean * 30.0 }
}

fn group(name: &str, count: u64, of: &[(State, f64)]) -> Group {
    let mean = of.iter().map(|(_, time)| time).sum();
    Group { name: name.to_owned(), count, latency_us: latency(mean), mean: times(of) }
}

fn thread(tid: u32, on_cpu_us: f64) -> ThreadUse {
    let name = "nginx".to_owned();
    ThreadUse {
        tid,
        pid: tid,
        name,
        voluntary: 1,
        involuntary: 0,
        migrations: 0,
        on_cpu_us,
        run_queue_us: 0.0,
    }
}

/// A server with nothing to do.
fn idle() -> Explanation {
    Explanation {
        missing: Vec::new(),
        schema: "whywait.explain/1",
        target: Target { pids: vec![4496], command: "nginx".to_owned(), ports: vec![8080] },
        window_s: 3.0,
        requests: Requests {
            count: 0,
            per_second: 0.0,
            latency_us: latency(0.0),
            unanswered: 0,
            in_flight: 0,
            without_arrival: 0,
        },
        concurrency: AtOnce { mean: 0.0, max: 0 },
        parallelism: AtOnce { mean: 0.0, max: 0 },
        model: Model {
            id: ModelId::Unknown,
            confidence: 0.0,
            processes: 1,
            threads: 1,
            evidence: Vec::new(),
            roles: Vec::new(),
            pool: None,
            loops: Vec::new(),
            workers: Vec::new(),
        },
        series: Vec::new(),
        little: None,
        breakdown_us: Breakdowns { mean: times(&[]), p99: times(&[]) },
        per_request: PerRequest {
            context_switches: 0.0,
            involuntary_switches: 0.0,
            system_calls: 0.0,
            threads_created: 0.0,
            processes_created: 0.0,
            migrations: 0.0,
        },
        findings: Vec::new(),
        lost: Lost {
            events: 0,
            requests: 0,
            by_kind: std::collections::BTreeMap::new(),
            missing: 0,
            late: 0,
        },
        overhead: Overhead { bpf_ns_per_event: 0.0, events: 4, cpu_percent: 0.5, bpf_cpu_percent: 0.0 },
        routes: Vec::new(),
        processes: Vec::new(),
        cpu: Cpu::default(),
        counters: Counters {
            run_queue: Delays { count: 0, p50_us: 0.0, p99_us: 0.0, max_us: 0.0 },
            futexes: Vec::new(),
            kernel_locks: Vec::new(),
            system_calls: Vec::new(),
        },
        locks: Locks::default(),
        threads: vec![thread(4496, 12.0), thread(4497, 0.0)],
        stacks: Stacks {
            taken: Taken { off_cpu: 0, on_cpu: 0, wakers: 0 },
            lost_share: 0.0,
            too_deep_share: 0.0,
            profiles: Vec::new(),
            wakers: Vec::new(),
        },
        without: Vec::new(),
        sockets_by: "socket_tracepoints",
        target_ended: false,
    }
}

/// Two processes, of which one does most.
fn prefork() -> Model {
    let worker = |pid, accepted, useless_wakeups, requests| Worker {
        pid: Pid(pid),
        threads: 1,
        accepted,
        useless_wakeups,
        requests,
        busy: 0.5,
    };
    Model {
        id: ModelId::Prefork,
        confidence: 0.95,
        processes: 3,
        threads: 3,
        evidence: vec![
            "2 processes serve 48,409 requests: each is one event loop".to_owned(),
            "they accepted 16 connections themselves".to_owned(),
        ],
        loops: vec![Loop {
            tid: Tid(4497),
            pid: Pid(4497),
            busy: 0.5,
            turns_per_second: 100.0,
            requests: 43_568,
            lag_us: Lag { mean: 27.0, p99: 300.0, max: 1_700.0 },
        }],
        workers: vec![worker(4497, 12, 10, 43_568), worker(4498, 4, 2, 4_841)],
        ..idle().model
    }
}

/// A server whose requests wait for a CPU.
fn busy() -> Explanation {
    use State::{Disk, OnCpu, Other, RecvQueue, RunQueue};
    Explanation {
        missing: Vec::new(),
        target: Target { pids: vec![4496, 4497, 4498], ports: vec![8080, 8443], ..idle().target },
        requests: Requests {
            count: 48_409,
            per_second: 16_136.3,
            latency_us: latency(228.0),
            unanswered: 1,
            in_flight: 3,
            without_arrival: 0,
        },
        concurrency: AtOnce { mean: 3.68, max: 17 },
        parallelism: AtOnce { mean: 1.9, max: 2 },
        model: prefork(),
        little: Some(Little {
            in_flight: 12.0,
            rate_times_latency: 3.68,
            holds: false,
            why: "8 requests were read and not answered by the end.".to_owned(),
        }),
        breakdown_us: Breakdowns {
            mean: times(&[(RunQueue, 148.2), (OnCpu, 70.3), (RecvQueue, 9.48), (Other, 0.02)]),
            p99: times(&[(RunQueue, 5_664.0), (OnCpu, 177.0), (Disk, 59.0)]),
        },
        per_request: PerRequest {
            context_switches: 2.1,
            involuntary_switches: 0.301,
            system_calls: 9.0,
            migrations: 0.002,
            ..idle().per_request
        },
        overhead: Overhead {
            bpf_ns_per_event: 231.0,
            events: 193_636,
            cpu_percent: 15.81,
            bpf_cpu_percent: 11.5,
        },
        routes: vec![
            group("GET /plaintext", 48_000, &[(RunQueue, 150.0), (OnCpu, 70.0)]),
            group("POST /a/path/that/is/longer/than/its/column", 409, &[(RecvQueue, 1_200.0), (OnCpu, 2.0)]),
        ],
        processes: vec![group("4497", 48_409, &[(RunQueue, 148.2), (OnCpu, 70.3)])],
        ..idle()
    }
}

/// Only main states have their stacks told, only stacks that are worth it, and what is not known is said.
#[test]
fn stacks_are_told_of_the_main_states() {
    let stack = |share, brief: &str, wait| Stack {
        time_us: 0.0,
        share,
        brief: brief.to_owned(),
        wait,
        end: "root",
        frames: Vec::new(),
    };
    let profile = |state, time_us, stacks| Profile { state, route: None, time_us, without_us: 0.0, stacks };
    let stacks = Stacks {
        lost_share: 0.25,
        profiles: vec![
            profile(
                "lock",
                5e6,
                vec![
                    stack(0.6, "serve < main", Some("gil")),
                    stack(0.3, "log", None),
                    stack(0.01, "rare", None),
                ],
            ),
            profile("disk", 1e3, vec![stack(1.0, "small", None)]),
        ],
        ..idle().stacks
    };
    let text = text(&Explanation { stacks, ..busy() });
    let told = "
In the code           the program's innermost function < its callers
lock            60 %  serve < main [gil]
                30 %  log
";
    assert!(text.contains(told), "{text}");
    assert!(!text.contains("small") && !text.contains("rare"), "{text}");
    assert!(text.contains("25 % of the time with stacks is in stacks whose callers"), "{text}");
}

/// What proves the answer about [`busy`].
const PROOF: &str = "\
A request spends its time                   all requests (mean)        the slowest 1 %
waiting for a CPU              run_queue     148 µs   65 % ██████▌     5.66 ms   96 % █████████▋
running on a CPU               on_cpu       70.3 µs   31 % ███▏         177 µs  3.0 % ▎
waiting to be read             recv_queue   9.48 µs  4.2 % ▍              0 µs    0 %
waiting for the disk           disk            0 µs    0 %             59.0 µs  1.0 % ▏

Latency     mean 228 µs, p50 114 µs, p90 456 µs, p99 4.56 ms, p99.9 5.93 ms, max 6.84 ms
At once     3.68 requests in flight in the mean, 17 at most (concurrency); 1.90 threads on a CPU in
            the mean, 2 at most (parallelism), of 3 threads in 3 processes
Model       processes that share the listening socket (prefork, 95 % sure): 2 processes serve 48,409
            requests: each is one event loop; they accepted 16 connections themselves
Loop        busy for 50 % of the time; a request waits 27.0 µs for it in the mean, 300 µs at p99,
            1.70 ms at most
Processes   the busiest of 2 served 90 % of the requests; they were woken 12 times for nothing,
            beside 16 connections that they accepted
Check       12.0 requests in flight, and 3.68 by rate times latency (Little's law): 8 requests were
            read and not answered by the end.
Each costs  2.10 context switches (0.30 of them lost the CPU to another thread), 9.00 system calls,
            <0.01 moves to another CPU

";

#[test]
fn a_busy_server_is_explained_with_the_answer_first() {
    let expected = [
        "\
nginx (4496 and 2 more, ports 8080 and 8443): 48,409 requests in 3.0 s; a request takes 228 µs, of
which 65 % is waiting for a CPU. The slowest 1 % take 5.90 ms, 96 % of it waiting for a CPU.

",
        PROOF,
        "\
By route                       requests     mean      p99  mostly
GET /plaintext                   48,000   220 µs  4.40 ms  run_queue 68 %, on_cpu 32 %
POST /a/path/that/is/longer…        409  1.20 ms  24.0 ms  recv_queue 100 %

By process                     requests     mean      p99  mostly
4497                             48,409   219 µs  4.37 ms  run_queue 68 %, on_cpu 32 %

Note        3 requests were not answered yet at the end, and not counted
Note        1 request was read and never answered: the client or the server went away
Lost        nothing was lost
Cost        whywait took 15.8 % of one CPU, of which 11.5 % were its probes in the kernel (231 ns a
            run); it read 193,636 records
",
    ]
    .concat();
    assert_eq!(text(&busy()), expected);
}

#[test]
fn a_run_without_requests_says_why_that_may_be() {
    let expected = "\
nginx (4496, port 8080): no request was answered in 3.0 s.

It listens on port 8080, and nothing was asked of it in that time: send requests while whywait
watches, or watch longer, with --duration.
1 thread of it ran. If it was busy with requests, they went to a process that is not watched, or
came on connections that were open before: those count from their first complete request on.

Lost        nothing was lost
Cost        whywait took 0.5 % of one CPU, without its probes in the kernel, whose time was not
            measured (that takes CAP_SYS_ADMIN, and a longer run); it read 4 records
";
    assert_eq!(text(&idle()), expected);
}

#[test]
fn losses_stand_right_below_the_answer() {
    let mut lossy = busy();
    let by_kind = [("socket".to_owned(), 1_000), ("switch".to_owned(), 234)].into();
    lossy.lost = Lost { events: 1_234, requests: 56, by_kind, missing: 1, late: 2 };
    lossy.routes.clear();
    lossy.processes.clear();
    lossy.requests.unanswered = 0;
    lossy.requests.in_flight = 0;
    lossy.requests.without_arrival = 40;
    lossy.target_ended = true;
    lossy.without = vec![Without {
        hook: "sys_exit_accept".to_owned(),
        lost: "the moment of accept".to_owned(),
        why: "tracefs not found".to_owned(),
    }];
    let expected = [
        "\
nginx (4496 and 2 more, ports 8080 and 8443): 48,409 requests in 3.0 s; a request takes 228 µs, of
which 65 % is waiting for a CPU. The slowest 1 % take 5.90 ms, 96 % of it waiting for a CPU.
LOST: 1,234 records (socket 1,000, switch 234) did not reach whywait; 56 requests may be wrong
because of it. A larger --buffer, or a CPU for whywait, helps.
LOST: 1 record is missing by number.
OUT OF ORDER: 2 records came too late to be put in order.

",
        PROOF,
        "\
Note        the server ended after 3.0 s
Note        40 requests begin with the first read: when they arrived is not known, so what they
            waited before is missing
Without     the moment of accept (sys_exit_accept: tracefs not found)
Cost        whywait took 15.8 % of one CPU, of which 11.5 % were its probes in the kernel (231 ns a
            run); it read 193,636 records
",
    ]
    .concat();
    assert_eq!(text(&lossy), expected);
}

/// One request, a state of which two thirds of nothing can be said, and a target without ports.
#[test]
fn small_numbers_are_said_in_the_singular() {
    let mut one = busy();
    one.requests.count = 1;
    one.breakdown_us.mean = times(&[(State::Lock, 50.0), (State::OnCpu, 50.0)]);
    one.target = Target { pids: vec![7], ports: Vec::new(), command: "a\x1b[2Jb".to_owned() };
    let text = text(&one);
    let first =
        "a\u{fffd}[2Jb (7): 1 request in 3.0 s; it took 228 µs, of which 50 % is running on a CPU and 50 %";
    assert!(text.starts_with(first), "{text}");
    assert!(text.contains("the slowest one"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= layout::WIDTH), "{text}");
}

/// Where no port is seen, the remedy names the way to find one.
#[test]
fn a_target_without_ports_is_told_how_to_be_found() {
    let mut hidden = idle();
    hidden.target.ports.clear();
    assert!(text(&hidden).contains("--port N finds who listens"), "{}", text(&hidden));
    hidden.requests.in_flight = 2;
    assert!(text(&hidden).contains("2 requests were read and are not answered yet"), "{}", text(&hidden));
}

/// What kernel events cannot tell is said, where it is more than a little.
#[test]
fn time_of_which_nothing_is_known_is_said_to_be_so() {
    let mut pool = busy();
    assert!(!text(&pool).contains("no thread was seen"), "{}", text(&pool));
    pool.breakdown_us.mean = times(&[(State::AppQueue, 60.0), (State::OnCpu, 140.0)]);
    assert!(
        text(&pool).contains("for 30 % of the time no thread was seen to work on the"),
        "{}",
        text(&pool)
    );
}

/// Workers that wait for another service, and what they wait for.
fn causes() -> Vec<Finding> {
    let finding = |id, share, confidence, summary: &str, advice: &str| Finding {
        id,
        share,
        share_of_all: share / 2.0,
        confidence,
        gain: None,
        summary: summary.to_owned(),
        evidence: serde_json::Map::new(),
        advice: advice.to_owned(),
    };
    let gain = Gain {
        mean_us: 3_100.0,
        p50_us: 3_000.0,
        p99_us: 3_100.0,
        mean_now_us: 9_000.0,
        p99_now_us: 9_800.0,
    };
    let first = "92 % of the time of the slowest requests (36.8 ms each) is waiting for one of 2 workers; while busy, the workers spend \
                 96 % in downstream 127.0.0.1:5432.";
    vec![
        Finding { gain: Some(gain), ..finding(Id::WorkersExhausted, 0.92, 0.9, first, "Use more workers.") },
        finding(Id::DownstreamSlow, 0.2, 0.5, "It waits.", "Look there."),
    ]
}

#[test]
fn a_cause_is_the_answer_and_what_to_do_stands_below_the_proof() {
    let mut caused = busy();
    caused.findings = causes();
    let text = text(&caused);
    let (before, rest) = text.split_once("A request spends its time").unwrap();
    assert_eq!(
        before,
        "\
nginx (4496 and 2 more, ports 8080 and 8443): 48,409 requests in 3.0 s; a request takes 228 µs, the
slowest 1 % 5.90 ms. 92 % of the time of the slowest requests (36.8 ms each) is waiting for one of 2
workers; while busy, the workers spend 96 % in downstream 127.0.0.1:5432.

"
    );
    let expected = "
Cause       workers_exhausted explains 92 % of the time of the slowest 10 %, 46 % of all
            Without it the mean would be about 3.10 ms instead of 9.00 ms, and p99 3.10 ms instead
            of 9.80 ms.
Do          Use more workers.
Also        downstream_slow explains 20 % of the time of the slowest 10 %, 10 % of all (50 % sure)
            It waits.
Do          Look there.

Latency ";
    assert!(rest.contains(expected), "{rest}");
    assert!(text.lines().all(|line| line.chars().count() <= layout::WIDTH), "{text}");
}
