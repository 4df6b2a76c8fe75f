//! Waits that their own runtime's functions name: an interpreter's lock, a virtual machine's monitor, a channel.

use super::Frame;

/// What a waiting stack is known to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KnownWait {
    /// `CPython`'s global interpreter lock.
    Gil,
    /// A Java monitor: `synchronized`.
    JavaMonitor,
    /// A Java thread that was parked: `java.util.concurrent`'s locks and queues.
    JavaPark,
    /// The safepoint or the garbage collector of a Java virtual machine.
    JavaSafepoint,
    /// A mutex or read-write lock.
    Mutex,
    /// A condition variable, or a queue made of one.
    Condition,
    /// The end of another thread.
    Join,
    /// A semaphore.
    Semaphore,
    /// Go's scheduler: a thread without a goroutine to run.
    GoIdle,
}

/// Functions by which each is known. The outer ones come first: a lock is built of the things below it.
const KNOWN: &[(KnownWait, &[&str])] = &[
    // `take_gil` is static and may be inlined into its callers, all of which do nothing else that waits (Python/ceval_gil.c).
    (
        KnownWait::Gil,
        &[
            "take_gil",
            "PyEval_RestoreThread",
            "PyEval_AcquireThread",
            "_PyThreadState_Attach",
            "_PyEval_AcquireLock",
            "PyGILState_Ensure",
        ],
    ),
    // HotSpot's names: src/hotspot/share/runtime/{objectMonitor,synchronizer,park,safepoint}.cpp.
    (
        KnownWait::JavaMonitor,
        &[
            "ObjectMonitor::enter",
            "ObjectMonitor::EnterI",
            "ObjectMonitor::ReenterI",
            "ObjectSynchronizer::enter",
            "ObjectMonitor::wait",
        ],
    ),
    (KnownWait::JavaPark, &["Unsafe_Park", "Parker::park"]),
    (
        KnownWait::JavaSafepoint,
        &["SafepointSynchronize::block", "VMThread::wait_until_executed", "VMThread::execute"],
    ),
    (KnownWait::GoIdle, &["runtime.stopm", "runtime.notesleep", "runtime.futexsleep"]),
    (KnownWait::Join, &["pthread_join", "__pthread_clockjoin_ex", "pthread_timedjoin_np"]),
    (
        KnownWait::Condition,
        &[
            "pthread_cond_wait",
            "pthread_cond_timedwait",
            "pthread_cond_clockwait",
            "__pthread_cond_wait_common",
            "Condvar::wait",
            "thread::park",
        ],
    ),
    (KnownWait::Semaphore, &["sem_wait", "sem_timedwait", "sem_clockwait", "__new_sem_wait"]),
    (
        KnownWait::Mutex,
        &[
            "pthread_mutex_lock",
            "__lll_lock_wait",
            "__lll_lock_wait_private",
            "pthread_rwlock_rdlock",
            "pthread_rwlock_wrlock",
            "lock_contended",
            "RawMutex::lock_slow",
        ],
    ),
];

/// What a waiting stack, innermost frame first, waits for; `None` where no function is known.
pub fn known_wait(frames: &[Frame]) -> Option<KnownWait> {
    if is_eval_loops(frames) {
        return Some(KnownWait::Gil);
    }
    let has = |known: &str| names(frames).any(|name| is(name, known));
    KNOWN.iter().find(|(_, functions)| functions.iter().any(|known| has(known))).map(|(wait, _)| *wait)
}

fn names(frames: &[Frame]) -> impl Iterator<Item = &str> {
    frames.iter().filter_map(|frame| frame.name.as_deref())
}

/// Whether `CPython`'s evaluation loop itself waits for a condition, through functions without names: in an interpreter without its own
/// symbols, as Debian's, that is `take_gil`. Locks of Python programs are semaphores, and are called by name.
fn is_eval_loops(frames: &[Frame]) -> bool {
    let mut named = names(frames).skip_while(|name| !is(name, "pthread_cond_timedwait"));
    named.next().is_some() && named.next().is_some_and(|name| is(name, "_PyEval_EvalFrameDefault"))
}

/// Whether a name is this function, whatever the module, the version or the parameters: `a::b::f`, `f@@GLIBC_2.34`, `f(int)`, `f.cold`.
fn is(name: &str, known: &str) -> bool {
    name.match_indices(known).any(|(at, _)| {
        let before = name[..at].chars().next_back();
        // glibc has variants for 64-bit times.
        let rest = &name[at + known.len()..];
        let after = rest.strip_prefix("64").unwrap_or(rest).chars().next();
        let part_of_word =
            |letter: Option<char>| letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_');
        // glibc's own names of a function begin with underscores.
        let own = name[..at].chars().all(|letter| letter == '_');
        (own || !part_of_word(before)) && !part_of_word(after)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stacks::Place;

    fn stack(names: &[&str]) -> Vec<Frame> {
        names.iter().map(|name| Frame { name: Some((*name).to_owned()), place: Place::Memory }).collect()
    }

    /// The interpreter's lock is a condition variable inside, and a queue of the program's own is one too.
    #[test]
    fn the_outer_function_decides() {
        let gil = [
            "__futex_abstimed_wait_common",
            "pthread_cond_timedwait@@GLIBC_2.3.2",
            "take_gil.constprop.0",
            "PyEval_RestoreThread",
        ];
        assert_eq!(known_wait(&stack(&gil)), Some(KnownWait::Gil));
        assert_eq!(known_wait(&stack(&gil[..2])), Some(KnownWait::Condition));
        let monitor = ["__pthread_cond_wait", "PlatformEvent::park()", "ObjectMonitor::EnterI(JavaThread*)"];
        assert_eq!(known_wait(&stack(&monitor)), Some(KnownWait::JavaMonitor));
    }

    /// Debian's interpreter has no symbols of its static functions.
    #[test]
    fn an_evaluation_loop_that_waits_by_itself_waits_for_the_interpreter() {
        let mut frames = stack(&["___pthread_cond_timedwait64", "", "_PyEval_EvalFrameDefault"]);
        frames[1].name = None;
        assert_eq!(known_wait(&frames), Some(KnownWait::Gil));
        let queue = ["___pthread_cond_timedwait64", "wait_for_work", "_PyEval_EvalFrameDefault"];
        assert_eq!(known_wait(&stack(&queue)), Some(KnownWait::Condition));
    }

    #[test]
    fn a_part_of_another_name_is_not_the_function() {
        assert_eq!(known_wait(&stack(&["mistake_gilded", "my_sem_waiter", "runtime.stopmany"])), None);
        assert_eq!(
            known_wait(&stack(&["std::sys::sync::mutex::futex::Mutex::lock_contended"])),
            Some(KnownWait::Mutex)
        );
    }
}
