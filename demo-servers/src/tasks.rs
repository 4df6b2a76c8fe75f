//! What an asynchronous task needs to serve a connection: sockets, timers and calls to another server that are
//! awaited. The runtimes that the tasks run on, and where their blocking work goes, are models.

pub mod connection;
pub mod stop;
pub mod upstream;

use std::time::Duration;

use crate::clock::MonotonicNs;
use crate::truth::Kind;
use crate::work::Done;

/// `/sleep` by the runtime's timer.
pub async fn sleep(time: Duration) -> Done {
    let began = MonotonicNs::now();
    tokio::time::sleep(time).await;
    Done::after(Kind::Sleep, MonotonicNs::now().since(began))
}
