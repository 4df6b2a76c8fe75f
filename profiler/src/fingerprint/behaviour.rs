//! What is kept of events and requests to tell the model from.

use super::{outside::Outside, verdict::Fingerprint};
use crate::{clock::Request, decode::Event, units::Ns};

/// How a server behaves.
#[derive(Debug)]
pub struct Behaviour {
    begin: Ns,
    end: Ns,
    requests: u64,
}

impl Behaviour {
    /// Nothing seen yet, in a window that begins at `begin`.
    pub fn new(begin: Ns) -> Self {
        Self { begin, end: begin, requests: 0 }
    }

    /// Takes an event.
    pub fn event(&mut self, event: &Event) {
        self.end = self.end.max(event.at);
    }

    /// Takes a finished request.
    pub fn request(&mut self, request: &Request) {
        self.requests += u64::from(request.end >= self.begin);
    }

    /// Ends the window.
    pub fn close(&mut self, end: Ns) {
        self.end = end.max(self.begin);
    }

    /// What it amounts to.
    pub fn fingerprint(&self, _outside: &Outside) -> Fingerprint {
        Fingerprint::default()
    }
}
