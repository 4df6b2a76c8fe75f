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

use crossbeam_channel::{Receiver, Sender, unbounded};
use serde::Serialize;
use thiserror::Error;
use whywait_ebpf::abi::{Header, kind};

use super::{
    limits::shift,
    preamble::Preamble,
    records,
    ring::{Ring, RingPlan},
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
    /// The file is full: its last facts and names, and the description and records with which the next one begins.
    Turn(Box<F>, Vec<Named>, Preamble, Vec<u8>),
    /// What is held in memory is to be written to this file, with its description, facts and names.
    Write(PathBuf, Preamble, Box<F>, Vec<Named>),
}

/// A recording that is being made.
pub struct Recorder<F> {
    path: PathBuf,
    sender: Sender<Message<F>>,
    waiting: Arc<AtomicUsize>,
    /// Bytes of the file, or the time of the oldest record that is held in memory.
    progress: Arc<AtomicU64>,
    unwritten: u64,
    results: Receiver<Result<PathBuf, RecordError>>,
    thread: JoinHandle<Result<Written, RecordError>>,
}

impl<F: Serialize + Send + 'static> Recorder<F> {
    /// Creates the file, and the thread that writes it; `keep` older files are kept where there will be several.
    ///
    /// # Errors
    /// When the file cannot be created, or its beginning not be written.
    pub fn start(path: &Path, preamble: &Preamble, keep: Option<u32>) -> Result<Self, RecordError> {
        let writer = begin(path, preamble)?;
        let files = Files { path: path.to_owned(), keep: keep.unwrap_or(0), writer, synced: Instant::now() };
        Self::run(path, Store::Files(files))
    }

    /// Holds the newest records in memory, until they are asked for.
    ///
    /// # Errors
    /// When no thread can be created.
    pub fn ring(plan: RingPlan) -> Result<Self, RecordError> {
        Self::run(Path::new("in memory"), Store::Ring(Ring::new(plan)))
    }

    fn run(path: &Path, mut store: Store) -> Result<Self, RecordError> {
        let (sender, messages) = unbounded();
        let (told, results) = unbounded();
        let (waiting, progress) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU64::new(0)));
        let (taken, made) = (Arc::clone(&waiting), Arc::clone(&progress));
        let thread = std::thread::Builder::new()
            .name("whywait-record".to_owned())
            .spawn(move || {
                while let Ok(message) = messages.recv() {
                    if let Message::Records(batch, _) = &message {
                        taken.fetch_sub(batch.len(), Ordering::Relaxed);
                    }
                    match &mut store {
                        Store::Files(files) => files.take(message)?,
                        Store::Ring(ring) => {
                            if let Some(result) = hold(ring, message) {
                                // Whoever asked for it may be gone.
                                let _gone = told.send(result);
                            }
                        }
                    }
                    made.store(store.progress(), Ordering::Relaxed);
                }
                store.finish()
            })
            .map_err(|_| RecordError::Thread { path: path.to_owned() })?;
        Ok(Self { path: path.to_owned(), sender, waiting, progress, unwritten: 0, results, thread })
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
    /// The next one has this description, and begins with these records: what there is.
    pub fn turn(&mut self, facts: F, names: Vec<Named>, preamble: Preamble, present: Vec<u8>) {
        self.progress.store(0, Ordering::Relaxed);
        self.tell(Message::Turn(Box::new(facts), names, preamble, present));
    }

    /// Writes what is held in memory to a file; [`Recorder::results`] tells when that is done.
    pub fn write(&mut self, path: PathBuf, preamble: Preamble, facts: F, names: Vec<Named>) {
        self.tell(Message::Write(path, preamble, Box::new(facts), names));
    }

    /// Files that were written from memory since, or why they were not.
    pub fn results(&self) -> impl Iterator<Item = Result<PathBuf, RecordError>> + '_ {
        self.results.try_iter()
    }

    /// Ends what is held in memory, and waits for the files that are being written of it.
    pub fn finish_writing(self) -> Vec<Result<PathBuf, RecordError>> {
        let Self { sender, thread, results, .. } = self;
        drop(sender);
        // It fails in nothing that has not been told.
        let _ended = thread.join();
        results.try_iter().collect()
    }

    /// Bytes of the file so far; of what is held in memory, the time of the oldest record.
    pub fn progress(&self) -> u64 {
        self.progress.load(Ordering::Relaxed)
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

/// Where records go.
enum Store {
    Files(Files),
    Ring(Ring),
}

impl Store {
    fn progress(&self) -> u64 {
        match self {
            Self::Files(files) => files.writer.written().bytes,
            Self::Ring(ring) => ring.oldest(),
        }
    }

    fn finish(self) -> Result<Written, RecordError> {
        match self {
            Self::Files(files) => files.finish(),
            Self::Ring(_) => Ok(Written::default()),
        }
    }
}

/// What is held in memory has its facts and names when it is written.
fn hold<F: Serialize>(ring: &mut Ring, message: Message<F>) -> Option<Result<PathBuf, RecordError>> {
    match message {
        Message::Records(batch, callers) => {
            let mut walked = Vec::with_capacity(batch.len());
            each(&batch, callers, |_, record| walked.extend_from_slice(record));
            ring.records(&walked);
            None
        }
        Message::Lost(records) => {
            ring.lost(records);
            None
        }
        Message::Facts(_) | Message::Names(_) | Message::Turn(..) => None,
        Message::Write(path, preamble, facts, names) => {
            let written = begin(&path, &preamble).and_then(|mut writer| {
                ring.write(&mut writer, &*facts, &names)
                    .map_err(|cause| RecordError::Write { path: path.clone(), cause })
            });
            Some(written.map(|()| path))
        }
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
    synced: Instant,
}

impl Files {
    fn take<F: Serialize>(&mut self, message: Message<F>) -> Result<(), RecordError> {
        let failed = |cause| RecordError::Write { path: self.path.clone(), cause };
        match message {
            Message::Records(batch, callers) => {
                let mut written = Ok(());
                each(&batch, callers, |header, record| {
                    if written.is_ok() {
                        written = self.writer.record(header, record);
                    }
                });
                written.map_err(failed)
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
            Message::Turn(facts, names, preamble, present) => {
                self.writer.facts(&facts).map_err(failed)?;
                self.writer.names(&names).map_err(failed)?;
                self.writer.end().map_err(failed)?;
                shift(&self.path, self.keep)
                    .map_err(|cause| RecordError::Create { path: self.path.clone(), cause })?;
                self.writer = begin(&self.path, &preamble)?;
                self.writer.records(&present).map_err(failed)
            }
            // A file is written as it goes.
            Message::Write(..) => Ok(()),
        }
    }

    fn finish(mut self) -> Result<Written, RecordError> {
        let failed = |cause| RecordError::Write { path: self.path.clone(), cause };
        self.writer.end().map_err(failed)?;
        self.writer.sync().map_err(failed)?;
        Ok(self.writer.written())
    }
}

/// Hands on the records of a batch, each stack with its callers in the place of its copy.
fn each(batch: &[u8], callers: Vec<Callers>, mut take: impl FnMut(&Header, &[u8])) {
    let mut callers = callers.into_iter();
    for (header, record) in records(batch) {
        let walked = (header.kind == kind::STACK)
            .then(|| callers.next())
            .flatten()
            .and_then(|(addresses, end)| with_callers(record, &addresses, end));
        take(&header, walked.as_deref().unwrap_or(record));
    }
}
