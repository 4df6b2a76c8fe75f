//! Each seed in `tests/fuzz/seeds`, cut and changed, goes through its door in every run of the tests. `UPDATE_SEEDS=1` writes them anew
//! (`cargo xtask fuzz --seeds`).

use std::{
    fs,
    io::Cursor,
    path::{Path, PathBuf},
};

use demo_servers::rng::SplitMix64;

use super::{DOORS, seeds::seeds};
use crate::recording::Recording;

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
            made.iter().for_each(|(name, bytes)| fs::write(folder.join(name), bytes).unwrap());
        }
        let found = checked_in(door.name);
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        let missing = made.iter().find(|(name, _)| !names.contains(name));
        assert!(missing.is_none() && !made.is_empty(), "{}: `cargo xtask fuzz --seeds` writes what is missing", door.name);
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
