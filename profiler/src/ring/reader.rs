//! The reader: a thread of its own that drains the ring, and does nothing else.
//!
//! It is woken by fill level (a quarter of the ring) or by its own slow timer, never by a record. A drain is bounded, and
//! the channel behind it too: when the rest of the program does not keep up, records stay in the ring, and what then finds no room is counted where it is lost.

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use aya::maps::{MapData, RingBuf};
use crossbeam_channel::{Receiver, Sender, bounded};
use thiserror::Error;

use crate::platform::yielding::never_preempt;

/// Longest time that a record waits in the ring.
const TIMER: Duration = Duration::from_millis(50);
/// Bytes after which a batch is handed on.
const BATCH: usize = 1 << 20;
/// Batches that may wait.
const WAITING: usize = 64;

/// Records one after the other, as the kernel sent them; each begins with its length in its header.
pub type Batch = Vec<u8>;

/// The reader could not be started.
#[derive(Debug, Error)]
#[error("cannot start the thread that reads the kernel's ring: {0}")]
pub struct ReaderError(#[from] io::Error);

/// The thread that reads the ring.
pub struct Reader {
    stop: Arc<AtomicBool>,
    batches: Receiver<Batch>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    /// Starts to read.
    ///
    /// # Errors
    /// When no thread can be created.
    pub fn start(ring: RingBuf<MapData>) -> Result<Self, ReaderError> {
        let (sender, batches) = bounded(WAITING);
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let waiter = Waiter::new(&ring)?;
        let thread = std::thread::Builder::new().name("whywait-ring".to_owned()).spawn(move || {
            never_preempt();
            read(ring, &waiter, &sender, &flag);
        })?;
        Ok(Self { stop, batches, thread: Some(thread) })
    }

    /// Where the batches come out. Ends when the reader has stopped and everything has been taken.
    pub fn batches(&self) -> &Receiver<Batch> {
        &self.batches
    }

    /// Tells the reader to read what is in the ring now, and to end.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop();
        // A reader that waits for room in the channel must be able to end.
        while self.batches.recv_timeout(TIMER).is_ok() {}
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

fn read(mut ring: RingBuf<MapData>, waiter: &Waiter, sender: &Sender<Batch>, stop: &AtomicBool) {
    loop {
        // Read before the ring is drained, so that what was there when the flag was set is in the last batch.
        let last = stop.load(Ordering::Acquire);
        loop {
            let mut batch = Batch::new();
            while batch.len() < BATCH
                && let Some(record) = ring.next()
            {
                if batch.is_empty() {
                    batch.reserve(BATCH / 8);
                }
                batch.extend_from_slice(&record);
            }
            if batch.is_empty() {
                break;
            }
            if sender.send(batch).is_err() {
                return;
            }
        }
        if last {
            return;
        }
        waiter.wait();
    }
}

/// Waits for the kernel's wake-ups. Edge-triggered: the ring is readable as soon as one record is in it, and a reader that
/// looked at that would run for every record.
struct Waiter {
    epoll: OwnedFd,
}

impl Waiter {
    fn new(ring: &RingBuf<MapData>) -> io::Result<Self> {
        // SAFETY: plain system calls; the descriptor is checked before it is owned.
        #[expect(unsafe_code, reason = "the ring's descriptor is the kernel's")]
        unsafe {
            let descriptor = libc::epoll_create1(libc::EPOLL_CLOEXEC);
            if descriptor < 0 {
                return Err(io::Error::last_os_error());
            }
            let epoll = OwnedFd::from_raw_fd(descriptor);
            let mut event =
                libc::epoll_event { events: (libc::EPOLLIN | libc::EPOLLET).cast_unsigned(), u64: 0 };
            if libc::epoll_ctl(descriptor, libc::EPOLL_CTL_ADD, ring.as_raw_fd(), &raw mut event) < 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(Self { epoll })
        }
    }

    /// Waits for the fill level or the timer.
    fn wait(&self) {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        let millis = i32::try_from(TIMER.as_millis()).unwrap_or(50);
        // SAFETY: room for one event; an error or a signal only ends the wait early.
        #[expect(unsafe_code, reason = "the ring's descriptor is the kernel's")]
        let _ready = unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), &raw mut event, 1, millis) };
    }
}
