//! Each seed in `tests/fuzz/seeds`, cut and changed, goes through its door in every run of the tests. `UPDATE_SEEDS=1` writes them anew
//! (`cargo xtask fuzz --seeds`).

use std::{
    fs,
    io::Cursor,
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc,
    thread,
    time::Duration,
};

use demo_servers::rng::SplitMix64;

use super::{DOORS, outputs, seeds::seeds, server::records_of};
use crate::{
    recording::{Preamble, Recording, Writer, repaired},
    stacks::{Frame, Named, Place},
    units::Pid,
};

/// Bytes of all seeds together, at most.
const MOST: usize = 300 << 10;
/// Changed inputs for each seed.
const CHANGED: usize = 40;

fn folder(door: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/seeds").join(door)
}

/// Names and bytes of a door's seeds, as they are in the repository.
fn checked_in(door: &str) -> Vec<(String, Vec<u8>)> {
    let files = fs::read_dir(folder(door)).into_iter().flatten().flatten();
    let mut seeds: Vec<_> =
        files.map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap())).collect();
    seeds.sort();
    seeds
}

#[test]
fn every_door_has_its_seeds() {
    let update = std::env::var_os("UPDATE_SEEDS").is_some();
    let mut all = 0;
    for door in DOORS {
        let (folder, made) = (folder(door.name), seeds(door.name));
        if update {
            fs::create_dir_all(&folder).unwrap();
            for (name, bytes) in &made {
                fs::write(folder.join(name), bytes).unwrap();
            }
        }
        let found = checked_in(door.name);
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        let missing = made.iter().find(|(name, _)| !names.contains(name));
        assert!(
            missing.is_none() && !made.is_empty(),
            "{}: `cargo xtask fuzz --seeds` writes what is missing",
            door.name
        );
        all += found.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
    }
    assert!(all <= MOST, "the seeds have {all} bytes");
}

/// A seed that is refused at the door is of no use.
#[test]
fn seeds_of_recordings_are_of_this_format() {
    for (name, bytes) in checked_in("recording") {
        let recording = Recording::open(Cursor::new(&bytes)).unwrap();
        assert_eq!(recording.is_complete(), !matches!(name.as_str(), "cut" | "stored"), "{name}");
        assert!(!recording.entries().is_empty(), "{name}");
    }
}

/// As a fuzzer does it, without one.
#[test]
fn every_door_takes_its_seeds_cut_and_changed() {
    let mut numbers = SplitMix64::new(7);
    let mut below = |bound: usize| usize::try_from(numbers.below(bound as u64)).unwrap();
    for door in DOORS {
        (door.read)(&[]);
        for (_, seed) in checked_in(door.name) {
            (door.read)(&seed);
            for _ in 0..CHANGED {
                let mut bytes = seed.clone();
                for _ in 0..=below(4) {
                    let at = below(bytes.len());
                    bytes[at] = [0, 1, 0x7f, 0x80, 0xff, bytes[at] ^ 1][below(6)];
                }
                if below(3) == 0 {
                    bytes.truncate(below(bytes.len()));
                }
                (door.read)(&bytes);
            }
        }
    }
}

/// A file from a stranger that names other files, pipes that would be waited for among them, has none of them opened: all that it says is in it.
#[test]
fn no_path_in_a_file_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let path = pipe.to_str().unwrap().to_owned();
    let preamble = Preamble { command: path.clone(), arguments: vec![path.clone()], ..Preamble::default() };
    let frames = vec![Frame { name: None, place: Place::File(path.clone()) }];
    let mut writer = Writer::begin(Vec::new(), &preamble).unwrap();
    writer.records(&records_of(&checked_in("requests")[0].1)).unwrap();
    let facts = serde_json::json!({
        "command": path,
        "cpu": {"groups": [{"path": path, "throttled_ns": 1, "throttled_periods": 1}]},
    });
    writer.facts(&facts).unwrap();
    let names: Vec<Named> = (0..256)
        .map(|address| Named { pid: Pid(1), address: 0x40_0000 + address, frames: frames.clone() })
        .collect();
    writer.names(&names).unwrap();
    let file = writer.finish().unwrap().0;
    let (done, over) = mpsc::channel();
    thread::spawn(move || {
        outputs::of(&file);
        done.send(()).unwrap();
    });
    over.recv_timeout(Duration::from_mins(1)).expect("something is waited for");
}

/// Content of a block is never larger than the format allows, whatever its header says: a small file does not become large in memory.
#[test]
fn a_block_that_says_it_is_large_is_none() {
    let whole = &checked_in("recording").into_iter().find(|(name, _)| name == "whole").unwrap().1;
    let offset = Recording::open(Cursor::new(whole)).unwrap().entries()[0].offset;
    let at = usize::try_from(offset).unwrap();
    for (field, length) in [(16, u32::MAX), (20, u32::MAX), (20, (4 << 20) + 1)] {
        let mut file = whole.clone();
        file[at + field..at + field + 4].copy_from_slice(&length.to_le_bytes());
        assert!(repaired(&mut file));
        let recording = Recording::open(Cursor::new(&file)).unwrap();
        let damaged = Recording::open(Cursor::new(&file)).unwrap().block(&recording.entries()[0]);
        let error = damaged.unwrap_err().to_string();
        assert_eq!(error, format!("the block at byte {offset} cannot be read: its header is none"));
    }
}
