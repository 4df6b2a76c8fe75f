//! `io_uring`: receive and send without a system call of their own.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use io_uring::{IoUring, opcode, squeue, types};

use crate::serve::ANSWER;

/// Serves a connection to its end.
pub fn serve(connection: &OwnedFd) -> io::Result<()> {
    let mut ring = IoUring::new(8)?;
    let socket = types::Fd(connection.as_raw_fd());
    let (mut pending, mut buffer) = (Vec::new(), [0_u8; 4096]);
    loop {
        let length = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        let receive = opcode::Recv::new(socket, buffer.as_mut_ptr(), length).build();
        let got = complete(&mut ring, &receive)?;
        if got == 0 {
            return Ok(());
        }
        pending.extend_from_slice(&buffer[..got]);
        if pending.ends_with(b"\r\n\r\n") {
            pending.clear();
            let length = u32::try_from(ANSWER.len()).unwrap_or(u32::MAX);
            complete(&mut ring, &opcode::Send::new(socket, ANSWER.as_ptr(), length).build())?;
        }
    }
}

/// Runs one operation to its end.
#[expect(unsafe_code, reason = "the ring cannot know for how long the buffers of an operation live")]
fn complete(ring: &mut IoUring, entry: &squeue::Entry) -> io::Result<usize> {
    // SAFETY: the buffers and the socket of the entry outlive this call, which waits for its completion.
    unsafe { ring.submission().push(entry) }.map_err(io::Error::other)?;
    ring.submit_and_wait(1)?;
    let result = ring.completion().next().map_or(0, |completion| completion.result());
    usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
}
