//! `whywait.explain/1` as its readers see it.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The states of a request, in the order of the contract.
pub const STATES: [&str; 14] = [
    "accept_queue",
    "recv_queue",
    "app_queue",
    "on_cpu",
    "run_queue",
    "lock",
    "kernel_lock",
    "disk",
    "page_fault",
    "downstream",
    "child",
    "sleep",
    "send",
    "other",
];

/// Microseconds by state.
pub type Breakdown = BTreeMap<String, f64>;

/// The report, as far as tests look at it; everything is in `raw`.
#[derive(Clone, Debug, Deserialize)]
pub struct Report {
    /// `whywait.explain/1`.
    pub schema: String,
    /// Who was watched.
    pub target: Target,
    /// Seconds.
    pub window_s: f64,
    /// Requests.
    pub requests: Requests,
    /// Requests at once.
    pub concurrency: AtOnce,
    /// The concurrency model.
    pub model: Model,
    /// Time by state.
    pub breakdown_us: Breakdowns,
    /// Causes, most of the slow requests' time first.
    pub findings: Vec<Finding>,
    /// What was lost.
    pub lost: Lost,
    /// By route.
    pub routes: Vec<Group>,
    /// By process.
    pub processes: Vec<Group>,
    /// By thread.
    #[serde(default)]
    pub threads: Vec<ThreadUsage>,
    /// `socket_tracepoints` or `system_calls`.
    pub sockets_by: String,
    /// The target ended before the time was over.
    pub target_ended: bool,
    /// The whole document.
    #[serde(skip)]
    pub raw: serde_json::Value,
}

/// Who was watched.
#[derive(Clone, Debug, Deserialize)]
pub struct Target {
    /// Process ids.
    pub pids: Vec<u32>,
    /// Name.
    pub command: String,
    /// Ports.
    pub ports: Vec<u16>,
}

/// How many requests.
#[derive(Clone, Debug, Deserialize)]
pub struct Requests {
    /// Finished.
    pub count: u64,
    /// Latency.
    pub latency_us: Latency,
    /// Read and never answered.
    pub unanswered: u64,
    /// Not answered yet.
    pub in_flight: u64,
    /// Without a known arrival.
    pub without_arrival: u64,
}

/// Microseconds.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Latency {
    /// Mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 99 % are no slower.
    pub p99: f64,
    /// Slowest.
    pub max: f64,
}

/// At one time.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct AtOnce {
    /// Mean.
    pub mean: f64,
    /// Most.
    pub max: u64,
}

/// The concurrency model.
#[derive(Clone, Debug, Deserialize)]
pub struct Model {
    /// Its name.
    pub id: String,
    /// How sure that is, from 0 to 1.
    pub confidence: f64,
    /// What speaks for it.
    pub evidence: Vec<String>,
}

/// Time by state.
#[derive(Clone, Debug, Deserialize)]
pub struct Breakdowns {
    /// Of all.
    pub mean: Breakdown,
    /// Of the slowest 1 %.
    pub p99: Breakdown,
}

/// A cause.
#[derive(Clone, Debug, Deserialize)]
pub struct Finding {
    /// Its name.
    pub id: String,
    /// Share of the time of the slowest tenth.
    pub share: f64,
    /// Share of the time of all.
    pub share_of_all: f64,
    /// How sure it is.
    pub confidence: f64,
    /// What would be without it.
    pub gain: Option<Gain>,
    /// One sentence.
    pub summary: String,
    /// What it rests on.
    pub evidence: serde_json::Value,
    /// What to do.
    pub advice: String,
}

/// Latency without a cause, in microseconds.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Gain {
    /// Mean.
    pub mean_us: f64,
    /// Median.
    pub p50_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
}

/// What was lost.
#[derive(Clone, Debug, Deserialize)]
pub struct Lost {
    /// Records.
    pub events: u64,
    /// Requests.
    pub requests: u64,
}

/// Requests of a route or a process.
#[derive(Clone, Debug, Deserialize)]
pub struct Group {
    /// Route, or process id.
    pub name: String,
    /// How many.
    pub count: u64,
    /// Latency.
    pub latency_us: Latency,
    /// Mean time by state.
    pub mean: Breakdown,
}

impl Group {
    /// What all requests of the group spent in a state, in microseconds.
    pub fn total_us(&self, state: &str) -> f64 {
        self.mean.get(state).unwrap_or_else(|| panic!("no state {state}")) * self.count as f64
    }
}

/// What a thread did in the window.
#[derive(Clone, Debug, Deserialize)]
pub struct ThreadUsage {
    /// Thread.
    pub tid: u32,
    /// Its process.
    pub pid: u32,
    /// Its name.
    pub name: String,
    /// Switches by which it waited.
    pub voluntary: u64,
    /// Switches by which it lost the CPU.
    pub involuntary: u64,
    /// CPU time.
    pub on_cpu_us: f64,
    /// Time without a CPU.
    pub run_queue_us: f64,
    /// Moves to another CPU.
    pub migrations: u64,
}

impl Report {
    /// Reads a report; nothing but the one object may be there.
    pub fn parse(text: &str) -> Self {
        let raw: serde_json::Value =
            serde_json::from_str(text).unwrap_or_else(|error| panic!("no JSON object ({error}): {text}"));
        let mut report: Self = serde_json::from_value(raw.clone())
            .unwrap_or_else(|error| panic!("not whywait.explain/1 ({error}): {text}"));
        report.raw = raw;
        report
    }

    /// The requests of a route, such as `GET /cpu`.
    pub fn route(&self, name: &str) -> Option<&Group> {
        self.routes.iter().find(|group| group.name == name)
    }

    /// Checks that exactly so many requests were found and nothing was lost.
    pub fn assert_exactly(&self, requests: u64) {
        let Requests { count, unanswered, in_flight, .. } = self.requests;
        assert_eq!(
            (count, unanswered, in_flight),
            (requests, 0, 0),
            "requests found, unanswered, in flight; lost {:?}, routes {:?}",
            self.lost,
            self.routes.iter().map(|group| (&group.name, group.count)).collect::<Vec<_>>()
        );
        self.assert_nothing_lost();
    }

    /// Checks that the model is this one, and that this is not a guess.
    pub fn assert_model(&self, id: &str) {
        let model = &self.model;
        println!("{} ({:.2}): {}", model.id, model.confidence, model.evidence.join("; "));
        assert_eq!(model.id, id, "the concurrency model, known by: {:#?}", model.evidence);
        assert!(model.confidence > 0.5 && model.confidence < 1.0, "{model:?}");
        assert!(!model.evidence.is_empty(), "a model needs evidence");
    }

    /// Checks that nothing was lost.
    pub fn assert_nothing_lost(&self) {
        let lost = (self.lost.events, self.lost.requests);
        assert_eq!(lost, (0, 0), "lost records and requests: {}", self.raw["lost"]);
    }
}
