//! What a run puts into its snapshots, live or from a recording.

use std::sync::Arc;

use super::{explainer::Explained, pipeline::Pipeline};
use crate::{
    live::{Lost, Snapshot},
    probe::{Counters, Loss, Outcome},
    units::Ns,
};

/// A response of which nothing more is written for this long, in nanoseconds, is complete.
pub const SETTLED: u64 = 2_000_000_000;
/// How long a window is that is explained, in nanoseconds.
pub const WINDOW: u64 = 5_000_000_000;

/// Time has gone on to this moment; as many requests as there are are open.
pub fn advance(pipeline: &mut Pipeline, at: Ns) {
    let (count, _) = pipeline.in_flight();
    if let Some(history) = pipeline.history() {
        history.advance(at);
        history.in_flight(count);
    }
}

/// The snapshot of this moment: what stays from one to the next, and what the history tells.
pub fn picture(lasting: &Snapshot, pipeline: &mut Pipeline, at: Ns) -> Snapshot {
    let (count, oldest) = pipeline.in_flight();
    let mut snapshot = lasting.clone();
    if let Some(history) = pipeline.history() {
        history.tell(&mut snapshot);
    }
    snapshot.in_flight = count;
    snapshot.oldest = oldest.map(|since| at.since(since));
    snapshot
}

/// Shows what a window was found to be.
pub fn take_explained(lasting: &mut Snapshot, new: Explained) {
    lasting.model = new.model;
    lasting.locks = new.locks;
    lasting.stacks = new.stacks;
    lasting.explanation = Some(new.explanation);
    lasting.explained = new.at;
}

/// What was found out about the last windows is not said any more.
pub fn forget_explained(lasting: &mut Snapshot) {
    lasting.model = None;
    lasting.explanation = None;
    lasting.locks = Arc::default();
    lasting.stacks = Arc::default();
    lasting.explained = Ns(0);
}

/// What was lost so far.
pub fn lost(loss: &Loss, counters: &Counters, pipeline: &Pipeline) -> Lost {
    Lost {
        records: loss.total() + pipeline.unreadable() + counters.no_state + counters.unseen_switches,
        by_kind: loss.by_kind().map(|(kind, count)| (kind.to_owned(), count)).collect(),
        missing: pipeline.tally().missing,
        late: pipeline.late(),
    }
}

/// Programs: hook, what it gives, and why it is missing if it is.
pub fn capabilities(outcomes: impl IntoIterator<Item = Outcome>) -> Vec<(String, String, Option<String>)> {
    outcomes.into_iter().map(|outcome| (outcome.hook, outcome.gives, outcome.failure)).collect()
}
