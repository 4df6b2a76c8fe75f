//! `/disk`: a write that waits for the device.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

static BLOCK: [u8; 64 * 1024] = [b'w'; 64 * 1024];

/// One thread's scratch file, created at its first use.
#[derive(Debug)]
pub struct Scratch {
    dir: PathBuf,
    file: Option<File>,
}

impl Scratch {
    /// A file in `dir`, once it is needed.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, file: None }
    }

    /// Overwrites the file from its beginning and waits until the data is on the device. In place, so that it never
    /// grows beyond the largest write.
    pub fn write(&mut self, bytes: u64) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(create(&self.dir)?),
        };
        let mut offset = 0;
        while offset < bytes {
            let part = usize::try_from(bytes - offset).unwrap_or(usize::MAX).min(BLOCK.len());
            file.write_all_at(&BLOCK[..part], offset)?;
            offset += part as u64;
        }
        file.sync_data()
    }
}

/// The name is removed at once: however the server ends, it leaves nothing behind.
fn create(dir: &std::path::Path) -> io::Result<File> {
    static CREATED: AtomicU64 = AtomicU64::new(0);
    let serial = CREATED.fetch_add(1, Ordering::Relaxed);
    let path = dir.join(format!("demo-servers-{}-{serial}.scratch", std::process::id()));
    let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overwrites_in_place_and_leaves_no_name() {
        let dir = tempfile::tempdir().unwrap();
        let mut scratch = Scratch::new(dir.path().to_owned());
        for bytes in [100_000, 10, 0, 100_000] {
            scratch.write(bytes).unwrap();
        }
        assert_eq!(scratch.file.unwrap().metadata().unwrap().len(), 100_000);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
