//! Ctrl-C and `kill` as a flag that a loop can wait on.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use signal_hook::SigId;
use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::{Handle, Signals};

/// Tells that it is time to stop. Clones share one flag; once set it stays so.
#[derive(Clone, Default)]
pub struct StopFlag {
    shared: Arc<Shared>,
    /// Keeps the signals caught while any clone lives.
    _catcher: Option<Arc<Catcher>>,
}

#[derive(Default)]
struct Shared {
    set: Arc<AtomicBool>,
    /// Guards nothing but the moment between a look at the flag and the wait for its change.
    gate: Mutex<()>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, ()> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self) {
        let gate = self.lock();
        self.set.store(true, Ordering::SeqCst);
        drop(gate);
        self.changed.notify_all();
    }
}

/// What must be undone when nobody waits any more.
struct Catcher {
    ids: Vec<SigId>,
    signals: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Catcher {
    fn drop(&mut self) {
        for id in self.ids.drain(..) {
            signal_hook::low_level::unregister(id);
        }
        self.signals.close();
        if let Some(thread) = self.thread.take() {
            // It only runs the loop below, which does not panic.
            let _ = thread.join();
        }
    }
}

/// Lets a write beyond the limit of a file's size (`RLIMIT_FSIZE`) fail, instead of ending the process.
///
/// # Errors
/// When the system refuses the handler.
pub fn survive_file_limit() -> io::Result<()> {
    signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false))).map(|_| ())
}

impl StopFlag {
    /// A flag that only [`set`](Self::set) sets.
    pub fn new() -> Self {
        Self::default()
    }

    /// A flag that SIGINT and SIGTERM set. A second signal, sent because the first seems to have no effect, ends the
    /// process at once as if it were not caught.
    ///
    /// # Errors
    /// When the system refuses the handlers, or the thread that waits for them.
    pub fn install() -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let mut ids = Vec::new();
        for signal in [SIGINT, SIGTERM] {
            // Actions run in the order in which they were registered, and the first signal must find the flag unset here: the
            // flag comes second, and the thread below, which sets it too, last.
            let flag = &shared.set;
            ids.push(signal_hook::flag::register_conditional_default(signal, Arc::clone(flag))?);
            ids.push(signal_hook::flag::register(signal, Arc::clone(flag))?);
        }
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let mut catcher = Catcher { ids, signals: signals.handle(), thread: None };
        let woken = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("whywait-signals".to_owned()).spawn(move || {
            for _ in signals.forever() {
                woken.set();
            }
        })?;
        catcher.thread = Some(thread);
        Ok(Self { shared, _catcher: Some(Arc::new(catcher)) })
    }

    /// Whether it is time to stop.
    pub fn is_set(&self) -> bool {
        self.shared.set.load(Ordering::SeqCst)
    }

    /// Says that it is time to stop.
    pub fn set(&self) {
        self.shared.set();
    }

    /// Waits until it is time to stop, for at most that long; tells whether it is.
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        let deadline = Instant::now().checked_add(timeout);
        let mut gate = self.shared.lock();
        while !self.is_set() {
            let left =
                deadline.map_or(timeout, |deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return false;
            }
            let woken = self.shared.changed.wait_timeout(gate, left);
            gate = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// The flag itself, for code that only looks.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.shared.set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waiting ends with the time when nothing happens, and at once when the flag is set by another thread.
    #[test]
    fn waiting_ends() {
        let stop = StopFlag::new();
        assert!(!stop.wait_timeout(Duration::from_millis(5)) && !stop.wait_timeout(Duration::ZERO));
        let other = stop.clone();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            other.set();
        });
        assert!(stop.wait_timeout(Duration::MAX));
        assert!(stop.is_set() && stop.flag().load(Ordering::SeqCst));
        thread.join().unwrap();
    }

    /// One SIGTERM to the own process sets the flag and wakes who waits; a flag of its own is not touched.
    #[test]
    fn a_signal_sets_the_flag() {
        let (stop, other) = (StopFlag::install().unwrap(), StopFlag::new());
        assert!(!stop.is_set());
        signal_hook::low_level::raise(SIGTERM).unwrap();
        assert!(stop.is_set(), "the handler itself sets it");
        assert!(stop.wait_timeout(Duration::from_secs(10)));
        assert!(!other.is_set());
    }
}
