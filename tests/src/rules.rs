//! When a test may run, and what happens when it cannot.

use std::env;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use whywait::platform::mounts::mounted;

use crate::settings::slow;

/// Held for the length of a test: two loads at a time would measure each other.
#[derive(Debug)]
pub struct Serial {
    _lock: File,
}

/// Waits for the other measuring tests of this machine, of whichever process. `None`, said aloud, where the kernel or the
/// privileges do not allow to measure.
pub fn kernel_test() -> Option<Serial> {
    const GROUP: &str = "kernel tests";
    if !rustix::process::geteuid().is_root() {
        skip(GROUP, "not root");
        return None;
    }
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        skip(GROUP, "this kernel has no type information (CONFIG_DEBUG_INFO_BTF)");
        return None;
    }
    let path = env::temp_dir().join("whywait-tests.lock");
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .unwrap_or_else(|error| panic!("cannot open {}: {error}", path.display()));
    lock.lock().expect("waiting for the other tests");
    Some(Serial { _lock: lock })
}

/// The same for tests whose times must mean something, of which this is the group.
pub fn measuring_test(group: &str) -> Option<Serial> {
    if slow() {
        skip(group, "times on an emulated machine say nothing");
        return None;
    }
    kernel_test()
}

/// As [`kernel_test`], for what is known from the moment of `accept` alone.
pub fn accept_test() -> Option<Serial> {
    if mounted("tracefs").is_empty() {
        skip("the moment of accept", "tracefs is not mounted: `cargo xtask setup` as root does it");
        return None;
    }
    kernel_test()
}

/// Says that a test cannot run. Under `CI` that is a failure, unless `WHYWAIT_TEST_ALLOW_SKIP` (groups, separated by commas)
/// names it.
pub fn skip(group: &str, reason: &str) {
    let line = format!("{group}: {reason}");
    println!("SKIPPED {line}");
    if let Some(path) = env::var_os("WHYWAIT_SKIP_LOG") {
        let mut log =
            OpenOptions::new().create(true).append(true).open(path).expect("opening the list of skips");
        writeln!(log, "{line}").expect("writing to the list of skips");
    }
    let allowed = env::var("WHYWAIT_TEST_ALLOW_SKIP").unwrap_or_default();
    let is_allowed = allowed.split(',').any(|name| name.trim() == group);
    let in_ci = env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false");
    assert!(!in_ci || is_allowed, "{line}");
}
