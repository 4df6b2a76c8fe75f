//! A file whose checksums are made right again, so that what is behind them is met by any bytes.

use super::{
    block::{self, HEADER},
    index::{END, TRAILER},
    preamble,
};
use crate::bytes::{long, word};

/// Puts the right checksums into whatever looks like the parts of a recording; whether it looks like one at all.
pub fn repaired(file: &mut [u8]) -> bool {
    if file.len() < preamble::FIXED || !file.starts_with(&preamble::MAGIC) {
        return false;
    }
    let json = preamble::FIXED..preamble::FIXED.saturating_add(word(file, 16) as usize);
    if let Some(json) = file.get(json) {
        let checksum = crc32fast::hash(json);
        put(file, 20, checksum);
    }
    let begins: Vec<usize> = file
        .windows(HEADER)
        .enumerate()
        .filter(|(_, bytes)| bytes.starts_with(&block::MAGIC))
        .map(|(at, _)| at)
        .collect();
    for at in begins {
        let content = at + HEADER;
        if let Some(stored) = file.get(content..content.saturating_add(word(file, at + 16) as usize)) {
            let checksum = crc32fast::hash(stored);
            put(file, at + 28, checksum);
        }
        let checksum = crc32fast::hash(&file[at..at + HEADER - 4]);
        put(file, at + HEADER - 4, checksum);
    }
    if file.ends_with(&END) {
        let at = file.len() - TRAILER;
        let checksum = crc32fast::hash(&long(file, at).to_le_bytes());
        put(file, at + 8, checksum);
    }
    true
}

fn put(file: &mut [u8], at: usize, word: u32) {
    file[at..at + 4].copy_from_slice(&word.to_le_bytes());
}
