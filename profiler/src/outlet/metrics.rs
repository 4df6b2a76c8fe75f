//! What is told of a run, as families of metrics in the sense of `OpenMetrics`: the same for every outlet.

use std::{borrow::Cow, sync::LazyLock};

use whywait_ebpf::hist;

use super::{histogram::Histogram, push::Pushed, registry::Registry};
use crate::{explain::Id as FindingId, units::Pid};

/// Powers of two of seconds that bound the classic buckets of latencies: 15 µs to a minute.
static LATENCY: LazyLock<Vec<i32>> = LazyLock::new(|| (-16..=6).collect());
/// The same for times in a state, which are told for each state of each route: every other power.
static STATE: LazyLock<Vec<i32>> = LazyLock::new(|| (-16..=4).step_by(2).collect());

/// What is known of a run beside its requests, since it began.
#[derive(Clone, Debug, Default)]
pub struct Vitals {
    /// The target's name.
    pub command: String,
    /// Its first process.
    pub pid: Option<Pid>,
    /// Ports that it listens on.
    pub ports: Vec<u16>,
    /// It runs and is watched.
    pub up: bool,
    /// Requests that are read and not answered.
    pub in_flight: usize,
    /// For how long the oldest of them has been, in nanoseconds.
    pub oldest_ns: u64,
    /// Requests that were read and never answered.
    pub unanswered: u64,
    /// Records that the kernel sent.
    pub records: u64,
    /// Records that were lost, by what they were or how.
    pub lost: Vec<(&'static str, u64)>,
    /// Records that are missing by the numbers of those that came.
    pub missing: u64,
    /// Records that came too late to be put in order.
    pub late: u64,
    /// Run-queue delays by the buckets of [`whywait_ebpf::hist`].
    pub run_queue: Vec<u64>,
    /// Waits of threads on futexes, and for kernel locks.
    pub locks: [LockTotals; 2],
    /// CPU time of whywait itself in nanoseconds.
    pub own_cpu_ns: u64,
    /// The concurrency model, where it is known.
    pub model: Option<String>,
    /// Causes that were found, each with its share; none where no window has been explained.
    pub found: Option<Vec<(FindingId, f64)>>,
}

/// Waits of threads for locks of one sort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LockTotals {
    /// Waits.
    pub count: u64,
    /// Nanoseconds waited.
    pub nanos: u64,
}

impl LockTotals {
    /// Names of the two sorts, in their order.
    pub const SORTS: [&str; 2] = ["futex", "kernel"];
}

/// Everything that is told, at a moment.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Requests.
    pub registry: Registry,
    /// The rest.
    pub vitals: Vitals,
    /// The moment, in nanoseconds since 1970.
    pub at: u64,
    /// When the run began, in nanoseconds since 1970.
    pub began: u64,
    /// What was sent to a receiver of OTLP, if there is one.
    pub pushed: Option<Pushed>,
}

/// What a family is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What only grows.
    Counter,
    /// What goes up and down.
    Gauge,
    /// Labels alone.
    Info,
    /// Times.
    Histogram,
}

/// A value.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// A number.
    Number(f64),
    /// Times, with the powers of two of seconds that bound their classic buckets.
    Times(Cow<'a, Histogram>, &'static [i32]),
}

/// Labels and their values.
pub type Labels<'a> = Vec<(&'static str, Cow<'a, str>)>;

/// One of the values of a family.
#[derive(Clone, Debug)]
pub struct Sample<'a> {
    /// By which it differs from the others.
    pub labels: Labels<'a>,
    /// What it is.
    pub value: Value<'a>,
}

/// Values of one meaning.
#[derive(Clone, Debug)]
pub struct Family<'a> {
    /// Its name, without what a format puts behind it.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub help: &'static str,
    /// What it is made of.
    pub kind: Kind,
    /// Its values.
    pub samples: Vec<Sample<'a>>,
}

impl<'a> Family<'a> {
    fn new(name: &'static str, kind: Kind, help: &'static str, samples: Vec<Sample<'a>>) -> Self {
        Self { name, help, kind, samples }
    }

    fn one(name: &'static str, kind: Kind, help: &'static str, value: f64) -> Self {
        Self::new(name, kind, help, vec![number(Vec::new(), value)])
    }

    fn info(name: &'static str, help: &'static str, labels: Labels<'a>) -> Self {
        Self::new(name, Kind::Info, help, vec![number(labels, 1.0)])
    }

    /// Whether it is in seconds, which its name then ends with.
    pub fn is_in_seconds(&self) -> bool {
        self.name.ends_with("_seconds")
    }
}

fn number(labels: Labels<'_>, value: f64) -> Sample<'_> {
    Sample { labels, value: Value::Number(value) }
}

impl Metrics {
    /// The families, in their order.
    pub fn families(&self) -> Vec<Family<'_>> {
        let mut all = self.requests();
        all.extend(self.causes());
        all.extend(self.kernel());
        all.extend(self.itself());
        all
    }

    fn requests(&self) -> Vec<Family<'_>> {
        let vitals = &self.vitals;
        let (mut counts, mut latencies, mut states) = (Vec::new(), Vec::new(), Vec::new());
        for route in self.registry.routes() {
            let name = || ("route", Cow::Borrowed(&*route.name));
            counts.push(number(vec![name()], route.latency.count() as f64));
            let times = |labels, histogram, bounds| Sample {
                labels,
                value: Value::Times(Cow::Borrowed(histogram), bounds),
            };
            latencies.push(times(vec![name()], &route.latency, LATENCY.as_slice()));
            states.extend(self.registry.states().map(|state| {
                let labels = vec![name(), ("state", Cow::Borrowed(state.id()))];
                times(labels, &route.states[state as usize], STATE.as_slice())
            }));
        }
        vec![
            Family::new("whywait_requests", Kind::Counter, "Requests that were answered.", counts),
            Family::new(
                "whywait_request_duration_seconds",
                Kind::Histogram,
                "Latency of requests, from the arrival of the first byte to the last write of the answer.",
                latencies,
            ),
            Family::new(
                "whywait_request_state_seconds",
                Kind::Histogram,
                "Time of requests in each state. The sums over all states are the sums of the latencies.",
                states,
            ),
            Family::one(
                "whywait_requests_in_flight",
                Kind::Gauge,
                "Requests that are read and not answered.",
                vitals.in_flight as f64,
            ),
            Family::one(
                "whywait_oldest_request_seconds",
                Kind::Gauge,
                "Age of the oldest request that is not answered.",
                vitals.oldest_ns as f64 / 1e9,
            ),
            Family::one(
                "whywait_requests_unanswered",
                Kind::Counter,
                "Requests that were read and never answered.",
                vitals.unanswered as f64,
            ),
            Family::one(
                "whywait_requests_touched_by_loss",
                Kind::Counter,
                "Requests that a lost record may have been about.",
                self.registry.touched_by_loss() as f64,
            ),
        ]
    }

    fn causes(&self) -> Vec<Family<'_>> {
        let mut all = Vec::new();
        if let Some(found) = &self.vitals.found {
            let share = |id| found.iter().find(|(known, _)| *known == id).map_or(0.0, |(_, share)| *share);
            let told = |value: &dyn Fn(f64) -> f64| {
                let sample = |id: FindingId| number(vec![("id", Cow::Borrowed(id.id()))], value(share(id)));
                FindingId::ALL.into_iter().map(sample).collect()
            };
            all.push(Family::new(
                "whywait_finding_share",
                Kind::Gauge,
                "Share of the time of the slowest tenth of the requests that a cause explains, 0 where it was not found.",
                told(&|share| share),
            ));
            let active = |share| f64::from(u8::from(share > 0.0));
            all.push(Family::new(
                "whywait_finding_active",
                Kind::Gauge,
                "Whether a cause was found.",
                told(&active),
            ));
        }
        if let Some(model) = &self.vitals.model {
            let labels = vec![("model", Cow::Borrowed(&**model))];
            all.push(Family::info("whywait_model", "The concurrency model.", labels));
        }
        all
    }

    fn kernel(&self) -> Vec<Family<'_>> {
        let vitals = &self.vitals;
        let lost = vitals
            .lost
            .iter()
            .map(|(kind, count)| number(vec![("kind", Cow::Borrowed(*kind))], *count as f64));
        let locks = |value: &dyn Fn(LockTotals) -> f64| {
            let sorts = LockTotals::SORTS.into_iter().zip(vitals.locks);
            sorts.map(|(sort, totals)| number(vec![("lock", Cow::Borrowed(sort))], value(totals))).collect()
        };
        vec![
            Family::new(
                "whywait_run_queue_delay_seconds",
                Kind::Histogram,
                "Waits of the target's threads for a CPU, each to within an eighth.",
                vec![Sample {
                    labels: Vec::new(),
                    value: Value::Times(Cow::Owned(delays(&vitals.run_queue)), LATENCY.as_slice()),
                }],
            ),
            Family::new(
                "whywait_lock_waits",
                Kind::Counter,
                "Waits of the target's threads for locks, whether they work for a request or not.",
                locks(&|totals| totals.count as f64),
            ),
            Family::new(
                "whywait_lock_wait_seconds",
                Kind::Counter,
                "Time that the target's threads waited for locks.",
                locks(&|totals| totals.nanos as f64 / 1e9),
            ),
            Family::one(
                "whywait_records",
                Kind::Counter,
                "Records that the kernel sent.",
                vitals.records as f64,
            ),
            Family::new(
                "whywait_lost_records",
                Kind::Counter,
                "Records that found no room in the kernel's buffer, or were lost in another way.",
                lost.collect(),
            ),
            Family::one(
                "whywait_missing_records",
                Kind::Counter,
                "Records that are missing by the numbers of those that came.",
                vitals.missing as f64,
            ),
            Family::one(
                "whywait_late_records",
                Kind::Counter,
                "Records that came too late to be put in order.",
                vitals.late as f64,
            ),
        ]
    }

    fn itself(&self) -> Vec<Family<'_>> {
        let vitals = &self.vitals;
        let ports: Vec<String> = vitals.ports.iter().map(ToString::to_string).collect();
        let target = vec![
            ("command", Cow::Borrowed(&*vitals.command)),
            ("pid", Cow::Owned(vitals.pid.map(|pid| pid.to_string()).unwrap_or_default())),
            ("ports", Cow::Owned(ports.join(","))),
        ];
        let version = vec![("version", Cow::Borrowed(env!("CARGO_PKG_VERSION")))];
        let mut all = vec![
            Family::info("whywait_target", "Who is watched.", target),
            Family::one(
                "whywait_target_up",
                Kind::Gauge,
                "Whether the target runs.",
                f64::from(u8::from(vitals.up)),
            ),
            Family::info("whywait_build", "This program.", version),
            Family::one(
                "process_cpu_seconds",
                Kind::Counter,
                "CPU time of whywait itself, without its probes in the kernel.",
                vitals.own_cpu_ns as f64 / 1e9,
            ),
            Family::one(
                "process_start_time_seconds",
                Kind::Gauge,
                "When this run began, since 1970.",
                self.began as f64 / 1e9,
            ),
        ];
        if let Some(pushed) = self.pushed {
            let outcome =
                |outcome, count: u64| number(vec![("outcome", Cow::Borrowed(outcome))], count as f64);
            all.push(Family::new(
                "whywait_otlp_traces",
                Kind::Counter,
                "Requests of which spans were sent by OTLP.",
                vec![outcome("sent", pushed.traces), outcome("dropped", pushed.dropped_traces)],
            ));
            all.push(Family::one(
                "whywait_otlp_failed_pushes",
                Kind::Counter,
                "Times that the receiver of OTLP did not take something.",
                pushed.failed as f64,
            ));
        }
        all
    }
}

/// The kernel's histogram in these buckets: each of its own counts with its middle.
fn delays(counts: &[u64]) -> Histogram {
    let mut delays = Histogram::default();
    for (bucket, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        delays.add_many(u64::midpoint(hist::lower(bucket), hist::upper(bucket)), *count);
    }
    delays
}
