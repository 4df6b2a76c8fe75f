//! A trace for Perfetto: its scheduling views, a track for each request with its states, hand-overs and wake-ups as flows, counters.
//!
//! Threads are told as the kernel's `sched_switch` and `sched_waking` would have told them, so that Perfetto's tables `sched` and
//! `thread_state` and what is built on them are filled. Readers sort by time; packets are written as they become known.

mod counters;
mod packets;
mod proto;
mod switches;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, io::Write};

use rustc_hash::FxHashMap;
use whywait_ebpf::abi::OffCpu;

use self::{
    counters::Counters,
    packets::Packets,
    proto::{
        Annotated, Clock, ClockSnapshot, CounterDescriptor, Data, DebugAnnotation, FtraceEvent, Process,
        ProcessTree, Sched, SchedSwitch, SchedWaking, SystemInfo, ThreadDescriptor, TrackDescriptor,
        TrackEvent, Type, Utsname,
    },
    switches::{Step, Switches},
};
use super::{End, ExportError, Exporter, Lost, WallClock};
use crate::{
    clock::{Request, RequestId},
    decode::{Event, What},
    recording::Preamble,
    units::{Ns, Pid, Tid},
};

/// `BUILTIN_CLOCK_REALTIME`, `BUILTIN_CLOCK_MONOTONIC`, `BUILTIN_CLOCK_BOOTTIME`
const CLOCKS: [u32; 3] = [1, 3, 6];
/// Priority of a thread of the ordinary kind; which one a thread has is not recorded.
const PRIORITY: i32 = 120;

/// Nanoseconds for which a thread that has ended is known still: its last request may be told after it.
const KEPT: u64 = 5_000_000_000;

/// Numbers of tracks; requests, threads and lanes each have a space of their own above these.
const REQUESTS: u64 = 1;
const IN_FLIGHT: u64 = 2;
const PER_SECOND: u64 = 3;
const LOSSES: u64 = 4;
const REQUEST: u64 = 1 << 60;
const THREAD: u64 = 2 << 60;
const LANE: u64 = 3 << 60;

/// A thread as its track is.
struct Named {
    name: String,
    /// Lanes on which requests are shown that it works for, with the moment to which each is taken.
    lanes: Vec<(u64, Ns)>,
    /// It has ended.
    ended: bool,
}

/// Writes a trace.
pub struct Perfetto<W> {
    packets: Packets<W>,
    switches: Switches,
    counters: Counters,
    threads: FxHashMap<Tid, Named>,
    /// Threads that have ended and are known still, by when they did.
    ended: VecDeque<(Ns, Tid)>,
    lanes: u64,
    flows: u64,
}

impl<W: Write + Send> Perfetto<W> {
    /// Begins a trace of a recording.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(preamble: &Preamble, out: W) -> Result<Self, ExportError> {
        let mut packets = Packets::new(out);
        let began = Ns(preamble.began_monotonic_ns);
        let unix = WallClock::of(preamble).unix(began);
        // Perfetto takes the scheduler's events to be by the boot clock. The records are by the monotonic one, which lacks the time that
        // the machine slept; both are told as the same here, so that every time stays as it was recorded.
        let clocks = CLOCKS.into_iter().zip([unix, began.0, began.0]);
        let clocks =
            clocks.map(|(id, timestamp)| Clock { clock_id: Some(id), timestamp: Some(timestamp) }).collect();
        packets.put(began, Data::ClockSnapshot(ClockSnapshot { clocks }))?;
        let utsname = Utsname { sysname: Some("Linux".to_owned()), release: Some(preamble.kernel.clone()) };
        packets.put(began, Data::SystemInfo(SystemInfo { utsname: Some(utsname) }))?;
        let named = |uuid, name: String| TrackDescriptor {
            uuid: Some(uuid),
            name: Some(name),
            ..TrackDescriptor::default()
        };
        let counter = |uuid, name: &str, unit: &str| TrackDescriptor {
            counter: Some(CounterDescriptor { unit_name: Some(unit.to_owned()) }),
            ..named(uuid, name.to_owned())
        };
        packets.track(began, named(REQUESTS, format!("requests of {}", preamble.command)))?;
        packets.track(began, counter(IN_FLIGHT, "requests in flight", "requests"))?;
        packets.track(began, counter(PER_SECOND, "requests per second", "requests"))?;
        packets.track(began, named(LOSSES, "lost records".to_owned()))?;
        Ok(Self {
            packets,
            switches: Switches::default(),
            counters: Counters::default(),
            threads: FxHashMap::default(),
            ended: VecDeque::new(),
            lanes: 0,
            flows: 0,
        })
    }

    fn name(&self, tid: Tid) -> String {
        self.threads.get(&tid).map(|thread| thread.name.clone()).unwrap_or_default()
    }

    /// Begins the track of a thread, or gives it another name.
    fn thread(&mut self, at: Ns, (tid, pid): (Tid, Pid), name: String) -> Result<(), ExportError> {
        let lanes = self.threads.remove(&tid).map(|known| known.lanes).unwrap_or_default();
        let number = |id: u32| i32::try_from(id).ok();
        let thread = proto::Thread { tid: number(tid.0), name: Some(name.clone()), tgid: number(pid.0) };
        let mut tree = ProcessTree { processes: Vec::new(), threads: vec![thread] };
        if tid == pid.main_thread() {
            tree.processes.push(Process { pid: number(pid.0), cmdline: vec![name.clone()] });
        }
        self.packets.put(at, Data::ProcessTree(tree))?;
        let descriptor = ThreadDescriptor {
            pid: number(pid.0),
            tid: Some(i64::from(tid.0)),
            thread_name: Some(name.clone()),
        };
        self.threads.insert(tid, Named { name, lanes, ended: false });
        let uuid = Some(THREAD | u64::from(tid.0));
        let track = TrackDescriptor { uuid, thread: Some(descriptor), ..TrackDescriptor::default() };
        self.packets.track(at, track)
    }

    /// A thread has ended; those that did long before are forgotten, so that a thread for each request is no leak.
    fn end(&mut self, at: Ns, tid: Tid) {
        if let Some(thread) = self.threads.get_mut(&tid) {
            thread.ended = true;
            self.ended.push_back((at, tid));
        }
        while let Some((since, tid)) = self.ended.front().copied()
            && at.since(since) > KEPT
        {
            self.ended.pop_front();
            // Its id may have been given to another one since.
            if self.threads.get(&tid).is_some_and(|thread| thread.ended) {
                self.threads.remove(&tid);
            }
        }
    }

    fn step(&mut self, step: Step) -> Result<(), ExportError> {
        let number = |tid: Tid| i32::try_from(tid.0).ok();
        match step {
            Step::Switch { at, cpu, from, state, to } => {
                let switch = SchedSwitch {
                    prev_comm: Some(self.name(from)),
                    prev_pid: number(from),
                    prev_prio: Some(PRIORITY),
                    prev_state: Some(i64::from(state)),
                    next_comm: Some(self.name(to)),
                    next_pid: number(to),
                    next_prio: Some(PRIORITY),
                };
                let event = Some(Sched::Switch(switch));
                self.packets.sched(cpu, FtraceEvent { timestamp: Some(at.0), pid: Some(from.0), event })
            }
            Step::Wake { at, cpu, waker, tid, target_cpu } => {
                let waking = SchedWaking {
                    comm: Some(self.name(tid)),
                    pid: number(tid),
                    prio: Some(PRIORITY),
                    success: Some(1),
                    target_cpu: Some(i32::from(target_cpu)),
                };
                let event = Some(Sched::Waking(waking));
                self.packets.sched(cpu, FtraceEvent { timestamp: Some(at.0), pid: Some(waker.0), event })
            }
        }
    }

    /// A wake-up of a thread by another one, as an arrow between their tracks.
    fn wake(&mut self, event: &Event, interval: &OffCpu) -> Result<(), ExportError> {
        let (waker, tid) = (Tid(interval.waker_tid), event.tid);
        if interval.woken == 0 || !self.threads.contains_key(&waker) || waker == tid {
            return Ok(());
        }
        self.flows += 1;
        let instant = |tid: Tid, name: String| TrackEvent {
            r#type: Some(Type::Instant.into()),
            track_uuid: Some(THREAD | u64::from(tid.0)),
            categories: vec!["wake-up".to_owned()],
            name: Some(name),
            ..TrackEvent::default()
        };
        let begin =
            TrackEvent { flow_ids: vec![self.flows], ..instant(waker, format!("wakes {}", self.name(tid))) };
        let end = TrackEvent {
            terminating_flow_ids: vec![self.flows],
            ..instant(tid, format!("woken by {}", self.name(waker)))
        };
        self.packets.event(Ns(interval.woken), begin)?;
        self.packets.event(event.at, end)
    }

    /// A slice on a track, with what is in it.
    fn slice(&mut self, (from, to): (Ns, Ns), begin: TrackEvent) -> Result<(), ExportError> {
        let track_uuid = begin.track_uuid;
        self.packets.event(from, TrackEvent { r#type: Some(Type::SliceBegin.into()), ..begin })?;
        let end = TrackEvent { r#type: Some(Type::SliceEnd.into()), track_uuid, ..TrackEvent::default() };
        self.packets.event(to, end)
    }

    /// What each thread did for a request, on a lane of its own below the thread: hand-overs are arrows between them.
    fn owners(&mut self, request: &Request, name: &str) -> Result<(), ExportError> {
        let mut owned: Vec<(Tid, Ns, Ns)> = Vec::new();
        for piece in &request.path {
            let Some(tid) = request.owner_of(piece) else { continue };
            match owned.last_mut() {
                Some(last) if last.0 == tid => last.2 = piece.to,
                _ => owned.push((tid, piece.from, piece.to)),
            }
        }
        self.flows += 1;
        let flow = self.flows;
        let last = owned.len().saturating_sub(1);
        for (place, (tid, from, to)) in owned.into_iter().enumerate() {
            let Some(track_uuid) = self.lane(tid, from, to)? else { continue };
            let begin = TrackEvent {
                track_uuid: Some(track_uuid),
                categories: vec!["owner".to_owned()],
                name: Some(name.to_owned()),
                debug_annotations: vec![annotation("request", Annotated::Uint(request.id.0))],
                flow_ids: if place < last { vec![flow] } else { Vec::new() },
                terminating_flow_ids: if place == last && last > 0 { vec![flow] } else { Vec::new() },
                ..TrackEvent::default()
            };
            self.slice((from, to), begin)?;
        }
        Ok(())
    }

    /// A lane of a thread that is free from a moment on; a thread has more than one when it goes from request to request and back.
    fn lane(&mut self, tid: Tid, from: Ns, to: Ns) -> Result<Option<u64>, ExportError> {
        let Some(thread) = self.threads.get_mut(&tid) else { return Ok(None) };
        if let Some((uuid, taken)) = thread.lanes.iter_mut().find(|(_, taken)| *taken <= from) {
            *taken = to;
            return Ok(Some(*uuid));
        }
        self.lanes += 1;
        let uuid = LANE | self.lanes;
        thread.lanes.push((uuid, to));
        let track = TrackDescriptor {
            uuid: Some(uuid),
            name: Some(format!("{} works for", thread.name)),
            parent_uuid: Some(THREAD | u64::from(tid.0)),
            ..TrackDescriptor::default()
        };
        self.packets.track(from, track)?;
        Ok(Some(uuid))
    }

    fn lost(&mut self, lost: &Lost) -> Result<(), ExportError> {
        let begin = TrackEvent {
            track_uuid: Some(LOSSES),
            name: Some("records found no room".to_owned()),
            debug_annotations: vec![annotation("records", Annotated::Uint(lost.records))],
            ..TrackEvent::default()
        };
        self.slice((lost.from, lost.to), begin)
    }
}

fn annotation(name: &str, value: Annotated) -> DebugAnnotation {
    DebugAnnotation { name: Some(name.to_owned()), value: Some(value) }
}

/// What is said of a request.
fn annotations(request: &Request) -> Vec<DebugAnnotation> {
    let micros = |nanos: u64| Annotated::Double(nanos as f64 / 1e3);
    let threads: Vec<String> = request.threads.iter().map(ToString::to_string).collect();
    let mut all = vec![
        annotation("request", Annotated::Uint(request.id.0)),
        annotation("connection", Annotated::Uint(request.conn.0)),
        annotation("port", Annotated::Uint(request.port.into())),
        annotation("threads", Annotated::Text(threads.join(", "))),
        annotation("received bytes", Annotated::Uint(request.received.0)),
        annotation("sent bytes", Annotated::Uint(request.sent.0)),
        annotation("touched by loss", Annotated::Bool(request.touched_by_loss)),
    ];
    let times = request.times.iter().filter(|(_, nanos)| *nanos > 0);
    all.extend(times.map(|(state, nanos)| annotation(&format!("{} us", state.id()), micros(nanos))));
    all
}

impl<W: Write + Send> Exporter for Perfetto<W> {
    fn event(&mut self, event: &Event, _: Option<RequestId>) -> Result<(), ExportError> {
        match &event.what {
            What::Thread(thread) => {
                let length = thread.comm.iter().position(|byte| *byte == 0).unwrap_or(thread.comm.len());
                let name = String::from_utf8_lossy(&thread.comm[..length]).into_owned();
                self.thread(event.at, (event.tid, event.pid), name)?;
            }
            What::OffCpu(interval) => {
                if !self.threads.contains_key(&event.tid) {
                    self.thread(event.at, (event.tid, event.pid), String::new())?;
                }
                self.wake(event, interval)?;
            }
            _ => {}
        }
        for step in self.switches.event(event) {
            self.step(step)?;
        }
        if matches!(event.what, What::ThreadEnd) {
            self.end(event.at, event.tid);
        }
        if event.missing > 0 {
            let lost = Lost { from: event.at, to: event.at, records: event.missing.into() };
            self.lost(&lost)?;
        }
        Ok(())
    }

    fn request(&mut self, request: &Request) -> Result<(), ExportError> {
        self.counters.request(request);
        let uuid = REQUEST | request.id.0;
        let name = request.route.as_deref().unwrap_or("request");
        let track = TrackDescriptor {
            uuid: Some(uuid),
            name: Some(name.to_owned()),
            parent_uuid: Some(REQUESTS),
            ..TrackDescriptor::default()
        };
        self.packets.track(request.start, track)?;
        let event = |kind: Type| TrackEvent {
            r#type: Some(kind.into()),
            track_uuid: Some(uuid),
            ..TrackEvent::default()
        };
        let begin = TrackEvent {
            categories: vec!["request".to_owned()],
            name: Some(name.to_owned()),
            debug_annotations: annotations(request),
            ..event(Type::SliceBegin)
        };
        self.packets.event(request.start, begin)?;
        for piece in &request.path {
            let owner =
                request.owner_of(piece).map(|tid| annotation("thread", Annotated::Uint(tid.0.into())));
            let begin = TrackEvent {
                track_uuid: Some(uuid),
                categories: vec!["state".to_owned()],
                name: Some(piece.state.id().to_owned()),
                debug_annotations: owner.into_iter().collect(),
                ..TrackEvent::default()
            };
            self.slice((piece.from, piece.to), begin)?;
        }
        self.packets.event(request.end, event(Type::SliceEnd))?;
        self.owners(request, name)
    }

    fn finish(mut self: Box<Self>, end: End<'_>) -> Result<(), ExportError> {
        for step in std::mem::take(&mut self.switches).finish() {
            self.step(step)?;
        }
        for lost in end.lost {
            self.lost(lost)?;
        }
        let counter = |uuid, value| TrackEvent {
            r#type: Some(Type::Counter.into()),
            track_uuid: Some(uuid),
            counter_value: Some(value),
            ..TrackEvent::default()
        };
        for reading in self.counters.readings() {
            self.packets.event(reading.at, counter(IN_FLIGHT, reading.in_flight))?;
            self.packets.event(reading.at, counter(PER_SECOND, reading.per_second))?;
        }
        self.packets.finish()
    }
}
