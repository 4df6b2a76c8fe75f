//! What is written is read; whatever is cut, changed or invented is told and harms nobody.

use std::io::{self, Cursor, Write};

use proptest::prelude::*;
use whywait_ebpf::abi::{Header, Plain, kind};

use super::*;

fn record(ts: u64, extra: usize) -> Vec<u8> {
    let length = size_of::<Header>() + extra * 8;
    let len = u32::try_from(length).unwrap();
    let header = Header { ts, tid: 1, pid: 1, seq: 0, cpu: 0, kind: kind::SOCK_OP, len, spun: 0 };
    let mut bytes = header.as_bytes().to_vec();
    bytes.resize(length, 7);
    bytes
}

fn preamble() -> Preamble {
    Preamble { command: "nginx".to_owned(), pids: vec![42], ports: vec![80], ..Preamble::default() }
}

/// A file of these records, a block each, with facts behind them.
fn written(records: &[Vec<u8>]) -> Vec<u8> {
    let mut writer = Writer::begin(Vec::new(), &preamble()).unwrap();
    for record in records {
        writer.records(record).unwrap();
        writer.flush().unwrap();
    }
    writer.dropped(3);
    writer.facts(&"facts").unwrap();
    writer.finish().unwrap().0
}

fn read(file: &[u8]) -> (Vec<u8>, Recording<Cursor<&[u8]>>) {
    let mut recording = Recording::open(Cursor::new(file)).unwrap();
    let mut bytes = Vec::new();
    for entry in recording.entries().to_vec() {
        if entry.kind == BlockKind::Records
            && let Ok(block) = recording.block(&entry)
        {
            bytes.extend(block.content);
        }
    }
    (bytes, recording)
}

#[test]
fn a_whole_file_has_an_index_and_everything() {
    let records = [record(5, 1), record(3, 200), record(9, 0)];
    let file = written(&records);
    let (bytes, mut recording) = read(&file);
    assert_eq!(bytes, records.concat());
    assert!(recording.is_complete() && recording.damage().is_empty());
    assert_eq!((recording.records(), recording.span()), (3, Some((3, 9))));
    assert_eq!(recording.entries().iter().map(|entry| entry.dropped).sum::<u64>(), 3);
    assert_eq!(recording.facts::<String>().unwrap().as_deref(), Some("facts"));
    assert_eq!(recording.preamble(), &preamble());
}

#[test]
fn many_small_records_share_blocks() {
    let mut writer = Writer::begin(Vec::new(), &preamble()).unwrap();
    let batch: Vec<u8> = (0..20_000).flat_map(|ts| record(ts, 4)).collect();
    writer.records(&batch).unwrap();
    let (file, written) = writer.finish().unwrap();
    assert_eq!((written.records, written.bytes), (20_000, file.len() as u64));
    assert!(file.len() < batch.len() / 2);
    let (bytes, recording) = read(&file);
    assert_eq!(bytes, batch);
    assert!(recording.entries().len() > 2);
}

/// Wherever the writing stopped, what was written before is there, up to the last whole block.
#[test]
fn a_file_that_ends_anywhere_keeps_what_is_whole() {
    let records = [record(1, 3), record(2, 3), record(3, 3)];
    let file = written(&records);
    let whole = Recording::open(Cursor::new(file.as_slice())).unwrap();
    let ends: Vec<u64> = whole.entries().iter().map(Entry::end).collect();
    let begin = usize::try_from(whole.entries()[0].offset).unwrap();
    for length in begin..file.len() {
        let (bytes, recording) = read(&file[..length]);
        let kept = ends.iter().take(3).filter(|end| **end <= length as u64).count();
        assert_eq!(bytes, records[..kept].concat(), "cut after {length} bytes");
        assert!(!recording.is_complete());
    }
}

#[test]
fn a_damaged_block_costs_itself() {
    let records = [record(1, 30), record(2, 30), record(3, 30)];
    let file = written(&records);
    let second = Recording::open(Cursor::new(file.as_slice())).unwrap().entries()[1];
    // In its content: the header still tells where the next one is.
    let mut damaged = file.clone();
    let at = usize::try_from(second.offset).unwrap();
    damaged[at + 70] ^= 1;
    let (bytes, mut recording) = read(&damaged);
    assert_eq!(bytes, [&records[0][..], &records[2][..]].concat());
    let error = recording.block(&second).unwrap_err().to_string();
    assert_eq!(error, format!("the block at byte {} cannot be read: its checksum is wrong", second.offset));
    // In its header, with the index gone: the next header is found.
    damaged[at + 20] ^= 1;
    damaged.truncate(file.len() - 1);
    let (bytes, recording) = read(&damaged);
    assert_eq!(bytes, [&records[0][..], &records[2][..]].concat());
    assert_eq!(recording.damage(), [Damage { from: second.offset, to: second.end() }]);
}

#[test]
fn other_files_and_other_versions_are_refused_by_a_sentence() {
    let refused = |file: &[u8]| Recording::open(Cursor::new(file)).unwrap_err().to_string();
    assert!(refused(b"").contains("no recording"));
    assert!(refused(b"\x7fELF and so on").contains("no recording"));
    assert!(refused(b"WHYWAIT\n").contains("it ends there"));
    let mut newer = written(&[]);
    newer[8] = 9;
    assert!(refused(&newer).contains("version 9"));
    let mut other = written(&[]);
    other[12] = 77;
    assert!(refused(&other).contains("layout 77"));
    let mut long = written(&[]);
    long[16..20].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(refused(&long).contains("no sense"));
}

/// A disk that is full after so many bytes.
struct Full(Vec<u8>, usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.1 - self.0.len();
        if room == 0 {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        let length = bytes.len().min(room);
        self.0.extend_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_told_with_what_is_whole() {
    let mut writer = Writer::begin(Full(Vec::new(), 500), &preamble()).unwrap();
    let error = loop {
        writer.records(&record(1, 9)).unwrap();
        if let Err(error) = writer.flush() {
            break error.to_string();
        }
    };
    assert!(error.starts_with("cannot write the recording after "), "{error}");
}

proptest! {
    #[test]
    fn what_is_written_is_read(sizes in proptest::collection::vec((any::<u64>(), 0_usize..40), 0..50)) {
        let records: Vec<Vec<u8>> = sizes.iter().map(|(ts, extra)| record(*ts, *extra)).collect();
        prop_assert_eq!(read(&written(&records)).0, records.concat());
    }

    #[test]
    fn no_change_of_a_file_makes_a_panic_or_invents_records(
        at in any::<prop::sample::Index>(), with in any::<u8>(), cut in any::<prop::sample::Index>()
    ) {
        let records = [record(1, 3), record(2, 30), record(3, 3)];
        let mut file = written(&records);
        let place = at.index(file.len());
        file[place] = with;
        file.truncate(cut.index(file.len()) + 1);
        if let Ok(mut recording) = Recording::open(Cursor::new(file.as_slice())) {
            for entry in recording.entries().to_vec() {
                if let Ok(block) = recording.block(&entry) && block.entry.kind == BlockKind::Records {
                    prop_assert!(block.content.is_empty() || records.contains(&block.content));
                }
            }
            let _facts = recording.facts::<String>();
        }
    }

    #[test]
    fn no_bytes_make_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
        let mut file = written(&[record(1, 1)]);
        file.truncate(file.len() - 40);
        file.extend(bytes);
        let _read = read(&file);
    }
}
