//! Listening sockets of every family, as plain descriptors.

use std::io::{self, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, accept, sockopt};

/// Listens, and prints where.
pub fn listen(address: &str) -> io::Result<OwnedFd> {
    let (listener, told): (OwnedFd, String) = if let Some(path) = address.strip_prefix("unix:") {
        (UnixListener::bind(path)?.into(), address.to_owned())
    } else {
        let listener = TcpListener::bind(address)?;
        let told = listener.local_addr()?.to_string();
        (listener.into(), told)
    };
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "listening {told}")?;
    stdout.flush()?;
    Ok(listener)
}

/// The next connection.
pub fn next(listener: &OwnedFd) -> io::Result<OwnedFd> {
    loop {
        match accept(listener) {
            Err(Errno::INTR | Errno::CONNABORTED) => {}
            Err(error) => return Err(error.into()),
            Ok(connection) => {
                // Fails on a Unix socket, which has no such option.
                let _ = sockopt::set_tcp_nodelay(&connection, true);
                return Ok(connection);
            }
        }
    }
}

/// Takes the descriptor that another process has sent over a socket; `None` when that process is gone.
pub fn take_passed(socket: &OwnedFd) -> io::Result<Option<OwnedFd>> {
    use std::mem::MaybeUninit;
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let got = rustix::net::recvmsg(
        socket,
        &mut [io::IoSliceMut::new(&mut byte)],
        &mut ancillary,
        rustix::net::RecvFlags::empty(),
    )?;
    if got.bytes == 0 {
        return Ok(None);
    }
    let passed = ancillary.drain().find_map(|message| match message {
        rustix::net::RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    passed.map(Some).ok_or_else(|| io::Error::other("a message without a descriptor"))
}

/// Sends a descriptor to another process.
pub fn pass(socket: &OwnedFd, descriptor: &OwnedFd) -> io::Result<()> {
    use std::mem::MaybeUninit;
    use std::os::fd::AsFd;
    let descriptors = [descriptor.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = rustix::net::SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(rustix::net::SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other("no room for a descriptor"));
    }
    let flags = rustix::net::SendFlags::empty();
    rustix::net::sendmsg(socket, &[io::IoSlice::new(b"x")], &mut ancillary, flags)?;
    Ok(())
}
