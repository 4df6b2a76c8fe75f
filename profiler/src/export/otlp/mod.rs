//! Requests as spans of OpenTelemetry: one for each request, and one below it for each of its states. To a file, a JSON object a line, as
//! the Collector's file exporter writes and its `otlpjsonfile` receiver reads it; or by HTTP to whoever takes OTLP.

mod endpoint;
pub(crate) mod proto;
mod spans;

use std::{io::Write, time::Duration};

pub use self::endpoint::{Endpoint, SendError};
pub(crate) use self::spans::{Spans, message, resource, scope};

use self::proto::{Resource, Span};
use super::{End, ExportError, Exporter, WallClock};
use crate::{clock::Request, recording::Preamble};

/// Spans that are sent together.
pub(crate) const BATCH: usize = 512;
/// How long a receiver may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Where OTLP by HTTP takes traces, see the OTLP specification.
pub(crate) const TRACES: &str = "/v1/traces";

/// Who takes spans.
pub enum Receiver {
    /// A file.
    Lines(Box<dyn Write + Send>),
    /// Somebody at this address.
    Endpoint(Endpoint),
}

impl Receiver {
    /// Somebody at an address; one without a path gets that of the specification.
    pub fn at(url: &str) -> Self {
        Self::Endpoint(Endpoint::of_signal(url, TRACES, TIMEOUT))
    }
}

/// Writes spans.
pub struct Otlp {
    model: Spans,
    resource: Resource,
    spans: Vec<Span>,
    receiver: Receiver,
}

impl Otlp {
    /// Spans of a recording. Exporting it twice gives the same ids.
    pub fn new(preamble: &Preamble, receiver: Receiver) -> Self {
        Self {
            model: Spans::new(WallClock::of(preamble), preamble.began_unix_ns),
            resource: resource(&preamble.command, preamble.pids.first().copied()),
            spans: Vec::new(),
            receiver,
        }
    }

    fn flush(&mut self) -> Result<(), ExportError> {
        if self.spans.is_empty() {
            return Ok(());
        }
        let message = message(&self.resource, std::mem::take(&mut self.spans));
        match &mut self.receiver {
            Receiver::Lines(out) => {
                serde_json::to_writer(&mut *out, &message).map_err(std::io::Error::from)?;
                Ok(out.write_all(b"\n")?)
            }
            Receiver::Endpoint(endpoint) => {
                let failed = |error: SendError| ExportError::Endpoint {
                    url: endpoint.url().to_owned(),
                    cause: error.cause,
                };
                endpoint.send(&message).map_err(failed)
            }
        }
    }
}

impl Exporter for Otlp {
    fn request(&mut self, request: &Request) -> Result<(), ExportError> {
        self.spans.extend(self.model.of(request));
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
    use std::{collections::HashMap, io::BufReader, net::TcpListener, thread};

    use prost::Message;

    use super::{proto::ExportTraceServiceRequest, *};
    use crate::export::testing::{self, Output, clock, export, preamble, requests};

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
            let (stream, _) = listener.accept().unwrap();
            let mut input = BufReader::new(stream);
            std::iter::from_fn(|| testing::posted(&mut input, "200 OK")).collect::<Vec<_>>()
        });
        export(Otlp::new(&preamble(), Receiver::at(&format!("http://{address}"))));
        let posted = posted.join().unwrap();
        assert!(posted.iter().all(|(first, _)| first == "POST /v1/traces HTTP/1.1\r\n"));
        let spans: Vec<Span> = posted
            .iter()
            .flat_map(|(_, body)| ExportTraceServiceRequest::decode(body.as_slice()).unwrap().resource_spans)
            .flat_map(|of| of.scope_spans)
            .flat_map(|of| of.spans)
            .collect();
        check(&spans);
    }

    #[test]
    fn a_receiver_that_is_not_there_is_told() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut otlp = Otlp::new(&preamble(), Receiver::at(&format!("http://127.0.0.1:{port}/v1/traces")));
        otlp.request(&requests()[0]).unwrap();
        let error = otlp.flush().unwrap_err().to_string();
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
