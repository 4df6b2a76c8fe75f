//! The newest records in memory, in compressed pieces: what a flight recorder holds until somebody wants to see what has led up to this.

use std::{collections::VecDeque, fs::File, time::Duration};

use serde::Serialize;

use super::{
    present::Present,
    records,
    writer::{WriteError, Writer},
};
use crate::stacks::Named;

/// How much is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingPlan {
    /// How far back.
    pub length: Duration,
    /// Bytes of memory, at most; beyond them it goes less far back.
    pub bytes: usize,
}

/// Records that came together.
#[derive(Debug)]
struct Piece {
    first: u64,
    last: u64,
    length: usize,
    compressed: Vec<u8>,
    /// Records that found no room since the piece before.
    lost: u64,
}

/// The newest records.
#[derive(Debug)]
pub struct Ring {
    plan: RingPlan,
    pieces: VecDeque<Piece>,
    bytes: usize,
    newest: u64,
    /// What there was before the first piece.
    before: Present,
    /// Time of the newest record before it.
    gone: u64,
}

impl Ring {
    /// One that is empty.
    pub fn new(plan: RingPlan) -> Self {
        Self { plan, pieces: VecDeque::new(), bytes: 0, newest: 0, before: Present::default(), gone: 0 }
    }

    /// Takes records one after the other.
    pub fn records(&mut self, batch: &[u8]) {
        let times = || records(batch).map(|(header, _)| header.ts);
        let Some((first, last)) = times().min().zip(times().max()) else { return };
        let compressed = lz4_flex::block::compress(batch);
        self.newest = self.newest.max(last);
        self.bytes += compressed.len();
        self.pieces.push_back(Piece { first, last, length: batch.len(), compressed, lost: 0 });
        self.forget();
    }

    /// So many records found no room since.
    pub fn lost(&mut self, records: u64) {
        let at = self.newest;
        self.pieces.push_back(Piece {
            first: at,
            last: at,
            length: 0,
            compressed: Vec::new(),
            lost: records,
        });
    }

    /// Time of the oldest record; the largest there is without one.
    pub fn oldest(&self) -> u64 {
        self.pieces.front().map_or(u64::MAX, |piece| piece.first)
    }

    /// Lets go of what is too old, or too much.
    fn forget(&mut self) {
        let length = u64::try_from(self.plan.length.as_nanos()).unwrap_or(u64::MAX);
        while let Some(front) = self.pieces.front()
            && (self.bytes > self.plan.bytes || front.last.saturating_add(length) < self.newest)
            && let Some(piece) = self.pieces.pop_front()
        {
            self.bytes -= piece.compressed.len();
            self.gone = self.gone.max(piece.last);
            for (header, record) in records(&piece.content()) {
                self.before.record(&header, record);
            }
        }
    }

    /// Writes all of it, with what there was before, and ends the file.
    pub fn write(
        &self,
        writer: &mut Writer<File>,
        facts: &impl Serialize,
        names: &[Named],
    ) -> Result<(), WriteError> {
        writer.records(&self.before.records(self.gone))?;
        for piece in &self.pieces {
            writer.records(&piece.content())?;
            if piece.lost > 0 {
                writer.dropped(piece.lost);
                writer.flush()?;
            }
        }
        writer.facts(facts)?;
        writer.names(names)?;
        writer.end()?;
        writer.sync()
    }
}

impl Piece {
    fn content(&self) -> Vec<u8> {
        lz4_flex::block::decompress(&self.compressed, self.length).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use whywait_ebpf::abi::{Header, Plain, Thread, born, kind};

    use super::*;
    use crate::recording::{BlockKind, Preamble, Recording};

    const SECOND: u64 = 1_000_000_000;

    fn thread(tid: u32, ts: u64) -> Vec<u8> {
        let len = u32::try_from(size_of::<Thread>()).unwrap();
        let header = Header { ts, tid, pid: 1, seq: 0, cpu: 0, kind: kind::THREAD, len, spun: 0 };
        Thread { header, how: born::NEW, ..Thread::default() }.as_bytes().to_vec()
    }

    /// Threads and times of a file that was written from the ring.
    fn written(ring: &Ring) -> Vec<(u32, u64)> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let file = File::create(&path).unwrap();
        ring.write(&mut Writer::begin(file, &Preamble::default()).unwrap(), &"facts", &[]).unwrap();
        let mut recording = Recording::open(File::open(&path).unwrap()).unwrap();
        assert!(recording.is_complete());
        let mut found = Vec::new();
        for entry in recording.entries().to_vec() {
            if entry.kind == BlockKind::Records {
                let block = recording.block(&entry).unwrap();
                found.extend(records(&block.content).map(|(header, _)| (header.tid, header.ts)));
            }
        }
        found
    }

    /// What is older than the length is there as what was found when the rest began.
    #[test]
    fn the_newest_is_held_and_what_was_there_before_is_known() {
        let plan = RingPlan { length: Duration::from_secs(2), bytes: 1 << 20 };
        let mut ring = Ring::new(plan);
        for second in 1..=5 {
            ring.records(&thread(u32::try_from(second).unwrap(), second * SECOND));
        }
        assert_eq!(ring.oldest(), 3 * SECOND);
        let mut found = written(&ring);
        found.sort_by_key(|(tid, _)| *tid);
        assert_eq!(
            found,
            [(1, 2 * SECOND), (2, 2 * SECOND), (3, 3 * SECOND), (4, 4 * SECOND), (5, 5 * SECOND)]
        );
    }

    #[test]
    fn memory_bounds_it_as_well() {
        let mut ring = Ring::new(RingPlan { length: Duration::from_hours(1), bytes: 2_000 });
        for second in 1..=1_000 {
            ring.records(&thread(7, second * SECOND));
        }
        assert!(ring.bytes <= 2_000 && ring.pieces.len() > 3, "{} pieces", ring.pieces.len());
        assert_eq!(written(&ring).len(), ring.pieces.len() + 1);
    }
}
