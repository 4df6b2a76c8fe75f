//! What a run told last, for whoever asks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::metrics::Metrics;

/// The newest metrics. The lock is held for as long as a pointer takes to be copied.
#[derive(Debug, Default)]
pub struct Published(Mutex<Option<Arc<Metrics>>>);

impl Published {
    /// These are the newest now.
    pub fn publish(&self, metrics: Metrics) -> Arc<Metrics> {
        let metrics = Arc::new(metrics);
        // What was told before is dropped outside of the lock.
        let _before = self.lock().replace(Arc::clone(&metrics));
        metrics
    }

    /// The newest, once there are some.
    pub fn latest(&self) -> Option<Arc<Metrics>> {
        self.lock().clone()
    }

    /// A thread that panicked while it held the lock ends the program.
    fn lock(&self) -> MutexGuard<'_, Option<Arc<Metrics>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
