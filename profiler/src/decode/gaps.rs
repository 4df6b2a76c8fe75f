//! Records that are missing, from the numbers of those that came.

use whywait_ebpf::abi::born;

use super::event::{Event, What};
use crate::{recent_map::RecentMap, units::Tid};

/// Records of its thread that may overtake one: an interrupt can come between the number and the room in the ring, and send
/// records of its own.
const OVERTAKEN_BY: u32 = 16;

/// Threads that live at once, at most: no server has as many, but a file can say so.
const MOST: usize = 1 << 17;

/// Finds gaps in the numbers of each thread's records. It must see records as they come from the ring, where a thread's are
/// nearly in the order of their numbers.
#[derive(Debug, Default)]
pub struct Gaps {
    threads: RecentMap<Tid, Numbers>,
}

/// Numbers of a thread's records.
#[derive(Debug, Default)]
struct Numbers {
    next: u32,
    owed: Vec<u32>,
}

impl Gaps {
    /// Notes in the event how many earlier records of its thread will not come any more. False when there are so many threads that this one is not
    /// believed: nothing may be kept for it.
    #[must_use]
    pub fn check(&mut self, event: &mut Event) -> bool {
        if event.tid == Tid(0) {
            return true;
        }
        if self.threads.len() >= MOST && !self.threads.contains_key(event.tid) {
            return false;
        }
        let begins =
            matches!(&event.what, What::Thread(thread) if matches!(thread.how, born::NEW | born::FOUND));
        let fresh = || Numbers { next: event.seq, owed: Vec::new() };
        let numbers = self.threads.get_or_insert_with(event.tid, fresh);
        if begins {
            *numbers = fresh();
        }
        event.missing = numbers.take(event.seq);
        if matches!(event.what, What::ThreadEnd) {
            event.missing += numbers.owed_in_all();
            self.threads.remove(event.tid);
        }
        true
    }

    /// Records that were still owed when the stream ended.
    pub fn finish(&mut self) -> u64 {
        std::mem::take(&mut self.threads).into_values().map(|numbers| u64::from(numbers.owed_in_all())).sum()
    }
}

impl Numbers {
    /// Takes a number; returns how many are given up.
    fn take(&mut self, seq: u32) -> u32 {
        let ahead = seq.wrapping_sub(self.next);
        if ahead == 0 && self.owed.is_empty() {
            self.next = seq.wrapping_add(1);
            return 0;
        }
        if ahead >= u32::MAX / 2 {
            self.owed.retain(|owed| *owed != seq);
            return 0;
        }
        // A long gap is a loss at once; remembering each number of it would be of no use.
        let mut given_up = ahead.saturating_sub(OVERTAKEN_BY);
        self.owed.extend((given_up..ahead).map(|index| self.next.wrapping_add(index)));
        self.next = seq.wrapping_add(1);
        self.owed.retain(|owed| {
            let waits = seq.wrapping_sub(*owed) <= OVERTAKEN_BY;
            given_up += u32::from(!waits);
            waits
        });
        given_up
    }

    fn owed_in_all(&self) -> u32 {
        u32::try_from(self.owed.len()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Ns, Pid};
    use proptest::prelude::*;
    use whywait_ebpf::abi::{SockState, Thread};

    fn check(gaps: &mut Gaps, seq: u32, what: What) -> u64 {
        let mut event = Event { at: Ns(1), tid: Tid(1), pid: Pid(1), seq, missing: 0, cpu: 0, spun: 0, what };
        assert!(gaps.check(&mut event));
        u64::from(event.missing)
    }

    fn missing(numbers: impl IntoIterator<Item = u32>) -> u64 {
        let mut gaps = Gaps::default();
        let found: u64 =
            numbers.into_iter().map(|seq| check(&mut gaps, seq, What::SockState(SockState::default()))).sum();
        found + gaps.finish()
    }

    #[test]
    fn a_record_that_was_overtaken_is_not_missing() {
        assert_eq!(missing([3, 4, 6, 5, 7, 10, 8, 9, 11]), 0);
    }

    #[test]
    fn a_number_that_never_comes_is_missing_once() {
        assert_eq!(missing([3, 4, 7, 8]), 2);
        assert_eq!(missing((0..10).chain(11..100).chain(5_000..5_100)), 1 + 4_900);
    }

    #[test]
    fn a_thread_that_begins_owes_nothing_of_the_one_that_had_its_id() {
        let mut gaps = Gaps::default();
        check(&mut gaps, 40, What::SockState(SockState::default()));
        assert_eq!(check(&mut gaps, 0, What::Thread(Thread::default())), 0);
        assert_eq!(check(&mut gaps, 1, What::ThreadEnd), 0);
        assert_eq!(gaps.finish(), 0);
    }

    /// Those that are known go on, and the end of one makes room.
    #[test]
    fn more_threads_than_any_server_has_are_not_believed() {
        let mut gaps = Gaps::default();
        let mut believed = |tid: usize, what| {
            let tid = Tid(u32::try_from(tid).unwrap());
            let mut event = Event { at: Ns(1), tid, pid: Pid(1), seq: 0, missing: 0, cpu: 0, spun: 0, what };
            gaps.check(&mut event)
        };
        let named = || What::Thread(Thread::default());
        assert!((1..=MOST).all(|tid| believed(tid, named())));
        assert!(!believed(MOST + 1, named()) && believed(5, named()));
        assert!(believed(7, What::ThreadEnd) && believed(MOST + 1, named()));
    }

    proptest! {
        #[test]
        fn what_is_dropped_is_what_is_missing(dropped in proptest::collection::btree_set(1_u32..500, 0..60)) {
            let numbers = (0..501).filter(|seq| !dropped.contains(seq));
            prop_assert_eq!(missing(numbers), dropped.len() as u64);
        }
    }
}
