//! A request as spans: one for itself, and one below it for each of its states, in turn.

use super::proto::{
    ExportTraceServiceRequest, INTERNAL, InstrumentationScope, KeyValue, Resource, ResourceSpans, SERVER,
    ScopeSpans, Span, Value,
};
use crate::{clock::Request, export::WallClock};

/// Requests have this many numbers for their spans: their own, and those of their states.
const SPANS: u64 = 256;

/// Makes spans of the requests of one run.
#[derive(Clone, Copy, Debug)]
pub struct Spans {
    clock: WallClock,
    /// The same for all spans of a run, and another one for another run.
    began: u64,
}

impl Spans {
    /// Spans of a run that began at this moment, in nanoseconds since 1970.
    pub fn new(clock: WallClock, began: u64) -> Self {
        Self { clock, began }
    }

    /// The spans of a request, its own first.
    pub fn of(&self, request: &Request) -> Vec<Span> {
        std::iter::once(self.span(request)).chain(self.states(request)).collect()
    }

    /// The same for the same request of the same run, whoever asks.
    pub fn trace_id(&self, request: &Request) -> [u8; 16] {
        ((u128::from(self.began) << 64) | u128::from(request.id.0 + 1)).to_be_bytes()
    }

    /// The id of a request's own span.
    pub fn span_id(request: &Request) -> [u8; 8] {
        Self::id(request, 0)
    }

    /// The id of a request's span, and of those below it.
    fn id(request: &Request, place: u64) -> [u8; 8] {
        ((request.id.0 + 1) * SPANS + place).to_be_bytes()
    }

    fn span(&self, request: &Request) -> Span {
        let mut attributes = Vec::new();
        if let Some((method, path)) = request.route.as_deref().and_then(|route| route.split_once(' ')) {
            attributes.push(KeyValue::text("http.request.method", method));
            attributes.push(KeyValue::text("url.path", path));
        }
        attributes.extend([
            KeyValue::int("server.port", request.port),
            KeyValue::int("network.peer.port", request.peer_port),
            KeyValue::int("process.pid", request.pid.0),
            KeyValue::int("whywait.request", request.id.0),
            KeyValue::int("whywait.connection", request.conn.0),
            KeyValue::new("whywait.touched_by_loss", Value::Bool(request.touched_by_loss)),
        ]);
        let times = request.times.iter().filter(|(_, nanos)| *nanos > 0);
        attributes
            .extend(times.map(|(state, nanos)| KeyValue::int(&format!("whywait.{}_ns", state.id()), nanos)));
        Span {
            trace_id: self.trace_id(request).into(),
            span_id: Self::span_id(request).into(),
            parent_span_id: Vec::new(),
            name: request.route.as_deref().unwrap_or("request").to_owned(),
            kind: SERVER,
            start_time_unix_nano: self.clock.unix(request.start),
            end_time_unix_nano: self.clock.unix(request.end),
            attributes,
        }
    }

    fn states<'a>(&'a self, request: &'a Request) -> impl Iterator<Item = Span> + 'a {
        (1..).zip(&request.path).map(|(place, piece)| Span {
            trace_id: self.trace_id(request).into(),
            span_id: Self::id(request, place).into(),
            parent_span_id: Self::span_id(request).into(),
            name: piece.state.id().to_owned(),
            kind: INTERNAL,
            start_time_unix_nano: self.clock.unix(piece.from),
            end_time_unix_nano: self.clock.unix(piece.to),
            attributes: request
                .owner_of(piece)
                .map(|tid| KeyValue::int("thread.id", tid.0))
                .into_iter()
                .collect(),
        })
    }
}

/// Whose spans and metrics they are.
pub fn resource(command: &str, pid: Option<u32>) -> Resource {
    let mut attributes = vec![KeyValue::text("service.name", command)];
    attributes.extend(pid.map(|pid| KeyValue::int("process.pid", pid)));
    Resource { attributes }
}

/// What made them.
pub fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// Spans of a resource, as they are sent.
pub fn message(resource: &Resource, spans: Vec<Span>) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource.clone()),
            scope_spans: vec![ScopeSpans { scope: Some(scope()), spans }],
        }],
    }
}
