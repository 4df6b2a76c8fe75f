//! The whole race.

use serde::Serialize;

use super::{check::CPU_TIME, row::Row, sweep::Knob};
use crate::units::{fmt_count, fmt_percent, fmt_us};

/// What others may have of the CPUs' time before it is told.
const DISTURBED: f64 = 0.1;

/// The load that all servers were under, and the machine.
#[derive(Clone, Debug, Serialize)]
pub struct Conditions {
    /// What was asked for, in turn.
    pub paths: Vec<String>,
    /// Connections at once.
    pub connections: u16,
    /// Requests a second; 0: the next one when the last is answered.
    pub rate: f64,
    /// Seconds.
    pub duration_s: f64,
    /// Whether connections were kept, or opened for each request.
    pub keep_alive: bool,
    /// Threads of the pools; `None`: the servers' own default.
    pub threads: Option<u16>,
    /// Worker processes; `None`: the servers' own default.
    pub workers: Option<u16>,
    /// CPUs that are online.
    pub cpus: usize,
}

impl Conditions {
    /// In one sentence.
    pub fn words(&self, swept: Option<Knob>) -> String {
        let mut words = vec![format!("GET {}", self.paths.join(", "))];
        if self.rate > 0.0 {
            words.push(format!("{} requests a second", self.rate));
        } else {
            words.push("as fast as they are answered".to_owned());
        }
        if swept != Some(Knob::Connections) {
            words.push(format!("{} connections", self.connections));
        }
        words.push(if self.keep_alive { "kept" } else { "a new one for each request" }.to_owned());
        words.extend(self.threads.filter(|_| swept != Some(Knob::Threads)).map(|n| format!("{n} threads")));
        words.extend(self.workers.filter(|_| swept != Some(Knob::Workers)).map(|n| format!("{n} workers")));
        words.push(format!(
            "{} s each, on {} CPUs that the load generator shares",
            self.duration_s, self.cpus
        ));
        words.join(", ")
    }
}

/// A server that could not take part.
#[derive(Clone, Debug, Serialize)]
pub struct Failed {
    /// The server, with its setting.
    pub label: String,
    /// Why.
    pub why: String,
}

/// What `race --json` prints.
#[derive(Clone, Debug, Serialize)]
pub struct Race {
    /// Always `whywait.race/1`.
    pub schema: &'static str,
    /// The load and the machine.
    pub conditions: Conditions,
    /// The setting that is swept.
    pub sweep: Option<Knob>,
    /// Runs that were planned; fewer rows and failures mean that the race was stopped.
    pub planned: usize,
    /// One for each run, in their order.
    pub rows: Vec<Row>,
    /// Runs that failed.
    pub failed: Vec<Failed>,
    /// Why no cycles and instructions were counted, where they were not.
    pub hardware_absent: Option<String>,
}

impl Race {
    /// A race that has not begun.
    pub fn new(conditions: Conditions, sweep: Option<Knob>, planned: usize) -> Self {
        let schema = "whywait.race/1";
        Self {
            schema,
            conditions,
            sweep,
            planned,
            rows: Vec::new(),
            failed: Vec::new(),
            hardware_absent: None,
        }
    }

    /// What the figures come to, in sentences.
    pub fn conclusions(&self) -> Vec<String> {
        if self.sweep.is_some() {
            let mut names: Vec<&str> = self.rows.iter().map(|row| &*row.name).collect();
            names.dedup();
            return names.into_iter().filter_map(|name| self.peak_of(name)).collect();
        }
        let by_speed = |a: &&Row, b: &&Row| a.requests_per_second.total_cmp(&b.requests_per_second);
        let (fastest, slowest) = (self.rows.iter().max_by(by_speed), self.rows.iter().min_by(by_speed));
        match (fastest, slowest) {
            (Some(fastest), Some(slowest))
                if slowest.requests_per_second > 0.0 && fastest.name != slowest.name =>
            {
                vec![format!(
                    "{} is the fastest, with {:.1} times the requests of {}, the slowest.",
                    fastest.name,
                    fastest.requests_per_second / slowest.requests_per_second,
                    slowest.name
                )]
            }
            _ => Vec::new(),
        }
    }

    /// Where one server of a sweep is fastest, and what going on from there costs.
    fn peak_of(&self, name: &str) -> Option<String> {
        let its: Vec<&Row> = self.rows.iter().filter(|row| row.name == name).collect();
        let best = its.iter().max_by(|a, b| a.requests_per_second.total_cmp(&b.requests_per_second))?;
        let most = its.iter().max_by_key(|row| row.setting.map(|setting| setting.value))?;
        let (at, end) = (best.setting?, most.setting?);
        if its.len() < 2 || best.requests_per_second <= 0.0 {
            return None;
        }
        let slower = 1.0 - most.requests_per_second / best.requests_per_second;
        if at == end || slower < 0.03 {
            return Some(format!("{name}: fastest at {at}; the most is not slower than less."));
        }
        let switches = |row: &Row| row.per_request.voluntary_switches + row.per_request.involuntary_switches;
        Some(format!(
            "{name}: fastest at {at}; {end} answers {:.0} % fewer requests, with {:.2} instead of {:.2} switches and \
             {} instead of {} of CPU time for each.",
            slower * 100.0,
            switches(most),
            switches(best),
            fmt_us(most.per_request.cpu_us),
            fmt_us(best.per_request.cpu_us),
        ))
    }

    /// What has to be known to read the figures, in sentences.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let done = self.rows.len() + self.failed.len();
        if done < self.planned {
            notes.push(format!("Stopped after {done} of {} runs.", self.planned));
        }
        notes.extend(
            self.failed.iter().map(|failed| format!("{} could not run: {}", failed.label, failed.why)),
        );
        for row in &self.rows {
            notes.extend(about(row));
        }
        if self.rows.iter().any(|row| row.check.iter().any(|difference| difference.what == CPU_TIME)) {
            notes.push(
                "CPU time is not the same thing everywhere: perf leaves out the switches themselves, /proc counts in \
                 ticks of 10 ms a process, and it alone has what a process does after its exit."
                    .to_owned(),
            );
        }
        if self.rows.iter().any(|row| row.per_request.cpu_user_us.is_none()) {
            notes.push(
                "User and kernel time of processes that live for a request or two are not told: what no tick of the \
                 clock meets the kernel takes for user time."
                    .to_owned(),
            );
        }
        let disturbed = self.rows.iter().filter_map(|row| row.others_share).fold(0.0, f64::max);
        if disturbed > DISTURBED {
            notes.push(format!(
                "Other processes had up to {} of the CPUs' time in a run, which makes the servers slower and their order a \
                 matter of chance; run it again on a quiet machine.",
                fmt_percent(disturbed)
            ));
        }
        let absent = self.rows.iter().find_map(|row| row.perf_absent.as_deref());
        notes.extend(absent.map(|why| format!("No performance counters to compare with: {why}.")));
        if absent.is_none() {
            let why = self.hardware_absent.as_deref();
            notes.extend(why.map(|why| format!("No cycles and instructions: {why}.")));
        }
        notes
    }
}

/// What was not as it should be in a run.
fn about(row: &Row) -> Option<String> {
    let mut said: Vec<String> = row.check.iter().map(ToString::to_string).collect();
    let mut count = |count: u64, what: &str| {
        if count > 0 {
            said.push(format!("{} {what}", fmt_count(count)));
        }
    };
    count(row.ebpf.unanswered, "requests found that were never answered");
    count(row.ebpf.in_flight, "not answered at the end");
    count(row.lost.events, "records lost");
    count(row.outside.failed, "requests failed");
    count(row.outside.not_ok, "answers other than 200");
    count(row.outside.unsent, "requests could not be sent in time");
    (!said.is_empty()).then(|| format!("{}: {}.", row.label(), said.join("; ")))
}
