use std::collections::HashMap;

use prost::Message;

use super::{
    proto::{Data, Sched, TracePacket, TrackEvent, Type},
    *,
};
use crate::export::testing::{LOST, Output, export, preamble, requests};

#[derive(Clone, PartialEq, Message)]
struct Trace {
    #[prost(message, repeated, tag = "1")]
    packet: Vec<TracePacket>,
}

fn exported() -> Vec<TracePacket> {
    let out = Output::default();
    export(Perfetto::begin(&preamble(), out.clone()).unwrap());
    Trace::decode(out.bytes().as_slice()).unwrap().packet
}

/// Events of tracks in the order of time, with the time.
fn track_events(packets: &[TracePacket]) -> Vec<(u64, &TrackEvent)> {
    let mut events: Vec<_> = packets
        .iter()
        .filter_map(|packet| match &packet.data {
            Some(Data::TrackEvent(event)) => Some((packet.timestamp.unwrap(), event)),
            _ => None,
        })
        .collect();
    events.sort_by_key(|(at, _)| *at);
    events
}

/// Each request is a slice on a track of its own, and its states are slices within that fill it.
#[test]
fn a_request_is_a_slice_with_its_states() {
    let packets = exported();
    let mut open: HashMap<u64, Vec<(u64, &str)>> = HashMap::new();
    let (mut whole, mut states): (HashMap<u64, (u64, u64)>, HashMap<u64, u64>) = Default::default();
    for (at, event) in track_events(&packets) {
        let track = event.track_uuid.unwrap();
        let stack = open.entry(track).or_default();
        match event.r#type() {
            Type::SliceBegin => stack.push((at, event.name.as_deref().unwrap())),
            Type::SliceEnd => {
                let (from, _) = stack.pop().unwrap();
                if track & REQUEST == REQUEST && track & THREAD == 0 {
                    if stack.is_empty() {
                        whole.insert(track & !REQUEST, (from, at));
                    } else {
                        *states.entry(track & !REQUEST).or_default() += at - from;
                    }
                }
            }
            _ => {}
        }
    }
    assert!(open.values().all(Vec::is_empty));
    let requests = requests();
    assert_eq!(whole.len(), requests.len());
    for request in requests {
        assert_eq!(whole[&request.id.0], (request.start.0, request.end.0));
        assert_eq!(states[&request.id.0], request.latency());
    }
}

/// Each CPU goes from whom it went to, and each thread is on one CPU at a time.
#[test]
fn switches_follow_each_other() {
    let packets = exported();
    let mut events = Vec::new();
    for packet in &packets {
        if let Some(Data::FtraceEvents(bundle)) = &packet.data {
            events.extend(
                bundle.event.iter().map(|event| (event.timestamp.unwrap(), bundle.cpu.unwrap(), event)),
            );
        }
    }
    events.sort_by_key(|(at, _, _)| *at);
    let (mut on, mut wakings): (HashMap<u32, i32>, u32) = (HashMap::new(), 0);
    for (at, cpu, event) in &events {
        match event.event.as_ref().unwrap() {
            Sched::Switch(switch) => {
                let (from, to) = (switch.prev_pid.unwrap(), switch.next_pid.unwrap());
                assert_eq!(on.insert(*cpu, to).unwrap_or(0), from, "at {at}");
                assert!(to == 0 || on.values().filter(|tid| **tid == to).count() == 1, "{to} at {at}");
            }
            Sched::Waking(_) => wakings += 1,
        }
    }
    assert!(events.len() > 3_000 && wakings > 1_000, "{} {wakings}", events.len());
}

/// What was lost is marked where it was lost, and counters are told.
#[test]
fn losses_and_counters_are_told() {
    let packets = exported();
    let events = track_events(&packets);
    let lost: Vec<u64> =
        events.iter().filter(|(_, event)| event.track_uuid == Some(LOSSES)).map(|(at, _)| *at).collect();
    assert_eq!(lost, [LOST[0].from.0, LOST[0].to.0]);
    let most = events
        .iter()
        .filter(|(_, event)| event.track_uuid == Some(PER_SECOND))
        .filter_map(|(_, event)| event.counter_value)
        .max();
    // One comes every 40 ms.
    assert!(most.is_some_and(|most| (25..30).contains(&most)), "{most:?}");
}

/// An arrow begins and ends once.
#[test]
fn flows_have_two_ends() {
    let packets = exported();
    let mut ends: HashMap<u64, (u32, u32)> = HashMap::new();
    for (_, event) in track_events(&packets) {
        for flow in &event.flow_ids {
            ends.entry(*flow).or_default().0 += 1;
        }
        for flow in &event.terminating_flow_ids {
            ends.entry(*flow).or_default().1 += 1;
        }
    }
    assert!(ends.len() > 100 && ends.values().all(|(begun, ended)| *begun > 0 && *ended == 1));
}
