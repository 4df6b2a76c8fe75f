//! What the server says really happened in each request, for a tracer's answer to be checked against.
//!
//! A request thread only pushes a record onto its own buffer; formatting and writing happen on the control thread
//! (see [`crate::server`]), every 100 ms and at the end, so that the truth does not change what it describes. Each
//! request is also marked by two static user-space probes, `whywait_demo:request__start` and
//! `whywait_demo:request__end` with the client's port, which cost one `nop` while nobody listens.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::clock::{self, MonotonicNs};

/// What a request's planted time was spent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// CPU time of the thread.
    OnCpu,
    /// Wall time in a timer.
    Sleep,
    /// Wall time until a mutex that another thread held was taken.
    Lock,
    /// Wall time of write and fdatasync, less the CPU time in them.
    Disk,
    /// Wall time from before the send to after the answer of another server.
    Downstream,
    /// Wall time of mapping, touching and unmapping memory, less the CPU time in it: what the thread was blocked
    /// for. Page faults that the kernel serves at once are CPU time.
    PageFault,
}

/// Time that a request was made to spend, as it was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planted {
    /// On what.
    pub kind: Kind,
    /// How long.
    pub time: Duration,
}

impl Planted {
    /// A request that was answered at once.
    pub const NOTHING: Self = Self { kind: Kind::OnCpu, time: Duration::ZERO };
}

/// One line of the truth file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record<R = String> {
    /// The thread that wrote the answer.
    pub tid: i32,
    /// The client's port: with the server's it names the connection.
    pub port: u16,
    /// The path that was asked for.
    pub route: R,
    /// When the read had returned with which the request was complete; for one that had been read together with an
    /// earlier one, when its turn had come.
    pub start_ns: MonotonicNs,
    /// When the last write of the answer had returned.
    pub end_ns: MonotonicNs,
    /// How much time was really spent on `kind`.
    pub planted_ns: u64,
    /// What the time was spent on.
    pub kind: Kind,
}

/// The reads of one client's connection, with which its requests begin.
#[derive(Debug)]
pub struct Reads {
    port: u16,
    /// When the last one returned, until a request begins with it.
    returned: Option<MonotonicNs>,
}

impl Reads {
    /// Of the client that has this port.
    pub fn new(port: u16) -> Self {
        Self { port, returned: None }
    }

    /// Notes that a read has returned with bytes. To be called at once: a request's time begins here.
    pub fn returned(&mut self) {
        self.returned = Some(MonotonicNs::now());
    }

    /// Marks that a request has been taken from the connection, which begins with the last read.
    pub fn begin(&mut self) -> RequestSpan {
        mark_start(self.port);
        RequestSpan { port: self.port, start: self.returned.take().unwrap_or_else(MonotonicNs::now) }
    }
}

/// A request that is being worked on.
#[derive(Debug)]
pub struct RequestSpan {
    port: u16,
    start: MonotonicNs,
}

impl RequestSpan {
    /// Marks that its answer has been written.
    pub fn end(self, recorder: &Recorder, route: &'static str, planted: Planted) {
        let end_ns = MonotonicNs::now();
        mark_end(self.port);
        recorder.record(self.port, route, self.start, end_ns, planted);
    }
}

// Each probe is in one function of its own: of a function that is inlined everywhere the linker drops the unused copy,
// but not the note that describes the probe in it, which then names an address where no code is.

#[inline(never)]
fn mark_start(port: u16) {
    probe::probe!(whywait_demo, request__start, port);
}

#[inline(never)]
fn mark_end(port: u16) {
    probe::probe!(whywait_demo, request__end, port);
}

type Buffer = Arc<Mutex<Vec<Record<&'static str>>>>;

/// The truth file and the buffers that are to be written to it.
#[derive(Debug)]
pub struct Truth {
    file: Mutex<File>,
    buffers: Mutex<Vec<Buffer>>,
}

impl Truth {
    /// Opens the file for appending: several processes may write to the same one, each whole lines.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .with_context(|| format!("cannot open the truth file {}: check --truth", path.display()))?;
        Ok(Self { file: Mutex::new(file), buffers: Mutex::default() })
    }

    fn buffer(&self) -> Buffer {
        let buffer = Buffer::new(Mutex::new(Vec::with_capacity(1024)));
        lock(&self.buffers).push(Arc::clone(&buffer));
        buffer
    }

    /// Writes what has been recorded so far and forgets the buffers of threads that are gone.
    pub fn flush(&self) -> std::io::Result<()> {
        // Held all the time: who ends the process after its own flush must not overtake one that is under way.
        let mut file = lock(&self.file);
        let mut lines = Vec::new();
        lock(&self.buffers).retain(|buffer| {
            // Counted before the buffer is emptied: a thread that goes away in between is seen the next time.
            let in_use = Arc::strong_count(buffer) > 1;
            let mut spare = Vec::with_capacity(1024);
            std::mem::swap(&mut *lock(buffer), &mut spare);
            for record in &spare {
                // Neither the record nor a Vec can make this fail.
                let _ = serde_json::to_writer(&mut lines, record);
                lines.push(b'\n');
            }
            in_use
        });
        file.write_all(&lines)
    }
}

/// One thread's way into the truth file. Belongs to the thread that made it.
#[derive(Debug)]
pub struct Recorder {
    tid: i32,
    buffer: Option<Buffer>,
}

impl Recorder {
    /// For the calling thread; records nothing without a truth file.
    pub fn new(truth: Option<&Truth>) -> Self {
        Self { tid: thread_id(), buffer: truth.map(Truth::buffer) }
    }

    fn record(
        &self,
        port: u16,
        route: &'static str,
        start_ns: MonotonicNs,
        end_ns: MonotonicNs,
        planted: Planted,
    ) {
        if let Some(buffer) = &self.buffer {
            let planted_ns = clock::nanos(planted.time);
            let record =
                Record { tid: self.tid, port, route, start_ns, end_ns, planted_ns, kind: planted.kind };
            lock(buffer).push(record);
        }
    }
}

/// What a panicked thread left behind is still whole: each critical section here is one operation on a Vec.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(unsafe_code, reason = "std does not tell the kernel's thread id")]
fn thread_id() -> i32 {
    // SAFETY: gettid takes no argument, touches no memory and cannot fail.
    let tid = unsafe { libc::syscall(libc::SYS_gettid) };
    // The kernel's ids are below 2²² (PID_MAX_LIMIT).
    i32::try_from(tid).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line has the documented names, and a thread's last records survive the thread.
    #[test]
    fn a_finished_thread_leaves_its_records() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("truth");
        let truth = Truth::open(&path).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let recorder = Recorder::new(Some(&truth));
                let planted = Planted { kind: Kind::PageFault, time: Duration::from_micros(7) };
                Reads::new(4711).begin().end(&recorder, "/alloc", planted);
            });
        });
        truth.flush().unwrap();
        truth.flush().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let record: Record = serde_json::from_str(text.trim_end()).unwrap();
        assert_eq!((record.port, record.route.as_str(), record.planted_ns), (4711, "/alloc", 7000));
        assert!(text.contains(r#""kind":"page_fault""#) && record.end_ns >= record.start_ns);
        assert!(lock(&truth.buffers).is_empty());
    }
}
