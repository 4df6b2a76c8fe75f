//! A recording as a run that goes to any moment: its records go through the pipeline up to there, and what is shown is what a live run would
//! have shown then.
//!
//! What is shown is a function of the file and the moment. Whatever a live run does by its clock is done here at moments that lie at a fixed
//! distance from one another in the recording's own time ([`BEAT`]); where on the way somebody looked makes no difference.

#[cfg(test)]
mod tests;

use std::{fs::File, path::Path, sync::Arc, time::Duration};

use super::{
    explainer::Explained,
    facts::Facts,
    observation::Observation,
    pipeline::{Pipeline, Sink},
    replay::{Part, ReplayError, Source},
    run::IDLE,
    shown::{self, SETTLED, WINDOW},
    slice,
};
use crate::{
    cpu,
    export::WallClock,
    live::{Cursor, Health, History, Motion, Note, Snapshot, Status, Target},
    recording::{Entry, ReadError, records},
    stacks::NameTable,
    units::{Ns, fmt_count},
};

/// Nanoseconds between two moments at which something is done by the clock.
pub const BEAT: u64 = 100_000_000;
/// Beats between two looks at requests that are answered and not followed by another.
const LOOK: u64 = 10;
/// Beats of a window that is explained.
const BEATS: u64 = WINDOW / BEAT;
/// What an explanation says of a window in which no facts were written.
const WITHOUT_FACTS: &str = "what the kernel counts (waits by futex and by kernel lock, run-queue delays, system calls) is in the recording for \
                             longer than this window only: `whywait report` tells it";

/// A window that is over and not explained.
struct Window {
    pipeline: Pipeline,
    span: (Ns, Ns),
    /// The facts before it, and the last ones in it.
    facts: (Option<Entry>, Option<Entry>),
}

/// A recording, and how far it has run.
pub struct Reel {
    source: Source<File>,
    names: NameTable,
    pipeline: Pipeline,
    /// Records that are read, and up to where they have been taken.
    content: Vec<u8>,
    taken: usize,
    /// Something is missing behind them.
    loss: bool,
    newest: Ns,
    position: Ns,
    beats: u64,
    /// The last facts before the window, and before the moment.
    facts: (Option<Entry>, Option<Entry>),
    window: Option<Window>,
    /// When the last window ended.
    turned: Ns,
    explained: Option<Explained>,
    /// The last facts, read.
    known: (Option<u64>, Facts),
}

impl Reel {
    /// Opens a recording, whole or not, at its beginning, to be shown.
    ///
    /// # Errors
    /// When it is no recording, or cannot be read at all.
    pub fn open(path: &Path) -> Result<Self, ReplayError> {
        let mut reel = Self::opened(path, None)?;
        reel.keep_history();
        Ok(reel)
    }

    /// Opens a recording to be gone through once: requests are told, and windows explained, but nothing is kept to be shown.
    ///
    /// # Errors
    /// When it is no recording, or cannot be read at all.
    pub fn listen(path: &Path, sink: Sink) -> Result<Self, ReplayError> {
        let mut reel = Self::opened(path, Some(sink))?;
        reel.pipeline.keep_present();
        Ok(reel)
    }

    fn opened(path: &Path, sink: Option<Sink>) -> Result<Self, ReplayError> {
        let mut source = Source::open(path)?;
        let names = source.names().map_err(|cause| ReplayError::Read { path: path.to_owned(), cause })?;
        let begin = source.facts.begin;
        Ok(Self {
            pipeline: Pipeline::new(begin, sink),
            source,
            names,
            content: Vec::new(),
            taken: 0,
            loss: false,
            newest: begin,
            position: begin,
            beats: 0,
            facts: (None, None),
            window: None,
            turned: begin,
            explained: None,
            known: (None, Facts::default()),
        })
    }

    fn keep_history(&mut self) {
        let begin = self.begin();
        let mut history = History::new(begin);
        if !self.source.missing.is_empty() {
            let text = self.source.missing.join("; ");
            history.note(Note { at: begin, title: "not all is in this recording".to_owned(), text });
        }
        self.pipeline.keep_history(history);
    }

    /// Goes back to the beginning.
    pub fn rewind(&mut self) {
        let begin = self.begin();
        self.source.rewind();
        self.pipeline = Pipeline::new(begin, None);
        self.keep_history();
        (self.content, self.taken, self.loss) = (Vec::new(), 0, false);
        (self.newest, self.position, self.beats) = (begin, begin, 0);
        self.facts = (None, None);
        (self.window, self.turned, self.explained) = (None, begin, None);
    }

    /// When it begins.
    pub fn begin(&self) -> Ns {
        self.source.facts.begin
    }

    /// When it ends.
    pub fn end(&self) -> Ns {
        self.source.facts.end.max(self.begin())
    }

    /// The moment that it has run to.
    pub fn position(&self) -> Ns {
        self.position
    }

    /// Whether a window ends at this moment.
    pub fn ends_window(&self) -> bool {
        self.turned == self.position
    }

    /// What is known to be missing so far, a sentence for each.
    pub fn missing(&self) -> &[String] {
        &self.source.missing
    }

    /// Length in nanoseconds.
    pub fn length(&self) -> u64 {
        self.end().since(self.begin())
    }

    /// A cursor at its beginning.
    pub fn cursor(&self) -> Cursor {
        Cursor {
            position: 0,
            length: self.length(),
            speed: 1.0,
            motion: Motion::Paused,
            appearances: Arc::default(),
            slowest: None,
            looked_through: 0.0,
            origin: self.origin().into(),
            recorder_percent: 0.0,
            missing: Arc::new(self.missing().to_vec()),
            said: None,
        }
    }

    /// Where the recording comes from, in words.
    fn origin(&self) -> String {
        let preamble = self.source.recording.preamble();
        let began = WallClock::of(preamble).rfc3339(self.begin());
        let began = began.split_once('.').map_or(began.as_str(), |(seconds, _)| seconds).replace('T', " ");
        format!(
            "{} records from {began} UTC on, by whywait {} on Linux {} with {} CPUs",
            fmt_count(self.source.recording.records()),
            preamble.whywait,
            preamble.kernel,
            preamble.cpus
        )
    }

    /// Runs on to a moment, or until somebody has enough, who is asked at least at each beat. Returns whether it is there.
    ///
    /// # Errors
    /// When the file cannot be read any more.
    pub fn run_to(&mut self, to: Ns, enough: &mut dyn FnMut() -> bool) -> Result<bool, ReadError> {
        let to = to.min(self.end());
        while self.position < to {
            let beat = self.begin().plus((self.beats + 1) * BEAT);
            let stop = to.min(beat);
            self.take_before(stop)?;
            self.position = stop;
            if stop == beat {
                self.beats += 1;
                self.beat();
            }
            if stop == self.end() {
                self.finish()?;
            }
            if enough() {
                break;
            }
        }
        Ok(self.position >= to)
    }

    /// Takes all records up to the first that is not before this moment.
    fn take_before(&mut self, to: Ns) -> Result<(), ReadError> {
        loop {
            let rest = &self.content[self.taken..];
            let mut length = 0;
            let mut later = false;
            for (header, record) in records(rest) {
                if header.ts >= to.0 {
                    later = true;
                    break;
                }
                length += record.len();
                self.newest = self.newest.max(Ns(header.ts));
            }
            if !later {
                // What is no record is counted there.
                length = rest.len();
            }
            // Callers were found when the stacks were taken.
            self.pipeline.records(&rest[..length], &mut ());
            self.taken += length;
            if later {
                return Ok(());
            }
            if std::mem::take(&mut self.loss) {
                self.pipeline.loss();
            }
            match self.source.next()? {
                None => return Ok(()),
                Some(Part::Facts(entry)) => {
                    self.facts.1 = Some(entry);
                    if self.source.facts.mode.syscalls {
                        let so_far = self.facts_of(Some(entry))?;
                        if let Some(history) = self.pipeline.history() {
                            history.traced(&so_far.syscalls);
                        }
                    }
                }
                Some(Part::Records { content, is_whole }) => {
                    (self.content, self.taken, self.loss) = (content, 0, !is_whole);
                }
            }
        }
    }

    /// What a live run does by its clock.
    fn beat(&mut self) {
        let at = self.position;
        if Duration::from_nanos(at.since(self.newest)) >= IDLE {
            self.pipeline.idle();
        }
        if self.beats.is_multiple_of(LOOK) {
            self.pipeline.settle(Ns(at.0.saturating_sub(SETTLED)));
        }
        shown::advance(&mut self.pipeline, at);
        // The last window takes what would be too short for one.
        if self.beats.is_multiple_of(BEATS) && self.end().since(at) >= WINDOW / 2 {
            self.turn();
        }
    }

    /// The end: what is open is finished as a report finishes it.
    fn finish(&mut self) -> Result<(), ReadError> {
        self.take_before(Ns(u64::MAX))?;
        let end = self.position;
        self.pipeline.finish(end);
        shown::advance(&mut self.pipeline, end);
        self.turn();
        Ok(())
    }

    fn turn(&mut self) {
        let at = self.position;
        self.turned = at;
        let pipeline = self.pipeline.turn(at);
        let facts = self.facts;
        self.facts.0 = facts.1;
        if pipeline.window().count() > 0 {
            let span = (pipeline.window().span().0, at);
            self.window = Some(Window { pipeline, span, facts });
        }
    }

    /// What the last window with requests was found to be.
    ///
    /// # Errors
    /// When the file cannot be read any more.
    pub fn explained(&mut self) -> Result<Option<&Explained>, ReadError> {
        if let Some(Window { pipeline, span, facts: (before, last) }) = self.window.take() {
            let is_first = span.0 == self.begin();
            let told = before != last && (before.is_some() || is_first);
            let (before, last) = (before.filter(|_| told), last.filter(|_| told));
            let earlier = self.facts_of(before)?;
            let window = Facts {
                begin: span.0,
                end: span.1,
                slice: slice::Findings::default(),
                target_ended: false,
                ..self.facts_of(last)?.since(&earlier)
            };
            let facts = with_names(window, &self.source.facts);
            let observation = Observation::new(pipeline, facts, &mut self.names);
            let mut explained = Explained::of(&observation);
            if !told {
                Arc::make_mut(&mut explained.explanation).missing.push(WITHOUT_FACTS.to_owned());
            }
            self.explained = Some(explained);
        }
        Ok(self.explained.as_ref())
    }

    fn facts_of(&mut self, entry: Option<Entry>) -> Result<Facts, ReadError> {
        let Some(entry) = entry else { return Ok(Facts::default()) };
        Ok(self.source.recording.facts_of(&entry)?.unwrap_or_default())
    }

    /// What is to be shown of this moment, and of what led up to it.
    ///
    /// # Errors
    /// When the file cannot be read any more.
    pub fn snapshot(&mut self) -> Result<Snapshot, ReadError> {
        self.explained()?;
        let last = self.facts.1;
        if self.known.0 != last.map(|entry| entry.offset) {
            self.known = (last.map(|entry| entry.offset), self.facts_of(last)?);
        }
        let (all, so_far) = (&self.source.facts, &self.known.1);
        let over = self.position >= self.end();
        let mut lasting = Snapshot {
            target: Target { command: all.command.clone(), pids: all.pids.clone(), ports: all.ports.clone() },
            status: if over && all.target_ended { Status::Ended } else { Status::Watching },
            health: Health {
                lost: shown::lost(&so_far.loss, &so_far.counters, &self.pipeline),
                records: so_far.counters.sent,
                capabilities: shown::capabilities(all.capabilities.iter().cloned()),
                syscalls: all.mode.syscalls,
                sockets_by_syscall: all.mode.sockets_by_syscall,
                ..Health::default()
            },
            ..Snapshot::default()
        };
        if let Some(explained) = &self.explained {
            shown::take_explained(&mut lasting, explained.clone());
        }
        if let Some(history) = self.pipeline.history() {
            history.advance(self.position);
            history.tell_threads();
            lasting.health.history_bytes = history.bytes();
        }
        Ok(shown::picture(&lasting, &mut self.pipeline, self.position))
    }

    /// CPU that the recording took, in percent of one, as far as [`snapshot`](Self::snapshot) has come.
    pub fn recorder_percent(&self) -> f64 {
        let facts = &self.known.1;
        facts.own_cpu_ns as f64 / facts.end.since(facts.begin).max(1) as f64 * 100.0
    }
}

/// The facts of a window, with what was found out later about who is who.
fn with_names(window: Facts, all: &Facts) -> Facts {
    Facts {
        pids: all.pids.clone(),
        command: all.command.clone(),
        ports: all.ports.clone(),
        machine_cpus: all.machine_cpus,
        capabilities: all.capabilities.clone(),
        mode: all.mode,
        cpu: cpu::Outside { groups: window.cpu.groups, ..all.cpu.clone() },
        processes: all.processes.clone(),
        lock_names: all.lock_names.clone(),
        ..window
    }
}
