//! Where a launched command's output goes.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::LaunchError;

/// How many names are tried for a new file before giving up.
const TRIES: u32 = 1000;

/// Opens the file that was asked for, or else a new one for this program.
pub(super) fn open(program: &str, wanted: Option<&Path>) -> Result<(PathBuf, File), LaunchError> {
    let failed = |path: &Path, source| LaunchError::Output { path: path.to_owned(), source };
    if let Some(path) = wanted {
        let file = File::create(path).map_err(|source| failed(path, source))?;
        return Ok((path.to_owned(), file));
    }
    fresh(&std::env::temp_dir(), program).map_err(|(path, source)| failed(&path, source))
}

/// Creates `whywait-NAME-PID.log`, with our own process id, and a number behind it when that exists.
fn fresh(dir: &Path, program: &str) -> Result<(PathBuf, File), (PathBuf, io::Error)> {
    let name = Path::new(program).file_name().unwrap_or_default().to_string_lossy();
    let stem = format!("whywait-{name}-{}", std::process::id());
    let mut again = 1;
    loop {
        let path = dir.join(if again == 1 { format!("{stem}.log") } else { format!("{stem}-{again}.log") });
        // Others can write to that directory too: never through a link that they put there, and not for them to read.
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && again < TRIES => again += 1,
            Err(error) => return Err((path, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two files for one program get two names, and a link in the way is not followed.
    #[test]
    fn fresh_files_are_fresh() {
        let dir = tempfile::tempdir().unwrap();
        let first = fresh(dir.path(), "/usr/bin/server").unwrap().0;
        let expected = format!("whywait-server-{}.log", std::process::id());
        assert_eq!(first, dir.path().join(expected));
        std::fs::remove_file(&first).unwrap();
        std::os::unix::fs::symlink(dir.path().join("victim"), &first).unwrap();
        let second = fresh(dir.path(), "server").unwrap().0;
        assert_ne!(first, second);
        assert!(second.exists() && !dir.path().join("victim").exists());
        let (path, _) = fresh(Path::new("/nonexistent"), "server").unwrap_err();
        assert!(path.starts_with("/nonexistent"));
    }
}
