//! What the environment says about the machine.
//!
//! `WHYWAIT_TEST_REQUESTS` is the most requests that a test makes in one load; `WHYWAIT_TEST_SLOW` says that the machine is
//! emulated, 30 to 100 times slower than a real one. Neither makes an exact comparison less exact.

use std::env;
use std::time::Duration;

use whywait::platform::btf::Btf;

/// Whether the machine is too slow for any statement about absolute times.
pub fn slow() -> bool {
    env::var_os("WHYWAIT_TEST_SLOW").is_some_and(|value| !value.is_empty() && value != "0")
}

/// A number of requests, or the most that the environment allows.
pub fn requests(wanted: u64) -> u64 {
    let most = env::var("WHYWAIT_TEST_REQUESTS").ok().and_then(|text| text.parse().ok()).unwrap_or(u64::MAX);
    wanted.min(most)
}

/// A time limit, longer on a slow machine.
pub fn patience(time: Duration) -> Duration {
    if slow() { time * 15 } else { time }
}

/// Whether the kernel has tracepoints for what is done with sockets. Without them `io_uring`'s operations are not seen.
pub fn socket_tracepoints() -> bool {
    Btf::from_kernel().is_ok_and(|btf| btf.has_tracepoint("sock_recv_length"))
}
