//! What there is in a recording that one may want to see, as far as it is looked through.

use crate::{clock::RequestId, decode::Route, explain::Id};

/// A window in which causes are found that were not found in the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appearance {
    /// When the window ends, in nanoseconds since the recording's beginning.
    pub at: u64,
    /// These causes.
    pub causes: Vec<Id>,
}

/// The slowest request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slowest {
    /// Its name.
    pub id: RequestId,
    /// Its latency in nanoseconds.
    pub latency: u64,
    /// Its route.
    pub route: Option<Route>,
    /// When it ended, in nanoseconds since the recording's beginning.
    pub end: u64,
    /// The moment from which on it is known: a request is over when the next one is read, or a while has passed.
    pub known: u64,
}

/// What has been found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Up to here the recording is looked through, in nanoseconds since its beginning.
    pub until: u64,
    /// All of it is.
    pub is_complete: bool,
    pub(super) appearances: Vec<Appearance>,
    /// Causes that were found in the last window.
    pub(super) before: Vec<Id>,
    pub(super) slowest: Option<Slowest>,
}

impl Survey {
    /// Takes the causes that are found in the window that ends at this moment, later than any before; returns those that are new.
    pub fn window(&mut self, at: u64, found: Vec<Id>) -> Option<&Appearance> {
        let causes: Vec<Id> = found.iter().copied().filter(|id| !self.before.contains(id)).collect();
        self.before = found;
        if causes.is_empty() {
            return None;
        }
        self.appearances.push(Appearance { at, causes });
        self.appearances.last()
    }

    /// Takes a request, if it is slower than all before.
    pub fn request(&mut self, request: Slowest) {
        if self.slowest.as_ref().is_none_or(|slowest| request.latency > slowest.latency) {
            self.slowest = Some(request);
        }
    }

    /// All appearances so far, by time.
    pub fn appearances(&self) -> &[Appearance] {
        &self.appearances
    }

    /// The slowest request so far.
    pub fn slowest(&self) -> Option<&Slowest> {
        self.slowest.as_ref()
    }

    /// The first appearance after a moment.
    pub fn after(&self, at: u64) -> Option<&Appearance> {
        self.appearances.get(self.appearances.partition_point(|one| one.at <= at))
    }

    /// The last appearance before a moment.
    pub fn before(&self, at: u64) -> Option<&Appearance> {
        let place = self.appearances.partition_point(|one| one.at < at);
        self.appearances.get(place.checked_sub(1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cause that stays appears once; one that goes and comes back appears again.
    #[test]
    fn a_cause_appears_when_it_was_not_there_before() {
        let (lock, disk) = (Id::LockContention, Id::DiskSlow);
        let mut survey = Survey::default();
        for (at, found) in [
            (5, vec![]),
            (10, vec![lock]),
            (15, vec![lock]),
            (20, vec![disk, lock]),
            (25, vec![]),
            (30, vec![lock]),
        ] {
            survey.window(at, found);
        }
        let told: Vec<(u64, &[Id])> =
            survey.appearances().iter().map(|one| (one.at, one.causes.as_slice())).collect();
        assert_eq!(told, [(10, &[lock][..]), (20, &[disk]), (30, &[lock])]);
        assert_eq!(survey.after(0).map(|one| one.at), Some(10));
        assert_eq!(survey.after(10).map(|one| one.at), Some(20));
        assert_eq!(survey.after(30), None);
        assert_eq!(survey.before(10), None);
        assert_eq!(survey.before(11).map(|one| one.at), Some(10));
        assert_eq!(survey.before(u64::MAX).map(|one| one.at), Some(30));
    }

    #[test]
    fn the_first_of_the_slowest_counts() {
        let mut survey = Survey::default();
        for (id, latency) in [(1, 5), (2, 9), (3, 9), (4, 1)] {
            let request = Slowest { id: RequestId(id), latency, route: None, end: id, known: id };
            survey.request(request);
        }
        assert_eq!(survey.slowest().map(|slowest| slowest.id), Some(RequestId(2)));
    }
}
