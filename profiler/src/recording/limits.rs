//! How large a recording becomes, and what comes after.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

/// When a file is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a file; what is in hand when it has them still comes to it.
    pub size: Option<u64>,
    /// How long a file lasts.
    pub time: Option<Duration>,
    /// Files that are kept behind the one that is written; `None`: a full one ends the recording.
    pub keep: Option<u32>,
}

impl Limits {
    /// Whether a file of so many bytes that has lasted for so long is full.
    pub fn are_met(&self, bytes: u64, lasted: Duration) -> bool {
        self.size.is_some_and(|size| bytes >= size) || self.time.is_some_and(|time| lasted >= time)
    }
}

/// A file with a number behind its name: `FILE.1`.
pub fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    name.into()
}

/// Makes room for the next file: `FILE` becomes `FILE.1`, and so on; what is beyond the number to keep is gone.
///
/// # Errors
/// When a file cannot be renamed, or `FILE` not be removed where none is kept.
pub fn shift(path: &Path, keep: u32) -> io::Result<()> {
    if keep == 0 {
        return fs::remove_file(path);
    }
    for ago in (1..keep).rev() {
        match fs::rename(numbered(path, ago), numbered(path, ago + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(path, numbered(path, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_file_is_the_one_that_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        for number in 0..5 {
            fs::write(&path, number.to_string()).unwrap();
            shift(&path, 2).unwrap();
        }
        let read = |path: PathBuf| fs::read_to_string(path).ok();
        assert_eq!(read(path.clone()), None);
        assert_eq!(
            [1, 2, 3].map(|ago| read(numbered(&path, ago))),
            [Some("4".into()), Some("3".into()), None]
        );
    }

    #[test]
    fn a_file_is_full_by_size_or_by_time() {
        let limits = Limits { size: Some(10), time: Some(Duration::from_secs(2)), ..Limits::default() };
        let second = Duration::from_secs(1);
        assert!(!limits.are_met(9, second) && limits.are_met(10, second) && limits.are_met(0, 2 * second));
        assert!(!Limits::default().are_met(u64::MAX, Duration::MAX));
    }
}
