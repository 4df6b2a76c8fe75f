//! From a pipeline to an exporter.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{End, ExportError, Exporter, is_route};
use crate::{
    clock::{Request, RequestId},
    decode::{Event, Route},
    observe::{Listener, Sink},
};

/// An exporter that is told what goes through a pipeline.
///
/// The pipeline has the one half, [`sink`](Self::sink), and whoever drives it this one.
pub struct Export {
    relay: Arc<Mutex<Relay>>,
}

struct Relay {
    exporter: Box<dyn Exporter>,
    route: Option<String>,
    requests: u64,
    failure: Option<ExportError>,
}

struct Told(Arc<Mutex<Relay>>);

impl Export {
    /// Exports all events, and the requests of this route, or all.
    pub fn new(exporter: Box<dyn Exporter>, route: Option<String>) -> Self {
        Self { relay: Arc::new(Mutex::new(Relay { exporter, route, requests: 0, failure: None })) }
    }

    /// What the pipeline tells.
    pub fn sink(&self) -> Sink {
        Box::new(Told(Arc::clone(&self.relay)))
    }

    /// Whether the output cannot be written, so that what comes further is of no use.
    pub fn has_failed(&self) -> bool {
        lock(&self.relay).failure.is_some()
    }

    /// Ends the output; the number of requests in it.
    ///
    /// # Errors
    /// When it cannot be written now, or could not before, or no request has the route.
    pub fn finish(self, end: End<'_>) -> Result<u64, ExportError> {
        let mut relay = lock(&self.relay);
        if let Some(failure) = relay.failure.take() {
            return Err(failure);
        }
        if relay.requests == 0
            && let Some(route) = relay.route.take()
        {
            return Err(ExportError::NoSuchRoute { route });
        }
        let exporter = std::mem::replace(&mut relay.exporter, Box::new(Nothing));
        exporter.finish(end)?;
        Ok(relay.requests)
    }
}

/// A thread that panicked while it held the lock ends the program.
fn lock(relay: &Mutex<Relay>) -> MutexGuard<'_, Relay> {
    relay.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Relay {
    fn pass(&mut self, pass: impl FnOnce(&mut dyn Exporter) -> Result<(), ExportError>) {
        if self.failure.is_none() {
            self.failure = pass(&mut *self.exporter).err();
        }
    }

    /// Whether requests of the route are exported.
    fn is_wanted(&self, route: Option<&Route>) -> bool {
        self.route.as_ref().is_none_or(|wanted| route.is_some_and(|route| is_route(route, wanted)))
    }
}

impl Listener for Told {
    fn event(&mut self, event: &Event, serving: Option<RequestId>) {
        lock(&self.0).pass(|exporter| exporter.event(event, serving));
    }

    fn request(&mut self, request: &Request) {
        let mut relay = lock(&self.0);
        if relay.is_wanted(request.route.as_ref()) {
            relay.requests += 1;
            relay.pass(|exporter| exporter.request(request));
        }
    }
}

/// What is left when the output has ended.
struct Nothing;

impl Exporter for Nothing {
    fn finish(self: Box<Self>, _: End<'_>) -> Result<(), ExportError> {
        Ok(())
    }
}
