//! Everything that can be made of a recording, and what must hold of it whoever made the file.

use std::{
    io::{self, Cursor, Write},
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    clock::Request,
    compare::{self, Recorded, Sample},
    export::{
        Destination, Encoding, End, Export, Exporter, Firefox, Form, JsonLines, Lost, Otlp, Perfetto, Pprof,
        Profiles, Receiver, Table, Tables, WallClock,
    },
    live::{History, Snapshot},
    observe::{Pipeline, Replayed, Sink, replayed},
    printable::is_printable,
    recording::{Preamble, Recording},
    report::{Course, Explanation, Palette, explain, write_page, write_text},
    units::Ns,
};

/// Text, JSON, page and comparison of a file, where it is one.
pub fn of(file: &[u8]) {
    let sum = Arc::new(Mutex::new((Course::new(Ns(0)), Sample::default())));
    let told = Arc::clone(&sum);
    let sink = move |request: &Request| {
        let total: u64 = request.times.total();
        assert_eq!(total, request.latency(), "the states do not sum to the latency: {request:?}");
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        told.0.request(request);
        told.1.add(request);
    };
    let Some(replayed) = replay(file, Box::new(sink)) else { return };
    let sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
    let mut explanation = explain(&replayed.observation);
    explanation.missing.clone_from(&replayed.missing);
    text(&explanation);
    assert!(serde_json::to_vec(&explanation).is_ok(), "an explanation that is no JSON");
    page(&explanation, &replayed, &sum.0);
    let side = || Recorded {
        name: "a\x1b[31m".to_owned(),
        sample: &sum.1,
        span: replayed.observation.pipeline.window().span(),
        explanation: &explanation,
    };
    let comparison = compare::compare(&side(), &side(), &[]);
    let mut out = Vec::new();
    let _written = compare::write_comparison(&comparison, Palette::PLAIN, &mut out);
    harmless(&out);
    let _written = compare::write_page(&comparison, &mut out);
}

/// The same in one of the formats of other tools.
pub fn export(file: &[u8], format: usize) {
    let Ok(recording) = Recording::open(Cursor::new(file)) else { return };
    let preamble = recording.preamble().clone();
    let lost = Lost::of(recording.entries());
    let Some(exporter) = exporter(format, &preamble) else { return };
    let export = Export::new(exporter, None);
    let Some(mut replayed) = replay(file, export.sink()) else { return };
    let end = End {
        pipeline: &replayed.observation.pipeline,
        stacks: &replayed.observation.stacks,
        lost: &lost,
        code: &mut replayed.names,
        route: None,
    };
    let written = export.finish(end);
    assert!(written.is_ok(), "{:?}", written.err());
}

/// The dashboard's side of the same records, which comes without a file.
pub fn live(records: &[u8]) {
    let begin = Ns(super::server::BEGAN);
    let mut pipeline = Pipeline::new(begin, None);
    pipeline.keep_history(History::new(begin));
    let (first, second) = records.split_at(records.len() / 2);
    for part in [first, second] {
        pipeline.records(part, &mut ());
        pipeline.idle();
        pipeline.settle(begin.plus(1_000_000));
        let mut snapshot = Snapshot::default();
        if let Some(history) = pipeline.history() {
            history.tell(&mut snapshot);
        }
        let _past = pipeline.turn(begin.plus(2_000_000));
    }
    pipeline.finish(begin.plus(10_000_000_000));
}

fn replay(file: &[u8], sink: Sink) -> Option<Replayed> {
    let recording = Recording::open(Cursor::new(file)).ok()?;
    replayed(recording, Some((Box::new(move |_| sink), &|| false))).ok()
}

fn text(explanation: &Explanation) {
    let mut out = Vec::new();
    let written = write_text(explanation, Palette::PLAIN, &mut out);
    assert!(written.is_ok());
    harmless(&out);
}

/// Nothing in a text can move a terminal's cursor, or do worse.
fn harmless(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    let odd = text.chars().find(|letter| *letter != '\n' && !is_printable(*letter));
    assert!(odd.is_none(), "{odd:?} in {text:?}");
}

fn page(explanation: &Explanation, replayed: &Replayed, course: &Course) {
    let mut out = Vec::new();
    let written = write_page(explanation, &replayed.observation, course, &mut out);
    assert!(written.is_ok());
    let page = String::from_utf8_lossy(&out);
    let scripts = page.matches("<script").count();
    assert_eq!(scripts, 2, "the page has its data and its script, and nothing of a stranger's");
}

/// Takes everything and keeps nothing.
struct Nowhere;

impl Write for Nowhere {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn exporter(format: usize, preamble: &Preamble) -> Option<Box<dyn Exporter>> {
    let clock = WallClock::of(preamble);
    let tables = |encoding| {
        let table = Table::ALL[format / 9 % Table::ALL.len()];
        Tables::begin(clock, encoding, Destination::One(table, Box::new(Nowhere))).ok()
    };
    Some(match format % 9 {
        0 => Box::new(Perfetto::begin(preamble, Nowhere).ok()?),
        1 => Box::new(Firefox::new(preamble, Nowhere)),
        2 => Box::new(Pprof::new(clock, Nowhere)),
        3 => Box::new(Profiles::new(Form::Folded, preamble.command.clone(), Nowhere)),
        4 => Box::new(Profiles::new(Form::Svg, preamble.command.clone(), Nowhere)),
        5 => Box::new(tables(Encoding::Parquet)?),
        6 => Box::new(tables(Encoding::Csv)?),
        7 => Box::new(JsonLines::new(clock, Nowhere)),
        _ => Box::new(Otlp::new(preamble, Receiver::Lines(Box::new(Nowhere)))),
    })
}
