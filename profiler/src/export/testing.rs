//! A made-up recording, exported.
#![allow(clippy::missing_panics_doc, reason = "a test fails by panicking")]

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    sync::{Arc, Mutex},
};

use super::{End, Export, Exporter, Lost, WallClock};
use crate::{
    clock::{Request, State},
    decode::End as StackEnd,
    live::testing::{BEGAN, events},
    observe::{Pipeline, Sink},
    recording::Preamble,
    stacks::{Code, Frame, Hot, Place, Stacks, StateStacks},
    units::Pid,
};

/// An output that can be looked at afterwards.
#[derive(Clone, Default)]
pub struct Output(Arc<Mutex<Vec<u8>>>);

impl Output {
    /// What has been written.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }

    /// The same as text.
    pub fn text(&self) -> String {
        String::from_utf8(self.bytes()).unwrap()
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The next message of a connection, its first line and its body, answered with this status; `None` at the end.
pub fn posted(input: &mut BufReader<TcpStream>, status: &str) -> Option<(String, Vec<u8>)> {
    let (mut first, mut line, mut length) = (String::new(), String::new(), 0);
    while input.read_line(&mut line).is_ok_and(|read| read > 0) && line != "\r\n" {
        if first.is_empty() {
            first.clone_from(&line);
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    if first.is_empty() {
        return None;
    }
    let mut body = vec![0; length];
    input.read_exact(&mut body).unwrap();
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    input.get_mut().write_all(answer.as_bytes()).unwrap();
    Some((first, body))
}

/// Where the made-up recording comes from.
pub fn preamble() -> Preamble {
    Preamble {
        kernel: "6.18.0".to_owned(),
        command: "shop".to_owned(),
        pids: vec![4_100],
        began_unix_ns: 1_700_000_000_000_000_000,
        began_monotonic_ns: BEGAN.0,
        ..Preamble::default()
    }
}

/// Its clock.
pub fn clock() -> WallClock {
    WallClock::of(&preamble())
}

/// Records that were lost in it.
pub const LOST: [Lost; 1] =
    [Lost { from: crate::units::Ns(BEGAN.0 + 5), to: crate::units::Ns(BEGAN.0 + 9_000), records: 17 }];

/// The events of [`events`] through a pipeline, and what came of it.
pub fn run(sink: Sink) -> Pipeline {
    let mut pipeline = Pipeline::new(BEGAN, Some(sink));
    pipeline.keep_paths();
    let events = events();
    pipeline.feed(&events);
    pipeline.finish(events.last().unwrap().at.plus(1_000));
    pipeline
}

/// Its requests.
pub fn requests() -> Vec<Request> {
    let requests = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&requests);
    run(Box::new(move |request: &Request| kept.lock().unwrap().push(request.clone())));
    std::mem::take(&mut *requests.lock().unwrap())
}

/// Names each address by its number.
struct Numbered;

impl Code for Numbered {
    fn kernel(&mut self, addresses: &[u64]) -> Vec<Frame> {
        addresses.iter().map(|address| frame(&format!("k{address:x}"))).collect()
    }

    fn user(&mut self, _: Pid, address: u64) -> Vec<Frame> {
        vec![frame(&format!("f{address:x}"))]
    }
}

/// A frame of this name.
pub fn frame(name: &str) -> Frame {
    Frame { name: Some(name.to_owned()), place: Place::File("shop".to_owned()) }
}

/// Stacks of a run: 300 µs in a lock and 100 µs on the CPU in one route, 50 µs on the CPU in another.
pub fn stacks() -> Stacks {
    let hot = |names: &[&str], time_us| Hot {
        frames: names.iter().rev().map(|name| frame(name)).collect(),
        end: StackEnd::Root,
        time_us,
    };
    let of = |state, route: &str, stacks: Vec<Hot>, without_us| StateStacks {
        state,
        route: Some(route.to_owned()),
        time_us: stacks.iter().map(|hot| hot.time_us).sum::<f64>() + without_us,
        without_us,
        stacks,
    };
    Stacks {
        states: vec![
            of(State::Lock, "POST /order", vec![hot(&["main", "order", "Mutex::lock"], 300.0)], 20.0),
            of(
                State::OnCpu,
                "POST /order",
                vec![hot(&["main", "order", "sum"], 60.0), hot(&["main", "order"], 40.0)],
                0.0,
            ),
            of(State::OnCpu, "GET /stock", vec![hot(&["main", "stock <&T>"], 50.0)], 0.0),
        ],
        ..Stacks::default()
    }
}

/// Exports the made-up recording.
pub fn export(exporter: impl Exporter + 'static) {
    let export = Export::new(Box::new(exporter), None);
    let pipeline = run(export.sink());
    let stacks = stacks();
    let end = End { pipeline: &pipeline, stacks: &stacks, lost: &LOST, code: &mut Numbered, route: None };
    assert_eq!(export.finish(end).unwrap(), requests().len() as u64);
}
