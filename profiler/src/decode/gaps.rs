//! Records that are missing, from the numbers of those that came.

use std::collections::HashMap;

use whywait_ebpf::abi::born;

use super::event::{Event, What};
use crate::units::Tid;

/// Finds gaps in the numbers of each thread's records. It must see records as they come from the ring, where a thread's are in
/// their order; by their times they need not be.
#[derive(Debug, Default)]
pub struct Gaps {
    next: HashMap<Tid, u32>,
}

impl Gaps {
    /// Notes in the event how many records of its thread are missing before it.
    pub fn check(&mut self, event: &mut Event) {
        if event.tid == Tid(0) {
            return;
        }
        let begins =
            matches!(&event.what, What::Thread(thread) if matches!(thread.how, born::NEW | born::FOUND));
        if let Some(next) = self.next.get(&event.tid)
            && !begins
        {
            let missing = event.seq.wrapping_sub(*next);
            // Two CPUs may number and send a thread's records in different order when one of them walks over the tasks.
            event.missing = if missing < u32::MAX / 2 { missing } else { 0 };
        }
        if matches!(event.what, What::ThreadEnd) {
            self.next.remove(&event.tid);
        } else {
            self.next.insert(event.tid, event.seq.wrapping_add(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Ns, Pid};
    use whywait_ebpf::abi::{SockState, Thread};

    fn missing(gaps: &mut Gaps, seq: u32, what: What) -> u32 {
        let mut event = Event { at: Ns(1), tid: Tid(1), pid: Pid(1), seq, missing: 0, cpu: 0, spun: 0, what };
        gaps.check(&mut event);
        event.missing
    }

    #[test]
    fn a_gap_is_counted_once_and_a_thread_that_begins_has_none() {
        let mut gaps = Gaps::default();
        let state = || What::SockState(SockState::default());
        let counts = [3, 4, 7, 8].map(|seq| missing(&mut gaps, seq, state()));
        assert_eq!(counts, [0, 0, 2, 0]);
        assert_eq!(missing(&mut gaps, 0, What::Thread(Thread::default())), 0);
        assert_eq!(missing(&mut gaps, 1, What::ThreadEnd), 0);
        assert_eq!(missing(&mut gaps, 40, state()), 0);
    }
}
