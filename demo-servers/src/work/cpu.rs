//! `/cpu`: CPU time of the thread, so that being preempted does not shorten the work.

use std::hint::black_box;
use std::time::Duration;

use crate::clock;

/// About 10 µs on a present-day CPU: short enough to learn the speed from without overshooting by much.
const FIRST_TURNS: u32 = 10_000;

/// Computes until the thread has used `time` of CPU and returns how much it was.
///
/// Reading the thread's CPU clock is a system call. A loop that only read it would spend its time in the kernel and
/// show up in every count of system calls, so this one learns how fast it runs and asks the clock a handful of times.
/// Every 10 µs or so it calls `between`, whose CPU time counts as well.
pub fn burn(time: Duration, mut between: impl FnMut()) -> Duration {
    let began = clock::thread_cpu();
    let (mut turns, mut done) = (FIRST_TURNS.min(turns_for(time, 1.0)), 0.0);
    loop {
        for begun in (0..turns).step_by(FIRST_TURNS as usize) {
            spin((turns - begun).min(FIRST_TURNS));
            between();
        }
        done += f64::from(turns);
        let used = clock::thread_cpu().saturating_sub(began);
        let Some(left) = time.checked_sub(used).filter(|left| !left.is_zero()) else { return used };
        // Half of the rest each time: a CPU that gets slower meanwhile (another hyper-thread, a lower clock) makes one
        // step longer than planned, but the whole only if it is more than twice as slow.
        let planned = turns_for(left, 0.5 * done / used.as_secs_f64().max(1e-9) / 1e9);
        // Where the clock advances with the timer's ticks only, nothing seems to have been used at first.
        turns = planned.min(turns_for(Duration::from_nanos(2), done));
    }
}

/// How many turns fit into `time` at so many turns a nanosecond; one at least.
fn turns_for(time: Duration, per_ns: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates, as wanted"
    )]
    let turns = (time.as_nanos() as f64 * per_ns) as u32;
    turns.max(1)
}

/// Arithmetic that the compiler can neither shorten nor leave out.
fn spin(turns: u32) {
    let mut state = black_box(1_u64);
    for _ in 0..turns {
        state = black_box(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Never less than asked, and what is reported is what the clock says. At its best within a few µs: one try may meet
    /// a virtual machine that is paused, which the guest's clock takes for CPU time.
    #[test]
    fn burns_what_is_asked() {
        for micros in [1, 50, 2000, 20_000] {
            let asked = Duration::from_micros(micros);
            let tries = (0..10).map(|_| {
                let before = clock::thread_cpu();
                let used = burn(asked, || ());
                let measured = clock::thread_cpu().saturating_sub(before);
                assert!(used >= asked && used <= measured, "asked {asked:?}, used {used:?} of {measured:?}");
                used
            });
            let best = tries.min();
            assert!(best < Some(asked + Duration::from_micros(20)), "asked {asked:?}, used {best:?} at best");
        }
    }
}
