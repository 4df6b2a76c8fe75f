//! Opening files at paths that somebody else could have filled: in a folder that everybody writes to, or in a process's own view.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Opens a file to read it. What is none (a pipe, which would be waited for; a device) is refused.
///
/// # Errors
/// When it cannot be opened, or is no regular file.
pub fn open(path: &Path) -> io::Result<File> {
    open_with(path, 0)
}

/// The same, and a link in the last place is refused as well: it would have another file read with whywait's rights.
///
/// # Errors
/// When it cannot be opened, or is no regular file.
pub fn open_no_link(path: &Path) -> io::Result<File> {
    open_with(path, libc::O_NOFOLLOW)
}

fn open_with(path: &Path, flags: i32) -> io::Result<File> {
    // Without O_NONBLOCK the opening itself waits for who writes to a pipe.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, process::Command};

    use super::*;

    #[test]
    fn a_pipe_is_not_waited_for_and_a_link_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let [pipe, file, link] = ["pipe", "file", "link"].map(|name| dir.path().join(name));
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        fs::write(&file, "text").unwrap();
        symlink(&file, &link).unwrap();
        assert!(open(&pipe).is_err() && open(dir.path()).is_err());
        assert!(open(&file).is_ok() && open(&link).is_ok() && open_no_link(&file).is_ok());
        assert!(open_no_link(&link).is_err());
    }
}
