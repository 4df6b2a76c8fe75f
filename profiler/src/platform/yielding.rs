//! Keeping out of the target's way.

/// Makes the calling thread one whose wake-up does not take the CPU from a thread that runs (`SCHED_BATCH`, see sched(7)): records can wait in
/// the ring, the target's requests cannot. Its share of a busy CPU stays what it was. Processes and threads that it creates are not affected.
/// Where the kernel refuses, nothing changes.
pub fn never_preempt() {
    let parameter = libc::sched_param { sched_priority: 0 };
    // SAFETY: a valid policy and parameter for the calling thread; both are only read.
    #[expect(unsafe_code, reason = "std has no scheduling policies")]
    let _unchanged = unsafe {
        libc::sched_setscheduler(0, libc::SCHED_BATCH | libc::SCHED_RESET_ON_FORK, &raw const parameter)
    };
}
