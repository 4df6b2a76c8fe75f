//! Recordings: any bytes as the file, the same with checksums that are right, and files of any records.

use std::io::Cursor;

use whywait_ebpf::abi::Header;

use super::{input::Input, outputs, server};
use crate::{
    decode::{Routes, decode},
    observe::{Facts, replayed},
    recording::{self, Preamble, Recording, Writer, repaired},
    units::Ns,
};

/// Any bytes as records, each as its header says where it ends, and all as one.
pub fn records(bytes: &[u8]) {
    let mut routes = Routes::default();
    let _event = decode(bytes, &mut routes);
    for (header, record) in recording::records(bytes) {
        assert!(record.len() >= size_of::<Header>() && record.len() == header.len as usize);
        let _event = decode(record, &mut routes);
    }
    if let Some(file) = file_of(bytes) {
        read_back(&file, bytes);
        outputs::of(&file);
    }
    outputs::live(bytes);
}

/// Records of a server that could be, through everything.
pub fn requests(bytes: &[u8]) {
    let batch = server::records_of(bytes);
    if let Some(file) = file_of(&batch) {
        read_back(&file, &batch);
        outputs::of(&file);
    }
    outputs::live(&batch);
}

/// The same into another tool's format: the first byte says which.
pub fn export(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let format = input.byte();
    if let Some(file) = file_of(&server::records_of(input.rest())) {
        outputs::export(&file, usize::from(format));
    }
}

/// Any bytes as a file.
pub fn recording(bytes: &[u8]) {
    look_at(bytes);
    let mut repaired_bytes = bytes.to_vec();
    if repaired(&mut repaired_bytes) {
        look_at(&repaired_bytes);
    }
}

/// Opens a file and reads all of it, block by block and as a replay.
fn look_at(file: &[u8]) {
    let Ok(mut recording) = Recording::open(Cursor::new(file)) else { return };
    let end = file.len() as u64;
    assert!(recording.damage().iter().all(|damage| damage.from < damage.to && damage.to <= end));
    for entry in recording.entries().to_vec() {
        if let Err(error) = recording.block(&entry) {
            let at = format!("at byte {}", entry.offset);
            assert!(error.to_string().contains(&at), "`{error}` does not say where");
        }
    }
    outputs::of(file);
}

/// A whole recording of these records.
fn file_of(records: &[u8]) -> Option<Vec<u8>> {
    let preamble = Preamble {
        command: "fuzz\x1b[2J".to_owned(),
        pids: vec![1],
        ports: vec![8080],
        began_monotonic_ns: server::BEGAN,
        began_unix_ns: 1_700_000_000_000_000_000,
        ..Preamble::default()
    };
    let end = recording::records(records).map(|(header, _)| header.ts).max().unwrap_or(0);
    let facts = Facts {
        begin: Ns(server::BEGAN),
        end: Ns(end),
        pids: vec![1.into()],
        command: preamble.command.clone(),
        machine_cpus: 2,
        ..Facts::default()
    };
    let mut writer = Writer::begin(Vec::new(), &preamble).ok()?;
    writer.records(records).ok()?;
    writer.facts(&facts).ok()?;
    Some(writer.finish().ok()?.0)
}

/// What was written is what is read.
fn read_back(file: &[u8], records: &[u8]) {
    let whole: usize = recording::records(records).map(|(_, record)| record.len()).sum();
    let Ok(mut recording) = Recording::open(Cursor::new(file)) else {
        panic!("what was written is no recording")
    };
    assert!(recording.is_complete() && recording.damage().is_empty());
    let mut read = Vec::new();
    for entry in recording.entries().to_vec() {
        let Ok(block) = recording.block(&entry) else {
            panic!("the block at byte {} is damaged", entry.offset)
        };
        if block.entry.kind == recording::BlockKind::Records {
            read.extend(block.content);
        }
    }
    assert_eq!(read, records[..whole]);
    let Ok(replayed) = replayed(recording, None) else { panic!("what was written cannot be replayed") };
    assert!(replayed.missing.is_empty(), "{:?}", replayed.missing);
}
