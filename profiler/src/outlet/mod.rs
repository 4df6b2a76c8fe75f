//! Outlets of a live run for programs that gather measurements: metrics that Prometheus scrapes, and metrics and spans that are sent by OTLP.
//!
//! ```text
//! finished requests ──▶ registry ─┐
//!               └─▶ sampler       ├──▶ metrics ──▶ published ──▶ server (text, OpenMetrics, protobuf)
//! what a run knows ──▶ vitals ────┘        └────────────▶ push (OTLP, with the sampler's requests as spans)
//! ```
//!
//! The run's thread adds requests and publishes a copy once a second; whoever scrapes or sends works on that copy, on a thread of its own.

mod accept;
mod histogram;
mod metrics;
mod otlp;
mod protobuf;
mod published;
mod push;
mod registry;
mod sampler;
mod server;
#[cfg(test)]
mod testing;
mod text;

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use thiserror::Error;

pub use accept::Format;
pub use histogram::{Exemplar, Histogram};
pub use metrics::{Family, Kind, LockTotals, Metrics, Vitals};
pub use published::Published;
pub use push::{Pushed, ReceiverUrl, Tell};
pub use registry::{MOST_ROUTES, Registry};
pub use server::{ListenAddress, Server};

use self::{
    push::Push,
    sampler::{Chosen, Sampler},
};
use crate::{
    clock::Request,
    export::{WallClock, otlp::Spans},
    observe::{Listener, Sink},
    platform::clock::monotonic,
};

/// How often metrics are published.
const OFTEN: Duration = Duration::from_secs(1);

/// Outlets that a user asks for.
#[derive(Clone, Debug, Default)]
pub struct OutletPlan {
    /// Where metrics are scraped.
    pub prometheus: Option<ListenAddress>,
    /// Where metrics and spans are sent, and how often.
    pub otlp: Option<(ReceiverUrl, Duration)>,
}

/// An outlet that cannot be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OutletError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {cause}; name another address with --prometheus")]
    Listen {
        /// As it was named.
        address: String,
        /// Why.
        cause: io::Error,
    },
    /// There is no thread for it.
    #[error("cannot start a thread for the metrics: {0}")]
    Thread(io::Error),
}

/// What finished requests go into.
struct Tap {
    registry: Registry,
    sampler: Option<Sampler>,
}

/// The half that the pipeline has.
struct Told(Arc<Mutex<Tap>>);

impl Listener for Told {
    fn request(&mut self, request: &Request) {
        let mut tap = lock(&self.0);
        let route = tap.registry.add(request);
        if let Some(sampler) = &mut tap.sampler {
            sampler.offer(route, request);
        }
    }
}

/// A thread that panicked while it held the lock ends the program.
fn lock(tap: &Mutex<Tap>) -> MutexGuard<'_, Tap> {
    tap.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The outlets of a run. They close when this value is dropped.
pub struct Outlets {
    tap: Arc<Mutex<Tap>>,
    published: Arc<Published>,
    server: Option<Server>,
    push: Option<(Push, Duration)>,
    clock: WallClock,
    began: u64,
    spans: Spans,
    due: Instant,
    push_due: Instant,
    tell: Tell,
}

impl Outlets {
    /// Opens those that are asked for, before anything is attached; none where none is. `tell` is told what a user should know.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub fn open(plan: OutletPlan, tell: Tell) -> Result<Option<Self>, OutletError> {
        if plan.prometheus.is_none() && plan.otlp.is_none() {
            return Ok(None);
        }
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let began = u64::try_from(unix.as_nanos()).unwrap_or(u64::MAX);
        let clock = WallClock::new(monotonic(), began);
        let spans = Spans::new(clock, began);
        let published = Arc::new(Published::default());
        let server =
            plan.prometheus.map(|address| Server::start(&address, Arc::clone(&published))).transpose()?;
        let push = match plan.otlp {
            Some((url, interval)) => Some((Push::start(url, spans, Arc::clone(&tell))?, interval)),
            None => None,
        };
        let now = Instant::now();
        let sampler = push.is_some().then(|| Sampler::new(began));
        let push_due = push.as_ref().map_or(now, |(_, interval)| now + *interval);
        let tap = Arc::new(Mutex::new(Tap { registry: Registry::default(), sampler }));
        Ok(Some(Self { tap, published, server, push, clock, began, spans, due: now, push_due, tell }))
    }

    /// What the pipeline tells.
    pub fn sink(&self) -> Sink {
        Box::new(Told(Arc::clone(&self.tap)))
    }

    /// Whether the states of requests are wanted one after the other.
    pub fn wants_paths(&self) -> bool {
        self.push.is_some()
    }

    /// Tells where everything goes.
    pub fn announce(&self) {
        if let Some(server) = &self.server {
            (self.tell)(format!("metrics at {}", server.url()));
        }
        if let Some((push, interval)) = &self.push {
            (self.tell)(format!("metrics and spans go to {} every {} s", push.url(), interval.as_secs_f64()));
        }
    }

    /// Whether something new is to be told.
    pub fn is_due(&self) -> bool {
        Instant::now() >= self.due
    }

    /// Publishes what there is now, and sends it when that is due.
    pub fn publish(&mut self, vitals: Vitals) {
        let now = Instant::now();
        self.due = now + OFTEN;
        let push = self.push.as_ref().map(|(_, interval)| *interval).filter(|_| now >= self.push_due);
        let (metrics, chosen) = self.look(vitals, push.is_some());
        if let (Some((push, _)), Some(interval)) = (&self.push, push) {
            push.push(metrics, chosen);
            self.push_due = now + interval;
        }
    }

    /// Publishes and sends the last, and closes.
    pub fn finish(mut self, vitals: Vitals) {
        let (metrics, chosen) = self.look(vitals, self.push.is_some());
        if let Some((push, _)) = self.push.take() {
            let url = push.url().clone();
            let pushed = push.finish(metrics, chosen);
            if pushed.failed > 0 || pushed.dropped_traces > 0 {
                (self.tell)(format!("{url}: {pushed}"));
            }
        }
    }

    /// What there is now; with the requests that are sent, by which buckets are explained from now on.
    fn look(&self, vitals: Vitals, send: bool) -> (Arc<Metrics>, Vec<Chosen>) {
        let mut tap = lock(&self.tap);
        let chosen = tap.sampler.as_mut().filter(|_| send).map(Sampler::take).unwrap_or_default();
        for Chosen { route, request } in &chosen {
            let exemplar = |value| Exemplar {
                value,
                at: self.clock.unix(request.end),
                trace_id: self.spans.trace_id(request),
                span_id: Spans::span_id(request),
            };
            tap.registry.explain(*route, request, exemplar);
        }
        let registry = tap.registry.clone();
        drop(tap);
        let metrics = self.published.publish(Metrics {
            registry,
            vitals,
            at: self.clock.unix(monotonic()),
            began: self.began,
            pushed: self.push.as_ref().map(|(push, _)| push.pushed()),
        });
        (metrics, chosen)
    }
}
