//! Requests as spans of OpenTelemetry: one for each request, and one below it for each of its states. To a file, a JSON object a line, as
//! the Collector's file exporter writes and its `otlpjsonfile` receiver reads it; or by HTTP to whoever takes OTLP.

mod proto;

use std::{io::Write, time::Duration};

use prost::Message;
use ureq::Agent;

use self::proto::{
    ExportTraceServiceRequest, INTERNAL, InstrumentationScope, KeyValue, Resource, ResourceSpans, SERVER,
    ScopeSpans, Span, Value,
};
use super::{End, ExportError, Exporter, WallClock};
use crate::{clock::Request, recording::Preamble};

/// Spans that are sent together.
const BATCH: usize = 512;
/// How long a receiver may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Where OTLP by HTTP takes traces, see the OTLP specification.
const PATH: &str = "/v1/traces";
/// Requests have this many numbers for their spans: their own, and those of their states.
const SPANS: u64 = 256;

/// Who takes spans.
pub enum Receiver {
    /// A file.
    Lines(Box<dyn Write + Send>),
    /// Somebody at this address.
    Endpoint(Endpoint),
}

/// An address that takes spans by HTTP.
pub struct Endpoint {
    url: String,
    agent: Agent,
}

impl Endpoint {
    /// An address; one without a path gets that of the specification.
    pub fn new(url: &str) -> Self {
        let without_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
        let path = without_scheme.split_once('/').map_or("", |(_, path)| path);
        let url =
            if path.is_empty() { format!("{}{PATH}", url.trim_end_matches('/')) } else { url.to_owned() };
        let config =
            Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false).build();
        Self { url, agent: config.into() }
    }

    fn send(&self, spans: &ExportTraceServiceRequest) -> Result<(), ExportError> {
        let failed = |cause: String| ExportError::Endpoint { url: self.url.clone(), cause };
        let request = self.agent.post(&self.url).header("Content-Type", "application/x-protobuf");
        let answer = request.send(&spans.encode_to_vec()[..]).map_err(|error| failed(error.to_string()))?;
        let status = answer.status();
        if status.is_success() { Ok(()) } else { Err(failed(format!("it answered {status}"))) }
    }
}

/// Writes spans.
pub struct Otlp {
    clock: WallClock,
    /// The same for all spans of a recording, and another one for another recording.
    began: u64,
    resource: Resource,
    spans: Vec<Span>,
    receiver: Receiver,
}

impl Otlp {
    /// Spans of a recording.
    pub fn new(preamble: &Preamble, receiver: Receiver) -> Self {
        let mut attributes = vec![KeyValue::text("service.name", &preamble.command)];
        attributes.extend(preamble.pids.first().map(|pid| KeyValue::int("process.pid", *pid)));
        Self {
            clock: WallClock::of(preamble),
            began: preamble.began_unix_ns,
            resource: Resource { attributes },
            spans: Vec::new(),
            receiver,
        }
    }

    fn span(&mut self, request: &Request) -> Span {
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
            trace_id: self.trace_id(request),
            span_id: span_id(request, 0),
            parent_span_id: Vec::new(),
            name: request.route.as_deref().unwrap_or("request").to_owned(),
            kind: SERVER,
            start_time_unix_nano: self.clock.unix(request.start),
            end_time_unix_nano: self.clock.unix(request.end),
            attributes,
        }
    }

    /// Exporting a recording twice gives the same ids.
    fn trace_id(&self, request: &Request) -> Vec<u8> {
        [self.began.to_be_bytes(), (request.id.0 + 1).to_be_bytes()].concat()
    }

    fn states(&self, request: &Request) -> Vec<Span> {
        let state = |(place, piece): (u64, &crate::clock::Piece)| Span {
            trace_id: self.trace_id(request),
            span_id: span_id(request, place),
            parent_span_id: span_id(request, 0),
            name: piece.state.id().to_owned(),
            kind: INTERNAL,
            start_time_unix_nano: self.clock.unix(piece.from),
            end_time_unix_nano: self.clock.unix(piece.to),
            attributes: request
                .owner_of(piece)
                .map(|tid| KeyValue::int("thread.id", tid.0))
                .into_iter()
                .collect(),
        };
        (1..).zip(&request.path).map(state).collect()
    }

    fn flush(&mut self) -> Result<(), ExportError> {
        if self.spans.is_empty() {
            return Ok(());
        }
        let scope = InstrumentationScope {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let spans = std::mem::take(&mut self.spans);
        let message = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(self.resource.clone()),
                scope_spans: vec![ScopeSpans { scope: Some(scope), spans }],
            }],
        };
        match &mut self.receiver {
            Receiver::Lines(out) => {
                serde_json::to_writer(&mut *out, &message).map_err(std::io::Error::from)?;
                Ok(out.write_all(b"\n")?)
            }
            Receiver::Endpoint(endpoint) => endpoint.send(&message),
        }
    }
}

/// The id of a request's span, and of those below it.
fn span_id(request: &Request, place: u64) -> Vec<u8> {
    ((request.id.0 + 1) * SPANS + place).to_be_bytes().into()
}

impl Exporter for Otlp {
    fn request(&mut self, request: &Request) -> Result<(), ExportError> {
        let span = self.span(request);
        self.spans.push(span);
        self.spans.extend(self.states(request));
        if self.spans.len() >= BATCH { self.flush() } else { Ok(()) }
    }

    fn finish(mut self: Box<Self>, _: End<'_>) -> Result<(), ExportError> {
        self.flush()?;
        match self.receiver {
            Receiver::Lines(mut out) => Ok(out.flush()?),
            Receiver::Endpoint(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashMap,
        io::{BufRead, BufReader, Read},
        net::TcpListener,
        thread,
    };

    use super::*;
    use crate::export::testing::{Output, clock, export, preamble, requests};

    fn check(spans: &[Span]) {
        let requests = requests();
        let mut below: HashMap<&[u8], u64> = HashMap::new();
        let mut roots = Vec::new();
        for span in spans {
            if span.parent_span_id.is_empty() {
                roots.push(span);
            } else {
                let length = span.end_time_unix_nano - span.start_time_unix_nano;
                *below.entry(&span.parent_span_id).or_default() += length;
            }
        }
        assert_eq!(roots.len(), requests.len());
        for (span, request) in roots.into_iter().zip(&requests) {
            assert_eq!(span.name, **request.route.as_ref().unwrap());
            assert_eq!(span.start_time_unix_nano, clock().unix(request.start));
            assert_eq!(span.end_time_unix_nano - span.start_time_unix_nano, request.latency());
            assert_eq!(below[&span.span_id[..]], request.latency());
        }
        let ids: std::collections::HashSet<_> = spans.iter().map(|span| &span.span_id).collect();
        assert_eq!(ids.len(), spans.len());
    }

    /// A receiver of our own takes what is posted, and has every request with its states.
    #[test]
    fn a_receiver_gets_every_request() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let posted = thread::spawn(move || {
            let mut bodies = Vec::new();
            let (stream, _) = listener.accept().unwrap();
            let mut input = BufReader::new(stream);
            loop {
                let (mut line, mut length, mut first) = (String::new(), 0, String::new());
                while input.read_line(&mut line).unwrap() > 0 && line != "\r\n" {
                    if first.is_empty() {
                        first.clone_from(&line);
                    }
                    if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    line.clear();
                }
                if first.is_empty() {
                    return bodies;
                }
                assert_eq!(first, "POST /v1/traces HTTP/1.1\r\n");
                let mut body = vec![0; length];
                input.read_exact(&mut body).unwrap();
                bodies.push(body);
                input.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
            }
        });
        let endpoint = Endpoint::new(&format!("http://{address}"));
        export(Otlp::new(&preamble(), Receiver::Endpoint(endpoint)));
        let spans: Vec<Span> = posted
            .join()
            .unwrap()
            .iter()
            .flat_map(|body| ExportTraceServiceRequest::decode(body.as_slice()).unwrap().resource_spans)
            .flat_map(|of| of.scope_spans)
            .flat_map(|of| of.spans)
            .collect();
        check(&spans);
    }

    #[test]
    fn a_receiver_that_is_not_there_is_told() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let endpoint = Endpoint::new(&format!("http://127.0.0.1:{port}/v1/traces"));
        let error = endpoint.send(&ExportTraceServiceRequest::default()).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("cannot send spans to http://127.0.0.1:{port}/v1/traces: ")),
            "{error}"
        );
    }

    /// In JSON ids are hexadecimal and times are text.
    #[test]
    fn a_line_is_as_the_specification_has_it() {
        let out = Output::default();
        export(Otlp::new(&preamble(), Receiver::Lines(Box::new(out.clone()))));
        let text = out.text();
        let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        let spans = &first["resourceSpans"][0]["scopeSpans"][0]["spans"];
        let request = &requests()[0];
        assert_eq!(spans[0]["startTimeUnixNano"], clock().unix(request.start).to_string());
        assert_eq!(spans[0]["traceId"].as_str().map(str::len), Some(32));
        assert_eq!(spans[1]["parentSpanId"], spans[0]["spanId"]);
        assert_eq!(spans[0]["attributes"][2]["value"]["intValue"], "8080");
    }
}
