//! What a window or a recording that begins in the middle must begin with: the threads and connections that there are, as records, as if whywait had
//! found them just then.

use rustc_hash::FxHashMap;
use whywait_ebpf::abi::{Conn, Header, Plain, SockState, Thread, born, kind, tcp_state};

/// Connections that are known at once.
const CONNECTIONS: usize = 65_536;

/// A thread, and the number of its last record.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    record: Option<Thread>,
    seq: u32,
}

/// Threads and connections as the records so far leave them.
#[derive(Clone, Debug, Default)]
pub struct Present {
    threads: FxHashMap<u32, Known>,
    connections: FxHashMap<u64, Conn>,
}

impl Present {
    /// Takes a record.
    pub fn record(&mut self, header: &Header, record: &[u8]) {
        match header.kind {
            kind::THREAD_END => {
                self.threads.remove(&header.tid);
                return;
            }
            kind::THREAD => {
                if let Some(thread) = Thread::from_bytes(record) {
                    self.threads.entry(header.tid).or_default().record = Some(thread);
                }
            }
            kind::CONN if self.connections.len() < CONNECTIONS => {
                if let Some(conn) = Conn::from_bytes(record) {
                    self.connections.insert(conn.id, conn);
                }
            }
            kind::SOCK_STATE => {
                let change = SockState::from_bytes(record);
                if let Some(change) = change.filter(|change| change.new != tcp_state::ESTABLISHED) {
                    self.connections.remove(&change.conn);
                }
            }
            _ => {}
        }
        if let Some(known) = self.threads.get_mut(&header.tid) {
            known.seq = header.seq;
        }
    }

    /// What there is, as records of this moment.
    pub fn records(&self, at: u64) -> Vec<u8> {
        let mut records = Vec::new();
        for known in self.threads.values() {
            let Some(thread) = known.record else { continue };
            // The thread's next record has the number behind this one, so that none is missing.
            let header = Header { ts: at, seq: known.seq, spun: 0, ..thread.header };
            let found = Thread { header, how: born::FOUND, running: 0, ..thread };
            records.extend_from_slice(found.as_bytes());
        }
        for conn in self.connections.values() {
            // Of no thread: its number has been taken into account already.
            let header = Header { ts: at, tid: 0, spun: 0, ..conn.header };
            records.extend_from_slice(Conn { header, ..*conn }.as_bytes());
        }
        records
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        decode::{Event, Gaps, Routes, What, decode},
        recording::records,
    };

    fn header(tid: u32, seq: u32, kind: u16, len: usize) -> Header {
        Header { ts: 5, tid, pid: 1, seq, cpu: 0, kind, len: u32::try_from(len).unwrap(), spun: 3 }
    }

    fn thread(tid: u32, seq: u32, how: u8) -> Vec<u8> {
        let header = header(tid, seq, kind::THREAD, size_of::<Thread>());
        Thread { header, how, running: 1, ..Thread::default() }.as_bytes().to_vec()
    }

    fn conn(id: u64, seq: u32) -> Vec<u8> {
        Conn { header: header(2, seq, kind::CONN, size_of::<Conn>()), id, ..Conn::default() }
            .as_bytes()
            .to_vec()
    }

    fn state(conn: u64, seq: u32, new: u32) -> Vec<u8> {
        let header = header(2, seq, kind::SOCK_STATE, size_of::<SockState>());
        SockState { header, conn, new, ..SockState::default() }.as_bytes().to_vec()
    }

    fn events(bytes: &[u8]) -> Vec<Event> {
        records(bytes).map(|(_, record)| decode(record, &mut Routes::default()).unwrap()).collect()
    }

    /// What has ended is not there; the first record of a thread behind the beginning is not missing one before.
    #[test]
    fn a_beginning_in_the_middle_has_what_is_there_and_misses_nothing() {
        let mut present = Present::default();
        let before = [
            thread(2, 0, born::FOUND),
            thread(3, 0, born::NEW),
            conn(7, 1),
            conn(8, 2),
            state(7, 3, tcp_state::ESTABLISHED),
            state(8, 4, tcp_state::ESTABLISHED + 1),
            header(3, 1, kind::THREAD_END, size_of::<Header>()).as_bytes().to_vec(),
        ];
        for (header, record) in records(&before.concat()) {
            present.record(&header, record);
        }
        let mut bytes = present.records(99);
        bytes.extend(conn(9, 5));
        let (mut gaps, mut events) = (Gaps::default(), events(&bytes));
        for event in &mut events {
            assert!(gaps.check(event));
        }
        assert!(events.iter().all(|event| event.missing == 0) && gaps.finish() == 0);
        let [found, there, new] = events.as_slice() else { panic!("{events:?}") };
        assert!(matches!(&found.what, What::Thread(thread) if thread.how == born::FOUND && found.at.0 == 99));
        assert!(matches!(&there.what, What::Conn(conn) if conn.id == 7));
        assert!(matches!(&new.what, What::Conn(conn) if conn.id == 9));
    }
}
