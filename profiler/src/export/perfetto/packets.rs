//! Writes a trace, packet by packet.

use std::io::Write;

use prost::Message;

use super::proto::{Data, FtraceEvent, FtraceEventBundle, TracePacket, TrackDescriptor, TrackEvent};
use crate::{export::ExportError, units::Ns};

/// Field 1 of a trace, length-delimited: what stands before each packet.
const PACKET: u8 = 1 << 3 | 2;
/// All packets are of one sequence.
const SEQUENCE: u32 = 1;
/// `SEQ_INCREMENTAL_STATE_CLEARED`
const CLEARED: u32 = 1;
/// Events of a CPU that are held and written together.
const BUNDLE: usize = 512;

/// A trace that is being written.
pub struct Packets<W> {
    out: W,
    began: bool,
    /// Events that are held, by CPU.
    bundles: Vec<Vec<FtraceEvent>>,
    bytes: Vec<u8>,
}

impl<W: Write> Packets<W> {
    pub fn new(out: W) -> Self {
        Self { out, began: false, bundles: Vec::new(), bytes: Vec::new() }
    }

    /// Writes a packet.
    pub fn put(&mut self, at: Ns, data: Data) -> Result<(), ExportError> {
        let packet = TracePacket {
            timestamp: Some(at.0),
            trusted_packet_sequence_id: SEQUENCE,
            sequence_flags: if self.began { 0 } else { CLEARED },
            data: Some(data),
        };
        self.began = true;
        self.bytes.clear();
        self.bytes.push(PACKET);
        // A vector has room for all that a message can be.
        let _infallible = packet.encode_length_delimited(&mut self.bytes);
        Ok(self.out.write_all(&self.bytes)?)
    }

    /// Begins a track.
    pub fn track(&mut self, at: Ns, track: TrackDescriptor) -> Result<(), ExportError> {
        self.put(at, Data::TrackDescriptor(track))
    }

    /// Writes an event of a track.
    pub fn event(&mut self, at: Ns, event: TrackEvent) -> Result<(), ExportError> {
        self.put(at, Data::TrackEvent(event))
    }

    /// Writes an event of a CPU, sooner or later: readers sort by time.
    pub fn sched(&mut self, cpu: u16, event: FtraceEvent) -> Result<(), ExportError> {
        let place = usize::from(cpu);
        if self.bundles.len() <= place {
            self.bundles.resize_with(place + 1, Vec::new);
        }
        self.bundles[place].push(event);
        if self.bundles[place].len() == BUNDLE { self.flush_cpu(place) } else { Ok(()) }
    }

    fn flush_cpu(&mut self, place: usize) -> Result<(), ExportError> {
        let mut event = std::mem::take(&mut self.bundles[place]);
        event.sort_by_key(|event| event.timestamp);
        let Some(last) = event.last().and_then(|last| last.timestamp) else { return Ok(()) };
        let cpu = u32::try_from(place).ok();
        self.put(Ns(last), Data::FtraceEvents(FtraceEventBundle { cpu, event }))
    }

    /// Writes what is held.
    pub fn finish(mut self) -> Result<(), ExportError> {
        for place in 0..self.bundles.len() {
            self.flush_cpu(place)?;
        }
        Ok(self.out.flush()?)
    }
}
