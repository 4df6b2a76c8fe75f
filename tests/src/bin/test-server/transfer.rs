//! Every way to read from a socket and to write to one, but for `io_uring`.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::io::{read as read_fd, readv, write as write_fd, writev};
use rustix::net::{RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendFlags};
use rustix::pipe::SpliceFlags;

/// `read`
pub fn read(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(read_fd(socket, buffer)?)
}

/// `recvfrom`, after a look at what is there that takes nothing.
pub fn peek_then_recv(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
    let (seen, _) = rustix::net::recv(socket, &mut *buffer, RecvFlags::PEEK)?;
    Ok(if seen == 0 { 0 } else { rustix::net::recv(socket, buffer, RecvFlags::empty())?.0 })
}

/// `readv` into two buffers.
pub fn vector_read(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
    let (first, rest) = buffer.split_at_mut(8);
    Ok(readv(socket, &mut [IoSliceMut::new(first), IoSliceMut::new(rest)])?)
}

/// `recvmsg`
pub fn message_read(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
    let mut ancillary = RecvAncillaryBuffer::new(&mut []);
    let got =
        rustix::net::recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut ancillary, RecvFlags::empty())?;
    Ok(got.bytes)
}

/// `recvmmsg` of one message.
#[expect(unsafe_code, reason = "nobody wraps recvmmsg")]
pub fn messages_read(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
    let mut vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all-zero bytes are a valid header: no name, no vectors, no ancillary data.
    let mut header: libc::mmsghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    header.msg_hdr.msg_iov = &raw mut vector;
    header.msg_hdr.msg_iovlen = 1;
    // SAFETY: one header with one vector, which is the buffer; all of them live until the call returns.
    let got = unsafe { libc::recvmmsg(socket.as_raw_fd(), &raw mut header, 1, 0, std::ptr::null_mut()) };
    // As a stream, it may have one message of no bytes at its end.
    if got < 0 { Err(io::Error::last_os_error()) } else { Ok(header.msg_len as usize) }
}

/// `splice` into a pipe, which is then read.
pub fn splice_read(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
    let (from, to) = rustix::pipe::pipe()?;
    let got = rustix::pipe::splice(socket, None, &to, None, buffer.len(), SpliceFlags::empty())?;
    if got == 0 {
        return Ok(0);
    }
    Ok(read_fd(&from, &mut buffer[..got])?)
}

/// `write`
pub fn write(socket: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
    let mut left = bytes;
    while !left.is_empty() {
        left = &left[write_fd(socket, left)?..];
    }
    Ok(())
}

/// `sendto`
pub fn send(socket: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
    whole(rustix::net::send(socket, bytes, SendFlags::NOSIGNAL)?, bytes)
}

/// `writev` of two buffers.
pub fn vector_write(socket: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    whole(writev(socket, &[IoSlice::new(first), IoSlice::new(rest)])?, bytes)
}

/// `sendmsg`
pub fn message_write(socket: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
    let mut ancillary = SendAncillaryBuffer::new(&mut []);
    whole(rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::empty())?, bytes)
}

/// `sendmmsg` of two messages.
#[expect(unsafe_code, reason = "a plain stream socket needs no address, which the wrapper wants")]
pub fn messages_write(socket: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    let mut vectors = [first, rest]
        .map(|part| libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() });
    // SAFETY: all-zero bytes are valid headers: no name, no vectors, no ancillary data.
    let mut headers: [libc::mmsghdr; 2] = unsafe { MaybeUninit::zeroed().assume_init() };
    for (header, vector) in headers.iter_mut().zip(&mut vectors) {
        header.msg_hdr.msg_iov = vector;
        header.msg_hdr.msg_iovlen = 1;
    }
    // SAFETY: two headers with one vector each, which is only read; all of them live until the call returns.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), 2, 0) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { whole(sent.unsigned_abs() as usize, &[0; 2]) }
}

/// Eight writes with pauses.
pub fn piecemeal(socket: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
    for piece in bytes.chunks(bytes.len().div_ceil(8)) {
        write(socket, piece)?;
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// After 300 ms.
pub fn late(socket: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
    std::thread::sleep(Duration::from_millis(300));
    send(socket, bytes)
}

/// `sendfile`
pub fn from_file(socket: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
    let file = holding(bytes)?;
    let mut offset = 0;
    whole(rustix::fs::sendfile(socket, &file, Some(&mut offset), bytes.len())?, bytes)
}

/// `splice` from a file into a pipe, and from there into the socket.
pub fn from_pipe(socket: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
    let file = holding(bytes)?;
    let (from, to) = rustix::pipe::pipe()?;
    let mut offset = 0;
    let flags = SpliceFlags::empty();
    whole(rustix::pipe::splice(&file, Some(&mut offset), &to, None, bytes.len(), flags)?, bytes)?;
    whole(rustix::pipe::splice(&from, None, socket, None, bytes.len(), flags)?, bytes)
}

/// The answer, and the end of the stream.
pub fn then_shutdown(socket: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
    write(socket, bytes)?;
    Ok(rustix::net::shutdown(socket, rustix::net::Shutdown::Write)?)
}

/// A file with these bytes.
fn holding(bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create(c"answer", rustix::fs::MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    Ok(file)
}

fn whole(count: usize, bytes: &[u8]) -> io::Result<()> {
    if count == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}
