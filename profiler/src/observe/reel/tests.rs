//! What a recording shows is a function of the moment; what there is to jump to is where it is said to be.

use std::{
    collections::HashMap,
    fs::File,
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::Duration,
};

use tempfile::{NamedTempFile, TempPath};
use whywait_ebpf::abi::{HEAD_LEN, Header, Plain, SockHead, SockOp, ThreadEnd, kind};

use super::*;
use crate::{
    decode::{Event, What},
    explain::Id,
    live::{
        Motion, Span,
        testing::{BEGAN, events},
    },
    observe::{
        PlaybackPlan, playback, replay,
        survey::{Shared, look, survey},
    },
    platform::signals::StopFlag,
    playback::{Command, Moment},
    recording::{BlockKind, Preamble, Recording, Writer},
    units::{Pid, Tid},
};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
const LENGTH: u64 = 45 * SECOND;
/// How long a thread may take to do what it is told.
const LIMIT: Duration = Duration::from_mins(1);

/// An event as the kernel's programs send it.
fn record(event: &Event, seq: u32) -> Vec<u8> {
    let header = |kind, size: usize| Header {
        ts: event.at.0,
        tid: event.tid.0,
        pid: event.pid.0,
        seq,
        cpu: event.cpu,
        kind,
        len: u32::try_from(size).unwrap(),
        spun: 0,
    };
    macro_rules! bytes {
        ($record:expr, $kind:ident) => {{
            let mut record = $record;
            record.header = header(kind::$kind, size_of_val(&record));
            record.as_bytes().to_vec()
        }};
    }
    match &event.what {
        What::OffCpu(interval) => bytes!(*interval, OFF_CPU),
        What::Conn(conn) => bytes!(*conn, CONN),
        What::SockState(state) => bytes!(*state, SOCK_STATE),
        What::Thread(thread) => bytes!(*thread, THREAD),
        What::ThreadEnd => bytes!(ThreadEnd::default(), THREAD_END),
        What::Socket { op, route: None } => bytes!(*op, SOCK_OP),
        What::Socket { op, route: Some(route) } => {
            let line = format!("{route} HTTP/1.1\r\n");
            let mut head = [0; HEAD_LEN];
            head[..line.len()].copy_from_slice(line.as_bytes());
            let header = header(kind::SOCK_HEAD, size_of::<SockHead>());
            let op = SockOp { header, head_len: u16::try_from(line.len()).unwrap(), ..*op };
            SockHead { op, head }.as_bytes().to_vec()
        }
        What::Stack(_) => unreachable!("the stream has no stacks"),
    }
}

fn facts(second: u64) -> Facts {
    Facts {
        begin: BEGAN,
        end: BEGAN.plus(second * SECOND),
        pids: vec![Pid(4_100)],
        command: "shop".to_owned(),
        ports: vec![8080],
        machine_cpus: 2,
        own_cpu_ns: second * 10 * MS,
        ..Facts::default()
    }
}

/// The fixed stream as a recording, with facts each second, or at the end only.
fn recorded(every_second: bool) -> TempPath {
    let preamble =
        Preamble { command: "shop".to_owned(), began_monotonic_ns: BEGAN.0, ..Preamble::default() };
    let path = NamedTempFile::new().unwrap().into_temp_path();
    let mut writer = Writer::begin(File::create(&path).unwrap(), &preamble).unwrap();
    let mut seqs: HashMap<Tid, u32> = HashMap::new();
    let mut written = 0;
    for event in events() {
        let second = event.at.since(BEGAN) / SECOND;
        if every_second && second > written {
            written = second;
            writer.facts(&facts(second)).unwrap();
        }
        let seq = seqs.entry(event.tid).or_default();
        writer.records(&record(&event, *seq)).unwrap();
        *seq += 1;
    }
    writer.facts(&facts(LENGTH / SECOND)).unwrap();
    writer.finish().unwrap();
    path
}

fn run_to(reel: &mut Reel, at: u64) {
    assert!(reel.run_to(BEGAN.plus(at), &mut || false).unwrap());
}

/// All of a snapshot, but for the memory that it takes: that depends on what was copied.
fn seen(reel: &mut Reel) -> String {
    let mut snapshot = reel.snapshot().unwrap();
    snapshot.health.history_bytes = 0;
    format!("{snapshot:#?}")
}

fn assert_same(one: &str, other: &str, at: u64) {
    let differ = one.lines().zip(other.lines()).find(|(one, other)| one != other);
    assert!(one == other, "at {at} ns: {differ:?}");
}

/// Played in uneven steps, looked at on the way, jumped to from the beginning, and back to from the end: the same picture.
#[test]
fn a_jump_shows_what_playing_shows() {
    let path = recorded(true);
    let moments = [0, 50 * MS, 3_210 * MS, 14_999 * MS, 20 * SECOND, 27_370 * MS, 44_900 * MS, LENGTH];
    let mut played = Reel::open(&path).unwrap();
    let mut pictures = Vec::new();
    let mut step = 0;
    for to in moments {
        while played.position() < BEGAN.plus(to) {
            step += 1;
            let next = played.position().since(BEGAN) + 1 + step * 7_919_333 % (90 * MS);
            run_to(&mut played, next.min(to));
            if step % 5 == 0 {
                played.snapshot().unwrap();
            }
        }
        pictures.push(seen(&mut played));
    }
    assert!(step > 500, "{step} steps");
    let mut jumping = Reel::open(&path).unwrap();
    for (at, picture) in moments.into_iter().zip(&pictures).rev() {
        if BEGAN.plus(at) < jumping.position() {
            jumping.rewind();
        }
        run_to(&mut jumping, at);
        assert_same(&seen(&mut jumping), picture, at);
    }
    // Whoever has enough on the way gets there all the same.
    jumping.rewind();
    while !jumping.run_to(BEGAN.plus(27_370 * MS), &mut || true).unwrap() {}
    assert_same(&seen(&mut jumping), &pictures[5], moments[5]);
}

/// The last picture is the live history of the same records, and its requests are those that a report counts.
#[test]
fn the_end_is_what_a_report_counts() {
    let path = recorded(true);
    let mut reel = Reel::open(&path).unwrap();
    run_to(&mut reel, LENGTH);
    let shown = reel.snapshot().unwrap();

    let mut recording = Recording::open(File::open(&path).unwrap()).unwrap();
    let mut pipeline = Pipeline::new(BEGAN, None);
    pipeline.keep_history(History::new(BEGAN));
    for entry in recording.entries().to_vec() {
        if entry.kind == BlockKind::Records {
            pipeline.records(&recording.block(&entry).unwrap().content, &mut ());
        }
    }
    pipeline.finish(BEGAN.plus(LENGTH));
    shown::advance(&mut pipeline, BEGAN.plus(LENGTH));
    let live = shown::picture(&Snapshot::default(), &mut pipeline, BEGAN.plus(LENGTH));

    let requests = |snapshot: &Snapshot| -> Vec<_> {
        snapshot
            .buckets
            .iter()
            .map(|bucket| (bucket.number, bucket.sums.requests, bucket.sums.switches))
            .collect()
    };
    assert_eq!(requests(&shown), requests(&live));
    let all = Span::of(&shown.buckets, LENGTH).sums.requests;
    let report = replay(&path).unwrap();
    let book = report.observation.pipeline.window().all();
    assert_eq!((all.count, all.times.total()), (book.count(), all.total));
    assert!(all.count > 1_100, "{}", all.count);
    assert!((all.total as f64 / all.count as f64 / 1e3 - book.mean_us()).abs() < 1e-3);
}

/// Everything that can be jumped to is there, when one gets there.
#[test]
fn what_is_found_is_where_it_is_said_to_be() {
    let path = recorded(true);
    let shared = Shared::default();
    survey(&path, &shared, &StopFlag::default()).unwrap();
    let found = look(&shared, |survey| survey.clone());
    assert_eq!(found.until, LENGTH);
    let appears =
        |id| found.appearances().iter().find(|one| one.causes.contains(&id)).map(|one| one.at / SECOND);
    assert_eq!(appears(Id::LockContention), Some(20), "the lock comes after 15 s: {found:#?}");
    assert_eq!(appears(Id::DownstreamSlow), Some(35), "the database comes after 30 s: {found:#?}");
    let mut reel = Reel::open(&path).unwrap();
    for appearance in found.appearances() {
        run_to(&mut reel, appearance.at);
        let snapshot = reel.snapshot().unwrap();
        let explanation = snapshot.explanation.unwrap();
        assert_eq!(snapshot.explained, BEGAN.plus(appearance.at));
        assert_eq!(explanation.missing, Vec::<String>::new());
        for cause in &appearance.causes {
            assert!(explanation.findings.iter().any(|finding| finding.id == *cause), "{cause:?}");
        }
    }
    let slowest = found.slowest().unwrap();
    reel.rewind();
    run_to(&mut reel, slowest.known);
    let snapshot = reel.snapshot().unwrap();
    let mut kept = snapshot.buckets.iter().flat_map(|bucket| &bucket.slowest);
    let kept = kept.find(|kept| kept.request.id == slowest.id).expect("the slowest request is shown");
    assert_eq!((kept.request.latency(), kept.request.end), (slowest.latency, BEGAN.plus(slowest.end)));
    run_to(&mut reel, LENGTH);
    let all = Span::of(&reel.snapshot().unwrap().buckets, LENGTH).sums.requests;
    assert_eq!(all.max, slowest.latency);
}

/// A file with facts at its end only, as a flight recorder writes it: what is not known of a window is said.
#[test]
fn a_window_without_facts_says_so() {
    let path = recorded(false);
    let mut reel = Reel::open(&path).unwrap();
    run_to(&mut reel, 20 * SECOND);
    let explanation = reel.snapshot().unwrap().explanation.unwrap();
    assert_eq!(explanation.missing, [WITHOUT_FACTS]);
}

/// Cut off anywhere, it plays to the end of what is there, and says that something is missing: in a note and in the list.
#[test]
fn what_was_cut_off_is_told() {
    let path = recorded(true);
    let length = File::open(&path).unwrap().metadata().unwrap().len();
    File::options().write(true).open(&path).unwrap().set_len(length * 6 / 10).unwrap();
    let mut reel = Reel::open(&path).unwrap();
    let whole = reel.length();
    assert!((10 * SECOND..40 * SECOND).contains(&whole), "{whole}");
    run_to(&mut reel, whole);
    let snapshot = reel.snapshot().unwrap();
    assert!(snapshot.notes.iter().any(|note| note.text.contains("cut off")), "{:?}", snapshot.notes);
    assert!(reel.cursor().missing.iter().any(|missing| missing.contains("cut off")));
    assert!(Span::of(&snapshot.buckets, LENGTH).sums.requests.count > 200);
}

/// Records of an empty run.
#[test]
fn nothing_can_be_played() {
    let path = NamedTempFile::new().unwrap().into_temp_path();
    Writer::begin(File::create(&path).unwrap(), &Preamble::default()).unwrap().finish().unwrap();
    let mut reel = Reel::open(&path).unwrap();
    run_to(&mut reel, 0);
    assert_eq!((reel.length(), reel.snapshot().unwrap().explanation.is_some()), (0, false));
}

/// A recording that is played on a thread, as the command does it.
struct Played {
    tell: Sender<Command>,
    snapshots: Receiver<Arc<Snapshot>>,
    stop: StopFlag,
    _path: TempPath,
}

impl Played {
    fn start() -> Self {
        let path = recorded(true);
        let (tell, commands) = mpsc::channel();
        let (publish, snapshots) = mpsc::channel();
        let stop = StopFlag::default();
        let plan = PlaybackPlan {
            path: path.to_path_buf(),
            speed: 1.0,
            paused: true,
            at: Some(Moment::FromBegin(SECOND)),
            fps: 10,
            commands,
            publish: Box::new(move |snapshot| drop(publish.send(snapshot))),
        };
        let (reel, over) = (Reel::open(&path).unwrap(), stop.clone());
        thread::spawn(move || playback(reel, plan, &over).unwrap());
        Self { tell, snapshots, stop, _path: path }
    }

    /// Waits for a snapshot that is as wanted.
    fn wait(&self, wanted: impl Fn(&Snapshot, &Cursor) -> bool) -> Arc<Snapshot> {
        loop {
            let snapshot = self.snapshots.recv_timeout(LIMIT).expect("a snapshot");
            if snapshot.cursor.as_ref().is_some_and(|cursor| wanted(&snapshot, cursor)) {
                return snapshot;
            }
        }
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        self.stop.set();
    }
}

/// Commands move what is published; what is asked for before the recording is looked through is answered when it is.
#[test]
fn commands_move_what_is_shown() {
    let played = Played::start();
    let stands = |cursor: &Cursor, at| cursor.motion == Motion::Paused && cursor.position == at;
    let first = played.wait(|_, cursor| stands(cursor, SECOND));
    assert_eq!(first.at, BEGAN.plus(SECOND));
    played.tell.send(Command::Slowest).unwrap();
    let opened = played.wait(|_, cursor| cursor.said.as_ref().is_some_and(|said| said.open.is_some()));
    let cursor = opened.cursor.as_ref().unwrap();
    let said = cursor.said.as_ref().unwrap();
    assert!(said.text.contains("the slowest request"), "{}", said.text);
    assert_eq!(
        (Some(said.open.as_ref().unwrap().request.end.since(BEGAN)), cursor.looked_through),
        (cursor.slowest, 1.0)
    );
    played.tell.send(Command::To(Moment::FromEnd(0))).unwrap();
    played.wait(|_, cursor| cursor.motion == Motion::AtEnd && cursor.position == LENGTH);
    played.tell.send(Command::PreviousFinding).unwrap();
    let found = played.wait(|_, cursor| cursor.motion == Motion::Paused && cursor.position < LENGTH);
    assert_eq!(found.explained, found.at);
    played.tell.send(Command::To(Moment::FromBegin(0))).unwrap();
    let begin = played.wait(|_, cursor| stands(cursor, 0));
    assert_eq!(begin.at, BEGAN);
    played.tell.send(Command::Pause).unwrap();
    played.wait(|snapshot, cursor| cursor.motion == Motion::Playing && snapshot.at > BEGAN.plus(SECOND / 2));
}
