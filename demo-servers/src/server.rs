//! What the threads of one server process share, and how it stops.
//!
//! One more thread, `control`, waits for SIGTERM or SIGINT and, if there is a truth file, writes it. To stop, it shuts
//! down the listening socket and the reading side of every open connection: threads that are blocked in `accept` or
//! `recv` return at once, and answers that are being worked on can still be sent.
//!
//! Two kinds of process differ: in a worker whose listening socket is also that of others `control` lets that live and
//! ends the process itself, and one that was forked for a single connection needs no such thread.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level;
use socket2::SockRef;

use crate::cache::Cache;
use crate::config::Config;
use crate::process;
use crate::routes::Mix;
use crate::truth::Truth;
use crate::work::LockHolder;

/// How often the truth is written.
const FLUSH_INTERVAL: Duration = Duration::from_millis(100);
/// How long requests in progress may take to finish once the server has been told to stop.
pub const GRACE: Duration = Duration::from_millis(500);
/// How long to wait before accepting again when the process is out of descriptors.
pub const ACCEPT_RETRY: Duration = Duration::from_millis(10);

/// Where a process gets its connections from.
#[derive(Debug)]
enum Source {
    /// A listening socket of its own.
    Own(TcpListener),
    /// One on which other processes accept as well.
    Shared(TcpListener),
    /// It was forked for one connection.
    Forked,
}

/// The shared part of a server process.
#[derive(Debug)]
pub struct Server {
    config: Config,
    source: Source,
    stopping: AtomicBool,
    open: Mutex<HashMap<u64, Arc<TcpStream>>>,
    closed: Condvar,
    next_id: AtomicU64,
    truth: Option<Truth>,
    cache: Cache,
    mix: Mix,
    lock_holder: LockHolder,
}

impl Server {
    /// Makes this process ready to serve `listener`, which nobody else does. A model that forks calls this in each
    /// child: threads do not survive a fork.
    pub fn start(listener: TcpListener, config: &Config) -> anyhow::Result<Arc<Self>> {
        Self::start_control(Source::Own(listener), config)
    }

    /// Makes this process ready to serve `listener` beside others that do so too. Since it cannot be woken by shutting
    /// that down, it ends (with status 0) by itself when it has been told to stop and its requests are done.
    pub fn start_worker(listener: TcpListener, config: &Config) -> anyhow::Result<Arc<Self>> {
        Self::start_control(Source::Shared(listener), config)
    }

    /// Makes this process ready to serve the one connection that it was forked for, on its only thread: told to stop,
    /// it ends the reading side of that from within the signal's handler. The truth is written by [`Self::finish`].
    #[expect(unsafe_code, reason = "a signal handler")]
    pub fn start_forked(stream: &TcpStream, config: &Config) -> anyhow::Result<Arc<Self>> {
        let server = Arc::new(Self::new(Source::Forked, config)?);
        let stream = Arc::new(stream.try_clone()?);
        for signal in [SIGTERM, SIGINT] {
            let (stream, its) = (Arc::clone(&stream), Arc::clone(&server));
            let stop = move || {
                its.stopping.store(true, Ordering::Release);
                let _ = stream.shutdown(Shutdown::Read);
            };
            // SAFETY: the handler stores to an atomic and makes one system call, shutdown; both are async-signal-safe.
            unsafe { low_level::register(signal, stop) }.context("cannot handle SIGTERM and SIGINT")?;
        }
        process::release_signals().context("cannot receive signals")?;
        Ok(server)
    }

    fn new(source: Source, config: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            source,
            stopping: AtomicBool::new(false),
            open: Mutex::default(),
            closed: Condvar::new(),
            next_id: AtomicU64::new(0),
            truth: config.truth.as_deref().map(Truth::open).transpose()?,
            cache: Cache::default(),
            mix: Mix::new(config.seed, config.upstream.is_some()),
            lock_holder: LockHolder::default(),
            config: config.clone(),
        })
    }

    fn start_control(source: Source, config: &Config) -> anyhow::Result<Arc<Self>> {
        let server = Arc::new(Self::new(source, config)?);
        let (signalled, signals) = UnixStream::pair().context("cannot make a socket pair for signals")?;
        for signal in [SIGTERM, SIGINT] {
            let end = signals.try_clone().context("cannot make a socket pair for signals")?;
            low_level::pipe::register(signal, end).context("cannot handle SIGTERM and SIGINT")?;
        }
        process::release_signals().context("cannot receive signals")?;
        signalled.set_read_timeout(server.truth.is_some().then_some(FLUSH_INTERVAL))?;
        let controlled = Arc::clone(&server);
        std::thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || controlled.control(&signalled))
            .context("cannot start the control thread")?;
        Ok(server)
    }

    /// The options.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The listening socket, unless this process was forked for one connection.
    pub fn listener(&self) -> Option<&TcpListener> {
        match &self.source {
            Source::Own(listener) | Source::Shared(listener) => Some(listener),
            Source::Forked => None,
        }
    }

    /// The truth file, if one is wanted.
    pub fn truth(&self) -> Option<&Truth> {
        self.truth.as_ref()
    }

    /// The response cache.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// What `/mix` is drawn from.
    pub fn mix(&self) -> &Mix {
        &self.mix
    }

    /// The thread that `/lock` waits for.
    pub fn lock_holder(&self) -> &LockHolder {
        &self.lock_holder
    }

    /// Whether the server has been told to stop.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Waits for the next connection; `None` when the server stops.
    pub fn accept(&self) -> Option<TcpStream> {
        let listener = self.listener()?;
        loop {
            match listener.accept() {
                Ok(_) | Err(_) if self.is_stopping() => return None,
                Ok((stream, _)) => return Some(stream),
                // A client that left before it was accepted is no reason to wait; too few descriptors is.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(_) => std::thread::sleep(ACCEPT_RETRY),
            }
        }
    }

    /// Makes a connection known, so that stopping ends a read on it. The value closes it when dropped.
    pub fn register(self: &Arc<Self>, stream: TcpStream) -> OpenConnection {
        let stream = Arc::new(stream);
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        self.open().insert(id, Arc::clone(&stream));
        // Checked after the insertion: either `stop` sees the connection, or this sees that it has been called.
        if self.is_stopping() {
            let _ = stream.shutdown(Shutdown::Read);
        }
        OpenConnection { id, stream, server: Arc::clone(self) }
    }

    /// Called when no more connections are accepted: gives requests in progress a moment, then writes the last of the
    /// truth. Threads that are still busy after that end with the process.
    pub fn finish(&self) -> anyhow::Result<()> {
        let waited = self.closed.wait_timeout_while(self.open(), GRACE, |open| !open.is_empty());
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        self.flush_truth()
    }

    fn flush_truth(&self) -> anyhow::Result<()> {
        self.truth
            .as_ref()
            .map_or(Ok(()), Truth::flush)
            .context("cannot write the truth file: is the disk full?")
    }

    fn control(&self, mut signalled: &UnixStream) {
        let mut byte = [0];
        loop {
            match signalled.read(&mut byte) {
                Ok(_) => break self.stop(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if let Err(error) = self.flush_truth() {
                        eprintln!("{error:#}");
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    break eprintln!("waiting for signals failed ({error}): end this server with SIGKILL");
                }
            }
        }
    }

    fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        // Both shutdowns can fail only for sockets that are closed already.
        if let Source::Own(listener) = &self.source {
            let _ = SockRef::from(listener).shutdown(Shutdown::Both);
        }
        for stream in self.open().values() {
            let _ = stream.shutdown(Shutdown::Read);
        }
        if let Source::Shared(_) = self.source {
            // The thread that accepts may go on waiting, and one that works may go on working.
            let finished = self.finish();
            std::process::exit(finished.map_or_else(|error| fail(&error), |()| 0));
        }
    }

    /// Each critical section is one operation on the map, which a panic elsewhere cannot leave half done.
    fn open(&self) -> MutexGuard<'_, HashMap<u64, Arc<TcpStream>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fail(error: &anyhow::Error) -> i32 {
    eprintln!("{error:#}");
    process::FAILED
}

/// A connection that the server knows of.
#[derive(Debug)]
pub struct OpenConnection {
    id: u64,
    stream: Arc<TcpStream>,
    server: Arc<Server>,
}

impl OpenConnection {
    /// The socket.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

impl Read for OpenConnection {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stream().read(bytes)
    }
}

impl Write for OpenConnection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let mut open = self.server.open();
        open.remove(&self.id);
        // Only `finish` waits for this: otherwise each last close would cost a needless wake-up call.
        if open.is_empty() && self.server.is_stopping() {
            self.server.closed.notify_all();
        }
    }
}
