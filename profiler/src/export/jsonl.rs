//! JSON lines: an object for each request, with its states.

use std::io::Write;

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{End, ExportError, Exporter, WallClock};
use crate::{
    clock::{Request, StartedAt, StateTimes},
    units::{Bytes, Ns, Pid, Tid},
};

/// Writes requests.
pub struct JsonLines<W> {
    clock: WallClock,
    out: W,
}

impl<W: Write + Send> JsonLines<W> {
    /// Begins the lines.
    pub fn new(clock: WallClock, out: W) -> Self {
        Self { clock, out }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    request: u64,
    route: Option<&'a str>,
    process: Pid,
    threads: &'a [Tid],
    connection: u64,
    port: u16,
    peer_port: u16,
    start: String,
    start_ns: Ns,
    first_read_ns: Ns,
    latency_ns: u64,
    states_ns: States<'a>,
    path: Vec<Step>,
    received_bytes: Bytes,
    sent_bytes: Bytes,
    arrival_known: bool,
    touched_by_loss: bool,
}

/// A stretch of the request's time.
#[derive(Serialize)]
struct Step {
    state: &'static str,
    start_ns: Ns,
    duration_ns: u64,
    thread: Option<Tid>,
}

/// All states, in the order of the contract.
struct States<'a>(&'a StateTimes);

impl Serialize for States<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (state, nanos) in self.0.iter() {
            map.serialize_entry(state.id(), &nanos)?;
        }
        map.end()
    }
}

impl<W: Write + Send> Exporter for JsonLines<W> {
    fn request(&mut self, request: &Request) -> Result<(), ExportError> {
        let path = request.path.iter().map(|piece| Step {
            state: piece.state.id(),
            start_ns: piece.from,
            duration_ns: piece.to.since(piece.from),
            thread: request.owner_of(piece),
        });
        let line = Line {
            request: request.id.0,
            route: request.route.as_deref(),
            process: request.pid,
            threads: &request.threads,
            connection: request.conn.0,
            port: request.port,
            peer_port: request.peer_port,
            start: self.clock.rfc3339(request.start),
            start_ns: request.start,
            first_read_ns: request.first_read,
            latency_ns: request.latency(),
            states_ns: States(&request.times),
            path: path.collect(),
            received_bytes: request.received,
            sent_bytes: request.sent,
            arrival_known: request.started_at == StartedAt::Arrival,
            touched_by_loss: request.touched_by_loss,
        };
        serde_json::to_writer(&mut self.out, &line).map_err(std::io::Error::from)?;
        Ok(self.out.write_all(b"\n")?)
    }

    fn finish(mut self: Box<Self>, _: End<'_>) -> Result<(), ExportError> {
        Ok(self.out.flush()?)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::export::testing::{Output, clock, export, requests};

    /// Each request is a line whose states, summed or one after the other, are its latency.
    #[test]
    fn a_request_is_a_line() {
        let out = Output::default();
        export(JsonLines::new(clock(), out.clone()));
        let text = out.text();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let requests = requests();
        assert!(lines.len() == requests.len() && lines.len() > 1_000);
        for (line, request) in lines.iter().zip(&requests) {
            assert_eq!(
                (&line["request"], &line["start_ns"]),
                (&request.id.0.into(), &request.start.0.into())
            );
            let states = line["states_ns"].as_object().unwrap();
            let sum: u64 = states.values().map(|nanos| nanos.as_u64().unwrap()).sum();
            let path = line["path"].as_array().unwrap();
            let steps: u64 = path.iter().map(|step| step["duration_ns"].as_u64().unwrap()).sum();
            assert_eq!((sum, steps), (request.latency(), request.latency()));
        }
    }
}
