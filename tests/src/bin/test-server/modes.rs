//! The modes: how connections are talked to, and by which thread or process.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use rustix::io::{FdFlags, dup, fcntl_setfd};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use crate::listen::{listen, next, pass, take_passed};
use crate::serve::Talk;
use crate::{transfer, uring};

/// Names the descriptor on which a program that has executed itself anew goes on listening.
const INHERITED: &str = "TEST_SERVER_LISTENER";

/// Runs a mode until the process is killed.
pub fn run(mode: &str, address: &str) -> io::Result<()> {
    let plain = Talk::http(transfer::read, transfer::write);
    let talk = match mode {
        "read-write" => plain,
        // Exactly the length of the requests that are asked in a burst.
        "one-by-one" => Talk { most: 32, ..plain },
        "recv-send" => Talk::http(transfer::peek_then_recv, transfer::send),
        "readv-writev" => Talk::http(transfer::vector_read, transfer::vector_write),
        "recvmsg-sendmsg" => Talk::http(transfer::message_read, transfer::message_write),
        "recvmmsg-sendmmsg" => Talk::http(transfer::messages_read, transfer::messages_write),
        "splice-in" => Talk::http(transfer::splice_read, transfer::write),
        "splice-out" => Talk::http(transfer::read, transfer::from_pipe),
        "sendfile" => Talk::http(transfer::read, transfer::from_file),
        "piecemeal" => Talk::http(transfer::read, transfer::piecemeal),
        "late" => Talk::http(transfer::read, transfer::late),
        "shutdown" => Talk::http(transfer::read, transfer::then_shutdown),
        "lines" => Talk { end: b"\n", answer: b"250 done\n", ..plain },
        "io-uring" => return threads(&listen(address)?, uring::serve),
        "duplicated" => return threads(&listen(address)?, move |connection| duplicated(connection, plain)),
        "fork" => return fork_each(&listen(address)?, plain, Duration::ZERO),
        "fork-late" => return fork_each(&listen(address)?, plain, Duration::from_millis(5)),
        "passed" => return passed(&listen(address)?, plain),
        "prefork-later" => return prefork_later(&listen(address)?, plain),
        "re-execute" => return re_execute(address, plain),
        _ => return Err(io::Error::other("no such mode")),
    };
    threads(&listen(address)?, move |connection| talk.serve(connection))
}

/// A thread for each connection.
fn threads(
    listener: &OwnedFd,
    serve: impl Fn(&OwnedFd) -> io::Result<()> + Copy + Send + 'static,
) -> io::Result<()> {
    loop {
        let connection = next(listener)?;
        // A client that goes away is no failure of the server.
        std::thread::spawn(move || serve(&connection));
    }
}

/// Reads and writes through descriptors that are made for one request each, so that their numbers are used again, for this
/// connection and for others.
fn duplicated(connection: &OwnedFd, talk: Talk) -> io::Result<()> {
    loop {
        let first = dup(connection)?;
        let second = dup(&first)?;
        drop(first);
        if !talk.serve_once(&second)? {
            return Ok(());
        }
    }
}

/// A process for each connection, which it inherits. Who connects waits so long until it is accepted.
fn fork_each(listener: &OwnedFd, talk: Talk, late: Duration) -> io::Result<()> {
    loop {
        std::thread::sleep(late);
        let connection = next(listener)?;
        in_child(|| talk.serve(&connection))?;
    }
}

/// A worker that gets each connection over a Unix socket.
fn passed(listener: &OwnedFd, talk: Talk) -> io::Result<()> {
    let (ours, its) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    in_child(|| {
        while let Some(connection) = take_passed(&its)? {
            std::thread::spawn(move || talk.serve(&connection));
        }
        Ok(())
    })?;
    loop {
        pass(&ours, &next(listener)?)?;
    }
}

/// Serves one connection, then leaves the listening socket to two workers that it starts.
fn prefork_later(listener: &OwnedFd, talk: Talk) -> io::Result<()> {
    talk.serve(&next(listener)?)?;
    for _ in 0..2 {
        in_child(|| threads(listener, move |connection| talk.serve(connection)))?;
    }
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Serves one connection, executes itself anew with the same listening socket, and serves on.
fn re_execute(address: &str, talk: Talk) -> io::Result<()> {
    if let Some(number) = std::env::var_os(INHERITED) {
        let listener = inherited(&number)?;
        return threads(&listener, move |connection| talk.serve(connection));
    }
    let listener = listen(address)?;
    talk.serve(&next(&listener)?)?;
    fcntl_setfd(&listener, FdFlags::empty())?;
    let mut again = Command::new(std::env::current_exe()?);
    again.args(["re-execute", address]).env(INHERITED, listener.as_raw_fd().to_string());
    Err(again.exec())
}

#[expect(unsafe_code, reason = "a descriptor that comes with the process has only its number")]
fn inherited(number: &OsString) -> io::Result<OwnedFd> {
    let number: RawFd =
        number.to_str().and_then(|text| text.parse().ok()).ok_or(io::ErrorKind::InvalidInput)?;
    // SAFETY: the process that became this one left this descriptor open for it, and nothing else here uses it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Does something in a child process, which then ends.
#[expect(unsafe_code, reason = "std has no fork")]
fn in_child(work: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    // SAFETY: this process has a single thread wherever this is called, so the child finds no lock held by another.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            // A child must not outlive the test.
            let signal = Some(rustix::process::Signal::KILL);
            let ended = rustix::process::set_parent_process_death_signal(signal)
                .map_err(Into::into)
                .and_then(|()| work());
            std::process::exit(i32::from(ended.is_err()))
        }
        _ => Ok(()),
    }
}
