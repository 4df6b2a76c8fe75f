//! A profile for the Firefox Profiler: what threads did and the states of requests as markers, stacks as samples.
//!
//! The profile is one JSON object that is written at the end, so it is held until then: at most [`MOST`] markers and samples of each
//! kind, of which a browser would show no more.

use std::{
    io::{BufWriter, Write},
    time::Duration,
};

use fxprof_processed_profile::{
    CategoryColor, CategoryHandle, CpuDelta, Frame as ProfileFrame, FrameFlags, FrameInfo, MarkerFieldFlags,
    MarkerFieldFormat, MarkerTiming, ProcessHandle, Profile, ReferenceTimestamp, SamplingInterval,
    StaticSchemaMarker, StaticSchemaMarkerField, StringHandle, ThreadHandle, Timestamp,
};
use rustc_hash::FxHashMap;

use super::{End, ExportError, Exporter, Stretches, WallClock};
use crate::{
    clock::{Request, RequestId, State},
    decode::{Event, StackId, Taken, What},
    live::Share,
    recording::Preamble,
    stacks::Frame,
    units::{Ns, Pid, Tid},
};

/// Markers, and samples, that are held.
pub const MOST: usize = 1_000_000;
/// Thread of a process under which its requests are shown.
const REQUESTS: &str = "requests";

/// A request, or a stretch of time in a state.
struct Stay {
    name: StringHandle,
    category: CategoryHandle,
    route: StringHandle,
    request: f64,
    thread: f64,
}

impl StaticSchemaMarker for Stay {
    const UNIQUE_MARKER_TYPE_NAME: &'static str = "whywait";
    const CHART_LABEL: Option<&'static str> = Some("{marker.data.route}");
    const TABLE_LABEL: Option<&'static str> = Some("{marker.name} {marker.data.route}");
    const FIELDS: &'static [StaticSchemaMarkerField] = &[
        StaticSchemaMarkerField {
            key: "route",
            label: "Route",
            format: MarkerFieldFormat::String,
            flags: MarkerFieldFlags::SEARCHABLE,
        },
        StaticSchemaMarkerField {
            key: "request",
            label: "Request",
            format: MarkerFieldFormat::Integer,
            flags: MarkerFieldFlags::SEARCHABLE,
        },
        StaticSchemaMarkerField {
            key: "thread",
            label: "Thread",
            format: MarkerFieldFormat::Integer,
            flags: MarkerFieldFlags::SEARCHABLE,
        },
    ];

    fn name(&self, _: &mut Profile) -> StringHandle {
        self.name
    }

    fn category(&self, _: &mut Profile) -> CategoryHandle {
        self.category
    }

    fn string_field_value(&self, _: u32) -> StringHandle {
        self.route
    }

    fn number_field_value(&self, field: u32) -> f64 {
        if field == 1 { self.request } else { self.thread }
    }
}

/// A stack that was taken.
struct Sample {
    at: Ns,
    thread: ThreadHandle,
    taken: Taken,
    stack: StackId,
}

/// Writes a profile.
pub struct Firefox<W: Write> {
    profile: Profile,
    out: W,
    began: Ns,
    command: String,
    categories: [CategoryHandle; State::COUNT],
    idle: CategoryHandle,
    processes: FxHashMap<Pid, ProcessHandle>,
    threads: FxHashMap<Tid, ThreadHandle>,
    /// By process, the thread under which its requests are shown.
    requests: FxHashMap<Pid, ThreadHandle>,
    stretches: Stretches,
    samples: Vec<Sample>,
    markers: usize,
    /// What was left out.
    omitted: u64,
}

impl<W: Write + Send> Firefox<W> {
    /// Begins the profile of a recording.
    pub fn new(preamble: &Preamble, out: W) -> Self {
        let began = Ns(preamble.began_monotonic_ns);
        let unix = Duration::from_nanos(WallClock::of(preamble).unix(began));
        let reference = ReferenceTimestamp::from_duration_since_unix_epoch(unix);
        let mut profile = Profile::new(&preamble.command, reference, SamplingInterval::from_millis(1));
        profile.set_os_name("Linux");
        profile.set_symbolicated(true);
        let categories = State::ALL.map(|state| profile.add_category(state.words(), colour(state)));
        let idle = profile.add_category("waiting for something to do", CategoryColor::Transparent);
        Self {
            profile,
            out,
            began,
            command: preamble.command.clone(),
            categories,
            idle,
            processes: FxHashMap::default(),
            threads: FxHashMap::default(),
            requests: FxHashMap::default(),
            stretches: Stretches::default(),
            samples: Vec::new(),
            markers: 0,
            omitted: 0,
        }
    }

    fn time(&self, at: Ns) -> Timestamp {
        Timestamp::from_nanos_since_reference(at.since(self.began))
    }

    fn category(&self, share: Share) -> CategoryHandle {
        share.map_or(self.idle, |state| self.categories[state as usize])
    }

    fn process(&mut self, pid: Pid, at: Ns) -> ProcessHandle {
        let start = self.time(at);
        let Self { profile, processes, command, .. } = self;
        *processes.entry(pid).or_insert_with(|| profile.add_process(command, pid.0, start))
    }

    fn thread(&mut self, (tid, pid): (Tid, Pid), at: Ns) -> ThreadHandle {
        if let Some(known) = self.threads.get(&tid) {
            return *known;
        }
        let (process, start) = (self.process(pid, at), self.time(at));
        let thread = self.profile.add_thread(process, tid.0, start, tid == pid.main_thread());
        self.threads.insert(tid, thread);
        thread
    }

    fn requests_of(&mut self, pid: Pid, at: Ns) -> ThreadHandle {
        if let Some(known) = self.requests.get(&pid) {
            return *known;
        }
        let (process, start) = (self.process(pid, at), self.time(at));
        let thread = self.profile.add_thread(process, pid.0, start, false);
        self.profile.set_thread_name(thread, REQUESTS);
        self.profile.set_thread_show_markers_in_timeline(thread, true);
        self.requests.insert(pid, thread);
        thread
    }

    fn marker(
        &mut self,
        thread: ThreadHandle,
        (from, to): (Ns, Ns),
        (name, share): (&str, Share),
        (route, request, tid): (&str, Option<RequestId>, Option<Tid>),
    ) {
        if self.markers == MOST {
            self.omitted += 1;
            return;
        }
        self.markers += 1;
        let stay = Stay {
            name: self.profile.intern_string(name),
            category: self.category(share),
            route: self.profile.intern_string(route),
            request: request.map_or(-1.0, |id| id.0 as f64),
            thread: tid.map_or(-1.0, |tid| f64::from(tid.0)),
        };
        let timing = MarkerTiming::Interval(self.time(from), self.time(to));
        self.profile.add_marker(thread, timing, stay);
    }

    /// Stacks in the order of time, each with the names of its functions.
    fn add_samples(&mut self, end: &mut End<'_>) {
        let mut samples = std::mem::take(&mut self.samples);
        samples.sort_by_key(|sample| sample.at);
        let mut named: FxHashMap<StackId, Vec<Frame>> = FxHashMap::default();
        for sample in samples {
            let thread = sample.thread;
            let frames = named
                .entry(sample.stack)
                .or_insert_with(|| end.code.frames(end.pipeline.traces().get(sample.stack)));
            let share = if sample.taken == Taken::OnCpu { Some(State::OnCpu) } else { None };
            let category = self.category(share);
            let time = self.time(sample.at);
            let profile = &mut self.profile;
            let infos: Vec<FrameInfo> = frames
                .iter()
                .rev()
                .map(|frame| FrameInfo {
                    frame: ProfileFrame::Label(profile.intern_string(&frame.text())),
                    category_pair: category.into(),
                    flags: FrameFlags::empty(),
                })
                .collect();
            let stack = profile.intern_stack_frames(thread, infos.into_iter());
            profile.add_sample(thread, time, stack, CpuDelta::ZERO, 1);
        }
    }
}

/// The nearest of the profiler's colours.
fn colour(state: State) -> CategoryColor {
    match state {
        State::AcceptQueue | State::RecvQueue => CategoryColor::Yellow,
        State::AppQueue => CategoryColor::Brown,
        State::OnCpu => CategoryColor::Green,
        State::RunQueue => CategoryColor::Orange,
        State::Lock => CategoryColor::Red,
        State::KernelLock => CategoryColor::LightRed,
        State::Disk | State::Send => CategoryColor::Blue,
        State::PageFault => CategoryColor::Purple,
        State::Downstream => CategoryColor::LightBlue,
        State::Child => CategoryColor::LightGreen,
        State::Sleep => CategoryColor::Magenta,
        State::Other => CategoryColor::Gray,
    }
}

impl<W: Write + Send> Exporter for Firefox<W> {
    fn event(&mut self, event: &Event, serving: Option<RequestId>) -> Result<(), ExportError> {
        match &event.what {
            What::Thread(told) => {
                let thread = self.thread((event.tid, event.pid), event.at);
                let length = told.comm.iter().position(|byte| *byte == 0).unwrap_or(told.comm.len());
                self.profile.set_thread_name(thread, &String::from_utf8_lossy(&told.comm[..length]));
            }
            What::Stack(stack) => {
                let id = stack.id.filter(|_| stack.taken != Taken::Waker);
                if self.samples.len() == MOST {
                    self.omitted += 1;
                } else if let Some(id) = id {
                    let thread = self.thread((event.tid, event.pid), stack.at);
                    self.samples.push(Sample { at: stack.at, thread, taken: stack.taken, stack: id });
                }
            }
            _ => {}
        }
        for stretch in self.stretches.event(event, serving) {
            let thread = self.thread((stretch.tid, stretch.pid), stretch.from);
            let name = stretch.share.map_or("idle", State::id);
            let told = ("", stretch.serving, Some(stretch.tid));
            self.marker(thread, (stretch.from, stretch.to), (name, stretch.share), told);
        }
        if matches!(event.what, What::ThreadEnd)
            && let Some(thread) = self.threads.remove(&event.tid)
        {
            let time = self.time(event.at);
            self.profile.set_thread_end_time(thread, time);
        }
        Ok(())
    }

    fn request(&mut self, request: &Request) -> Result<(), ExportError> {
        let thread = self.requests_of(request.pid, request.start);
        let route = request.route.as_deref().unwrap_or("request");
        let id = Some(request.id);
        let reader = request.threads.first().copied();
        self.marker(thread, (request.start, request.end), ("request", None), (route, id, reader));
        for piece in &request.path {
            let told = (route, id, request.owner_of(piece));
            self.marker(thread, (piece.from, piece.to), (piece.state.id(), Some(piece.state)), told);
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, mut end: End<'_>) -> Result<(), ExportError> {
        self.add_samples(&mut end);
        if self.omitted > 0 {
            log::warn!(
                "the profile holds {MOST} markers and samples of each kind; {} that came later are left out",
                self.omitted
            );
        }
        let mut out = BufWriter::new(self.out);
        serde_json::to_writer(&mut out, &self.profile).map_err(std::io::Error::from)?;
        Ok(out.flush()?)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::export::testing::{Output, export, preamble, requests};

    /// The requests of the process are markers of its own thread, each with its beginning and its end.
    #[test]
    fn requests_are_markers() {
        let out = Output::default();
        export(Firefox::new(&preamble(), out.clone()));
        let profile: Value = serde_json::from_str(&out.text()).unwrap();
        let threads = profile["threads"].as_array().unwrap();
        let named: Vec<&str> = threads.iter().map(|thread| thread["name"].as_str().unwrap()).collect();
        assert!(named.contains(&"worker-1") && named.contains(&REQUESTS), "{named:?}");
        let thread = threads.iter().find(|thread| thread["name"] == REQUESTS).unwrap();
        let markers = &thread["markers"];
        let of = |column: &str, place: usize| markers[column][place].as_f64().unwrap();
        let count = markers["length"].as_u64().unwrap();
        let whole: Vec<usize> = (0..usize::try_from(count).unwrap())
            .filter(|place| {
                let name = usize::try_from(markers["name"][*place].as_u64().unwrap()).unwrap();
                profile["shared"]["stringArray"][name] == "request"
                    || thread["stringArray"][name] == "request"
            })
            .collect();
        let requests = requests();
        assert_eq!(whole.len(), requests.len());
        for (place, request) in whole.into_iter().zip(&requests) {
            let began = preamble().began_monotonic_ns as f64;
            let error = of("startTime", place) - (request.start.0 as f64 - began) / 1e6;
            let length = of("endTime", place) - of("startTime", place);
            assert!(error.abs() < 1e-3 && (length - request.latency() as f64 / 1e6).abs() < 1e-3);
        }
    }
}
