//! `io_uring` with owned buffers: whatever the kernel reads from or writes to belongs to the ring until it is done.
//!
//! Operations are queued without a system call and submitted together, in the same `io_uring_enter` that waits for
//! completions. Each carries a tag by which its completion is known.

pub mod upstream;

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use anyhow::{Context, Result};
use io_uring::types::{Fd, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};
use socket2::SockAddr;

/// Operations that may be queued before they must be submitted.
const ENTRIES: u32 = 256;
/// Completions that the kernel keeps room for; more are kept all the same (`IORING_FEAT_NODROP`), but slowly.
const COMPLETIONS: u32 = 4096;

/// The end of an operation.
#[derive(Debug)]
pub struct Completion<T> {
    /// Which one.
    pub tag: T,
    /// What the system call of the same name would have returned.
    pub result: io::Result<usize>,
    /// The buffer that was sent from or received into; empty for other operations.
    pub buffer: Vec<u8>,
    /// The connection that was accepted.
    pub accepted: Option<OwnedFd>,
    /// The operation goes on: more completions will follow.
    pub more: bool,
}

/// A submission and a completion queue shared with the kernel.
pub struct Ring<T> {
    kernel: IoUring,
    /// Never freed as a whole: a ring that is dropped while the kernel works on something leaks that.
    flights: ManuallyDrop<Vec<Option<Flight<T>>>>,
    free: Vec<usize>,
}

/// An operation that the kernel knows of.
struct Flight<T> {
    tag: T,
    accepts: bool,
    owned: Owned,
}

/// What the kernel has a pointer to. Moving the value does not move what is behind the pointer.
enum Owned {
    Nothing,
    Buffer(Vec<u8>),
    Time { _time: Box<Timespec> },
    Address { _address: Box<SockAddr> },
}

impl<T: Clone> Ring<T> {
    /// A ring for the calling thread, which must be the one that uses it.
    ///
    /// # Errors
    /// When the kernel has no `io_uring` or does not allow it.
    pub fn new() -> Result<Self> {
        // Completions are worked on when this thread asks for them, not by interrupting it (kernel 6.1 and later).
        let deferred = IoUring::builder()
            .setup_cqsize(COMPLETIONS)
            .setup_single_issuer()
            .setup_defer_taskrun()
            .build(ENTRIES);
        let kernel = deferred.or_else(|_| IoUring::builder().setup_cqsize(COMPLETIONS).build(ENTRIES));
        let kernel = kernel.context(
            "io_uring is not available here: it needs Linux 5.7 or later, kernel.io_uring_disabled=0 and a container \
             whose seccomp profile allows it; choose another model, such as event-loop",
        )?;
        Ok(Self { kernel, flights: ManuallyDrop::new(Vec::new()), free: Vec::new() })
    }

    /// Accepts a connection; with `multishot` (kernel 5.19 and later) one after the other.
    pub fn accept(&mut self, listener: &impl AsFd, multishot: bool, tag: T) -> io::Result<()> {
        let fd = fd(listener);
        let flags = libc::SOCK_CLOEXEC;
        let entry = if multishot {
            opcode::AcceptMulti::new(fd).flags(flags).build()
        } else {
            opcode::Accept::new(fd, std::ptr::null_mut(), std::ptr::null_mut()).flags(flags).build()
        };
        self.queue(entry, Flight { tag, accepts: true, owned: Owned::Nothing })
    }

    /// Receives into `buffer`, at most as much as it is long. The socket must stay open until it is done, as with every
    /// operation on a socket.
    pub fn receive(&mut self, socket: &impl AsFd, mut buffer: Vec<u8>, tag: T) -> io::Result<()> {
        let length = length(&buffer);
        let entry = opcode::Recv::new(fd(socket), buffer.as_mut_ptr(), length).build();
        self.queue(entry, Flight { tag, accepts: false, owned: Owned::Buffer(buffer) })
    }

    /// Sends what is in `buffer` from the place `from` on; fewer bytes may be sent.
    pub fn send(&mut self, socket: &impl AsFd, buffer: Vec<u8>, from: usize, tag: T) -> io::Result<()> {
        let rest = buffer.get(from..).unwrap_or_default();
        let entry =
            opcode::Send::new(fd(socket), rest.as_ptr(), length(rest)).flags(libc::MSG_NOSIGNAL).build();
        self.queue(entry, Flight { tag, accepts: false, owned: Owned::Buffer(buffer) })
    }

    /// Connects a socket.
    pub fn connect(&mut self, socket: &impl AsFd, address: SockAddr, tag: T) -> io::Result<()> {
        let address = Box::new(address);
        let entry = opcode::Connect::new(fd(socket), address.as_ptr().cast(), address.len()).build();
        self.queue(entry, Flight { tag, accepts: false, owned: Owned::Address { _address: address } })
    }

    /// Completes after `time`.
    pub fn timer(&mut self, time: Duration, tag: T) -> io::Result<()> {
        let time = Box::new(Timespec::from(time));
        let entry = opcode::Timeout::new(&raw const *time).build();
        self.queue(entry, Flight { tag, accepts: false, owned: Owned::Time { _time: time } })
    }

    /// Submits what has been queued, waits until something is complete and appends all that is to `completions`.
    pub fn turn(&mut self, completions: &mut Vec<Completion<T>>) -> io::Result<()> {
        match self.kernel.submit_and_wait(1) {
            // EBUSY: the kernel takes no more before completions have been taken from it.
            Err(error)
                if error.kind() == io::ErrorKind::Interrupted
                    || error.raw_os_error() == Some(libc::EBUSY) => {}
            other => _ = other?,
        }
        for entry in self.kernel.completion() {
            let Ok(slot) = usize::try_from(entry.user_data()) else { continue };
            let more = cqueue::more(entry.flags());
            let flight = match self.flights.get_mut(slot) {
                Some(Some(flight)) if more => {
                    Flight { tag: flight.tag.clone(), accepts: flight.accepts, owned: Owned::Nothing }
                }
                Some(flight) => {
                    let Some(flight) = flight.take() else { continue };
                    self.free.push(slot);
                    flight
                }
                None => continue,
            };
            completions.push(flight.complete(entry.result(), more));
        }
        Ok(())
    }

    #[expect(unsafe_code, reason = "the kernel is told addresses")]
    fn queue(&mut self, entry: squeue::Entry, flight: Flight<T>) -> io::Result<()> {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.flights.push(None);
            self.flights.len() - 1
        });
        self.flights[slot] = Some(flight);
        let entry = entry.user_data(slot as u64);
        loop {
            // SAFETY: what the entry points to is owned by the flight (see `Owned`), which stays in `flights`, unchanged,
            // until the kernel has reported the operation's end, and for ever if it never does. Until then nobody else
            // has access to it.
            if unsafe { self.kernel.submission().push(&entry) }.is_ok() {
                return Ok(());
            }
            self.kernel.submit()?;
        }
    }
}

impl<T> Flight<T> {
    fn complete(self, result: i32, more: bool) -> Completion<T> {
        let result = usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result));
        let accepted = match &result {
            Ok(fd) if self.accepts => own(*fd),
            _ => None,
        };
        let buffer = if let Owned::Buffer(buffer) = self.owned { buffer } else { Vec::new() };
        Completion { tag: self.tag, result, buffer, accepted, more }
    }
}

#[expect(unsafe_code, reason = "the kernel hands out a descriptor as a number")]
fn own(fd: usize) -> Option<OwnedFd> {
    let fd = RawFd::try_from(fd).ok()?;
    // SAFETY: the number is the result of an accept that has succeeded, and each is passed here once: nobody else owns it.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn fd(socket: &impl AsFd) -> Fd {
    Fd(socket.as_fd().as_raw_fd())
}

/// A longer buffer is not sent or filled beyond this, which the result tells.
fn length(buffer: &[u8]) -> u32 {
    u32::try_from(buffer.len()).unwrap_or(u32::MAX)
}
