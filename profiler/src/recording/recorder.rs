//! Writes a recording on a thread of its own, so that a slow disk never delays those who read the kernel's ring.
//!
//! What waits to be written is bounded. Records for which there is no room are counted, and the file says where they are missing.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crossbeam_channel::{Sender, unbounded};
use serde::Serialize;
use thiserror::Error;
use whywait_ebpf::abi::kind;

use super::{
    limits::shift,
    preamble::Preamble,
    present::Present,
    records,
    writer::{WriteError, Writer, Written},
};
use crate::{
    decode::{End, with_callers},
    stacks::Named,
};

/// Bytes of records that may wait to be written.
const WAITING: usize = 64 << 20;
/// How often the disk is asked to have what was written: more is not lost when the power is.
const SYNC: Duration = Duration::from_secs(5);

/// Callers of a stack, as they were found: addresses in user space, innermost first, and how they end.
pub type Callers = (Vec<u64>, End);

/// A recording cannot be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RecordError {
    /// There cannot be such a file.
    #[error("cannot create the recording {path}: {cause}; name a file that can be written")]
    Create {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// It has ended before its time.
    #[error("the recording {path} has ended early: {cause}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: WriteError,
    },
    /// No thread could be created, or the one that was has failed.
    #[error("the thread that writes the recording {path} has failed")]
    Thread {
        /// The file.
        path: PathBuf,
    },
}

/// What the thread is told, in the order in which it came.
enum Message<F> {
    /// Records, and the callers of the stacks among them.
    Records(Vec<u8>, Vec<Callers>),
    /// So many records found no room.
    Lost(u64),
    /// What is known besides.
    Facts(Box<F>),
    /// Names of code.
    Names(Vec<Named>),
    /// The file is full: its last facts and names, and what the next one begins with.
    Turn(Box<Turn<F>>),
}

/// What is needed to end a file and begin the next.
struct Turn<F> {
    facts: F,
    names: Vec<Named>,
    preamble: Preamble,
}

/// A recording that is being made.
pub struct Recorder<F> {
    path: PathBuf,
    sender: Sender<Message<F>>,
    waiting: Arc<AtomicUsize>,
    bytes: Arc<AtomicU64>,
    unwritten: u64,
    thread: JoinHandle<Result<Written, RecordError>>,
}

impl<F: Serialize + Send + 'static> Recorder<F> {
    /// Creates the file, and the thread that writes it; `keep` older files are kept where there will be several.
    ///
    /// # Errors
    /// When the file cannot be created, or its beginning not be written.
    pub fn start(path: &Path, preamble: &Preamble, keep: Option<u32>) -> Result<Self, RecordError> {
        let writer = begin(path, preamble)?;
        let (sender, messages) = unbounded();
        let (waiting, bytes) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU64::new(0)));
        let mut files = Files {
            path: path.to_owned(),
            keep: keep.unwrap_or(0),
            writer,
            // What is there is needed only for a file that begins in the middle.
            present: keep.map(|_| Present::default()),
            newest: 0,
            synced: Instant::now(),
        };
        let (taken, written) = (Arc::clone(&waiting), Arc::clone(&bytes));
        let thread = std::thread::Builder::new()
            .name("whywait-record".to_owned())
            .spawn(move || {
                while let Ok(message) = messages.recv() {
                    if let Message::Records(batch, _) = &message {
                        taken.fetch_sub(batch.len(), Ordering::Relaxed);
                    }
                    files.take(message)?;
                    written.store(files.writer.written().bytes, Ordering::Relaxed);
                }
                files.finish()
            })
            .map_err(|_| RecordError::Thread { path: path.to_owned() })?;
        Ok(Self { path: path.to_owned(), sender, waiting, bytes, unwritten: 0, thread })
    }

    /// Takes records one after the other, as the ring's reader hands them on, with the callers of the stacks among them in their order.
    pub fn records(&mut self, batch: Vec<u8>, callers: Vec<Callers>) {
        if self.waiting.load(Ordering::Relaxed) + batch.len() > WAITING {
            let missing = records(&batch).count() as u64;
            self.unwritten += missing;
            self.lost(missing);
            return;
        }
        self.waiting.fetch_add(batch.len(), Ordering::Relaxed);
        self.tell(Message::Records(batch, callers));
    }

    /// Notes that so many records found no room since.
    pub fn lost(&mut self, records: u64) {
        self.tell(Message::Lost(records));
    }

    /// Takes what is known besides the records; it takes the place of what was known before, and all records up to here are written.
    pub fn facts(&mut self, facts: F) {
        self.tell(Message::Facts(Box::new(facts)));
    }

    /// Takes names of code; they add to those before.
    pub fn names(&mut self, names: Vec<Named>) {
        self.tell(Message::Names(names));
    }

    /// Ends the file with these facts and names, and begins the next one.
    pub fn turn(&mut self, facts: F, names: Vec<Named>, preamble: Preamble) {
        self.bytes.store(0, Ordering::Relaxed);
        self.tell(Message::Turn(Box::new(Turn { facts, names, preamble })));
    }

    /// Bytes of the file so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Records for which there was no room, because the disk was too slow.
    pub fn unwritten(&self) -> u64 {
        self.unwritten
    }

    /// Whether the recording has ended early; [`Recorder::finish`] tells why.
    pub fn has_failed(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends the file; how much was written.
    ///
    /// # Errors
    /// When it could not all be written.
    pub fn finish(self) -> Result<Written, RecordError> {
        let Self { path, sender, thread, .. } = self;
        drop(sender);
        match thread.join() {
            Ok(result) => result,
            Err(_) => Err(RecordError::Thread { path }),
        }
    }

    fn tell(&self, message: Message<F>) {
        // Nobody listens any more when the writing has failed, which is told when it is asked for.
        let _failed = self.sender.send(message);
    }
}

/// Creates a file and writes its beginning.
fn begin(path: &Path, preamble: &Preamble) -> Result<Writer<File>, RecordError> {
    let file = File::create(path).map_err(|cause| RecordError::Create { path: path.to_owned(), cause })?;
    Writer::begin(file, preamble).map_err(|cause| RecordError::Write { path: path.to_owned(), cause })
}

/// What the thread has in hand.
struct Files {
    path: PathBuf,
    keep: u32,
    writer: Writer<File>,
    present: Option<Present>,
    /// Time of the newest record.
    newest: u64,
    synced: Instant,
}

impl Files {
    fn take<F: Serialize>(&mut self, message: Message<F>) -> Result<(), RecordError> {
        let failed = |cause| RecordError::Write { path: self.path.clone(), cause };
        match message {
            Message::Records(batch, callers) => {
                if let Some(present) = &mut self.present {
                    for (header, record) in records(&batch) {
                        present.record(&header, record);
                        self.newest = self.newest.max(header.ts);
                    }
                }
                put(&mut self.writer, &batch, callers).map_err(failed)
            }
            Message::Lost(records) => {
                self.writer.dropped(records);
                self.writer.flush().map_err(failed)
            }
            Message::Facts(facts) => {
                self.writer.facts(&facts).map_err(failed)?;
                if self.synced.elapsed() >= SYNC {
                    self.writer.sync().map_err(failed)?;
                    self.synced = Instant::now();
                }
                Ok(())
            }
            Message::Names(names) => self.writer.names(&names).map_err(failed),
            Message::Turn(turn) => self.turn(&turn),
        }
    }

    /// Ends a file, and begins the next with what there is.
    fn turn<F: Serialize>(&mut self, turn: &Turn<F>) -> Result<(), RecordError> {
        let failed = |cause| RecordError::Write { path: self.path.clone(), cause };
        self.writer.facts(&turn.facts).map_err(failed)?;
        self.writer.names(&turn.names).map_err(failed)?;
        self.writer.end().map_err(failed)?;
        shift(&self.path, self.keep)
            .map_err(|cause| RecordError::Create { path: self.path.clone(), cause })?;
        self.writer = begin(&self.path, &turn.preamble)?;
        let present = self.present.as_ref().map(|present| present.records(self.newest)).unwrap_or_default();
        self.writer.records(&present).map_err(failed)
    }

    fn finish(mut self) -> Result<Written, RecordError> {
        let failed = |cause| RecordError::Write { path: self.path.clone(), cause };
        self.writer.end().map_err(failed)?;
        self.writer.sync().map_err(failed)?;
        Ok(self.writer.written())
    }
}

/// Writes records, each stack with its callers in the place of its copy.
fn put(writer: &mut Writer<File>, batch: &[u8], callers: Vec<Callers>) -> Result<(), WriteError> {
    let mut callers = callers.into_iter();
    for (header, record) in records(batch) {
        let walked = (header.kind == kind::STACK)
            .then(|| callers.next())
            .flatten()
            .and_then(|(addresses, end)| with_callers(record, &addresses, end));
        writer.record(&header, walked.as_deref().unwrap_or(record))?;
    }
    Ok(())
}
