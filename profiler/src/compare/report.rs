//! What the comparison says: `whywait.compare/1`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{
    bootstrap::{CONFIDENCE, Estimate, Interval, estimates, parts},
    condition::{Condition, Verdict},
    metric::Metric,
    sample::{Blocks, Sample},
};
use crate::{
    clock::State,
    explain::{Finding, Id as FindingId},
    fingerprint::ModelId,
    report::Explanation,
    units::Ns,
};

/// A recording, as it is compared.
pub struct Recorded<'a> {
    /// Its name.
    pub name: String,
    /// Its requests.
    pub sample: &'a Sample,
    /// When it began and ended.
    pub span: (Ns, Ns),
    /// What it says by itself.
    pub explanation: &'a Explanation,
}

/// A figure before and after, in microseconds, or in requests a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Change {
    /// Before.
    pub before: f64,
    /// After.
    pub after: f64,
    /// The second less the first.
    pub difference: f64,
    /// The difference as a share of the first; nothing where that is 0.
    pub relative: Option<f64>,
    /// Where the first one lies; nothing where there is too little to tell.
    pub before_interval: Option<Interval>,
    /// Where the second one lies.
    pub after_interval: Option<Interval>,
    /// Where the difference lies.
    pub interval: Option<Interval>,
    /// Whether that interval is on one side of 0; nothing where there is too little to tell.
    pub more_than_noise: Option<bool>,
}

impl From<Estimate> for Change {
    fn from(estimate: Estimate) -> Self {
        let Estimate { before, after, before_interval, after_interval, interval } = estimate;
        let difference = after - before;
        Self {
            before,
            after,
            difference,
            relative: (before > 0.0).then(|| difference / before),
            before_interval,
            after_interval,
            interval,
            more_than_noise: interval.map(|[from, to]| from > 0.0 || to < 0.0),
        }
    }
}

/// Where a side comes from.
#[derive(Clone, Debug, Serialize)]
pub struct Origin {
    /// The recording.
    pub name: String,
    /// Who was watched.
    pub command: String,
    /// For how long, in seconds.
    pub window_s: f64,
    /// Requests.
    pub requests: u64,
    /// The concurrency model.
    pub model: ModelId,
    /// Blocks of time that were drawn from.
    pub blocks: usize,
    /// Records that were lost.
    pub lost_events: u64,
    /// What is missing in the recording, a sentence for each.
    pub missing: Vec<String>,
}

/// A route before and after.
#[derive(Clone, Debug, Serialize)]
pub struct RouteChange {
    /// Method and path.
    pub name: String,
    /// Requests before.
    pub before_count: u64,
    /// Requests after.
    pub after_count: u64,
    /// Its mean latency.
    pub mean: Change,
    /// Its 99th percentile.
    pub p99: Change,
    /// Its mean time by state.
    pub states_us: BTreeMap<&'static str, Change>,
    /// Microseconds of the difference of the mean of all requests that come from this route being slower.
    pub by_itself_us: f64,
    /// Microseconds of it that come from this route being asked for more often, or less.
    pub by_mix_us: f64,
}

/// A finding before and after: its share of the time of the slowest tenth, where it was found.
#[derive(Clone, Debug, Serialize)]
pub struct FindingChange {
    /// The finding.
    pub id: FindingId,
    /// Its share before.
    pub before: Option<f64>,
    /// Its share after.
    pub after: Option<f64>,
    /// The cause in one sentence, as it is after, or was before.
    pub summary: String,
}

/// What a request costs in the mean, before and after.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Cost {
    /// Before.
    pub before: f64,
    /// After.
    pub after: f64,
}

/// Two recordings side by side.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Always `whywait.compare/1`.
    pub schema: &'static str,
    /// How sure each interval is.
    pub confidence: f64,
    /// The first recording.
    pub before: Origin,
    /// The second one.
    pub after: Origin,
    /// Latency by metric.
    #[serde(serialize_with = "by_metric")]
    pub latency_us: Vec<(Metric, Change)>,
    /// The difference of the mean by state: the differences sum to that of the mean.
    #[serde(serialize_with = "by_metric")]
    pub states_us: Vec<(Metric, Change)>,
    /// Requests a second.
    pub requests_per_second: Change,
    /// By route, those first that change the mean most.
    pub routes: Vec<RouteChange>,
    /// Findings of either side.
    pub findings: Vec<FindingChange>,
    /// What a request costs.
    pub per_request: BTreeMap<&'static str, Cost>,
    /// What must not happen.
    pub conditions: Vec<Verdict>,
}

fn by_metric<S: serde::Serializer>(changes: &[(Metric, Change)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(changes.iter().map(|(metric, change)| (metric.id(), change)))
}

impl Comparison {
    /// The change of a metric.
    pub fn change(&self, metric: Metric) -> Change {
        let all = self.latency_us.iter().chain(&self.states_us);
        let found = all.into_iter().find(|(known, _)| *known == metric);
        found.map_or(self.requests_per_second, |(_, change)| *change)
    }

    /// Whether a condition of failure is met.
    pub fn has_failed(&self) -> bool {
        self.conditions.iter().any(|verdict| verdict.failed)
    }
}

/// Compares two recordings.
pub fn compare(before: &Recorded<'_>, after: &Recorded<'_>, conditions: &[Condition]) -> Comparison {
    let (mut one, mut other) =
        (parts(before.sample.all(), before.span), parts(after.sample.all(), after.span));
    let all: Vec<Change> = estimates(&mut one, &mut other).into_iter().map(Change::from).collect();
    let pick = |metric: Metric| (metric, all[metric.number()]);
    let origin = |side: &Recorded<'_>, blocks: usize| Origin {
        name: side.name.clone(),
        command: side.explanation.target.command.clone(),
        window_s: side.explanation.window_s,
        requests: side.explanation.requests.count,
        model: side.explanation.model.id,
        blocks,
        lost_events: side.explanation.lost.events,
        missing: side.explanation.missing.clone(),
    };
    let mut comparison = Comparison {
        schema: "whywait.compare/1",
        confidence: CONFIDENCE,
        before: origin(before, one.len()),
        after: origin(after, other.len()),
        latency_us: Metric::LATENCY.map(pick).to_vec(),
        states_us: State::ALL.map(|state| pick(Metric::State(state))).to_vec(),
        requests_per_second: all[Metric::Rate.number()],
        routes: routes(before, after),
        findings: findings(&before.explanation.findings, &after.explanation.findings),
        per_request: costs(before.explanation, after.explanation),
        conditions: Vec::new(),
    };
    comparison.conditions =
        conditions.iter().map(|condition| condition.look(&comparison.change(condition.metric))).collect();
    comparison
}

/// Routes, and what each does to the mean of all: the difference of means of weighted groups in two parts (Kitagawa 1955, "Components
/// of a difference between two rates"), which sum to it.
fn routes(before: &Recorded<'_>, after: &Recorded<'_>) -> Vec<RouteChange> {
    let (one, other) = (before.sample.routes(), after.sample.routes());
    let names: BTreeSet<&str> = one.keys().chain(other.keys()).copied().collect();
    let nothing = Blocks::default();
    let mut routes: Vec<RouteChange> = names
        .into_iter()
        .map(|name| {
            let of = |side: &BTreeMap<&str, &Blocks>, span| {
                parts(side.get(name).copied().unwrap_or(&nothing), span)
            };
            route(name, of(&one, before.span), of(&other, after.span))
        })
        .collect();
    let total = |count: fn(&RouteChange) -> u64| routes.iter().map(count).sum::<u64>().max(1) as f64;
    let (all_before, all_after) = (total(|route| route.before_count), total(|route| route.after_count));
    let shares =
        |route: &RouteChange| (route.before_count as f64 / all_before, route.after_count as f64 / all_after);
    // What a route that is on one side only would take on the other is what it takes here.
    let means = |route: &RouteChange| match (route.before_count, route.after_count) {
        (0, _) => (route.mean.after, route.mean.after),
        (_, 0) => (route.mean.before, route.mean.before),
        _ => (route.mean.before, route.mean.after),
    };
    let middle = |pair: (f64, f64)| f64::midpoint(pair.0, pair.1);
    let overall: f64 = routes.iter().map(|route| middle(shares(route)) * middle(means(route))).sum();
    for route in &mut routes {
        let (share, mean) = (shares(route), means(route));
        route.by_itself_us = middle(share) * (mean.1 - mean.0);
        route.by_mix_us = (share.1 - share.0) * (middle(mean) - overall);
    }
    routes.sort_by(|a, b| {
        let weight = |route: &RouteChange| route.by_itself_us.abs() + route.by_mix_us.abs();
        weight(b).total_cmp(&weight(a)).then_with(|| a.name.cmp(&b.name))
    });
    routes
}

fn route(name: &str, mut before: super::figures::Parts, mut after: super::figures::Parts) -> RouteChange {
    let changes: Vec<Change> = estimates(&mut before, &mut after).into_iter().map(Change::from).collect();
    RouteChange {
        name: name.to_owned(),
        before_count: crate::units::rounded(before.count()),
        after_count: crate::units::rounded(after.count()),
        mean: changes[Metric::Mean.number()],
        p99: changes[Metric::P99.number()],
        states_us: State::ALL
            .into_iter()
            .map(|state| (state.id(), changes[Metric::State(state).number()]))
            .collect(),
        by_itself_us: 0.0,
        by_mix_us: 0.0,
    }
}

fn findings(before: &[Finding], after: &[Finding]) -> Vec<FindingChange> {
    let ids: BTreeSet<FindingId> = before.iter().chain(after).map(|finding| finding.id).collect();
    let of = |side: &[Finding], id| side.iter().find(|finding| finding.id == id).cloned();
    let mut changes: Vec<FindingChange> = ids
        .into_iter()
        .filter_map(|id| {
            let (one, other) = (of(before, id), of(after, id));
            let (before, after) =
                (one.as_ref().map(|found| found.share), other.as_ref().map(|found| found.share));
            Some(FindingChange { id, before, after, summary: other.or(one)?.summary })
        })
        .collect();
    changes.sort_by(|a, b| {
        let share = |change: &FindingChange| change.before.unwrap_or(0.0).max(change.after.unwrap_or(0.0));
        share(b).total_cmp(&share(a)).then_with(|| a.id.cmp(&b.id))
    });
    changes
}

fn costs(before: &Explanation, after: &Explanation) -> BTreeMap<&'static str, Cost> {
    let (one, other) = (&before.per_request, &after.per_request);
    [
        ("context_switches", one.context_switches, other.context_switches),
        ("involuntary_switches", one.involuntary_switches, other.involuntary_switches),
        ("system_calls", one.system_calls, other.system_calls),
        ("threads_created", one.threads_created, other.threads_created),
        ("processes_created", one.processes_created, other.processes_created),
        ("migrations", one.migrations, other.migrations),
    ]
    .into_iter()
    .map(|(name, before, after)| (name, Cost { before, after }))
    .collect()
}
