//! `/downstream` for tasks: a call to another server that is awaited, over a small pool of kept connections.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::clock::MonotonicNs;
use crate::http::response::{Answer, ResponseReader};
use crate::work::downstream::{MAX_OPEN, sleep_request};
use crate::work::{Done, no_upstream};

/// The connections to the upstream, shared by all tasks.
#[derive(Debug)]
pub struct Upstreams {
    address: Option<SocketAddr>,
    idle: Mutex<Vec<TcpStream>>,
    permits: Semaphore,
}

impl Upstreams {
    /// A pool for one server; connects when it is called.
    pub fn new(address: Option<SocketAddr>) -> Self {
        Self { address, idle: Mutex::default(), permits: Semaphore::new(MAX_OPEN) }
    }

    /// Asks the upstream to answer after `pause`. When the pool is at its limit the call waits for its turn first.
    pub async fn call(&self, pause: Duration) -> Done {
        let Some(address) = self.address else { return Done::at_once(no_upstream()) };
        // The semaphore is never closed, so this does not fail.
        let _permit = self.permits.acquire().await;
        let began = MonotonicNs::now();
        let status = self.ask(address, &sleep_request(pause)).await;
        Done::downstream(MonotonicNs::now().since(began), status)
    }

    async fn ask(&self, address: SocketAddr, request: &[u8]) -> io::Result<u16> {
        let kept = self.idle().pop();
        if let Some(stream) = kept
            && let Ok(status) = self.exchange(stream, request).await
        {
            return Ok(status);
        }
        // A kept connection may have been closed by the other side while it was idle: that is no failure yet.
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        self.exchange(stream, request).await
    }

    async fn exchange(&self, mut stream: TcpStream, request: &[u8]) -> io::Result<u16> {
        stream.write_all(request).await?;
        let (mut reader, mut bytes) = (ResponseReader::default(), [0; 1024]);
        let Answer { status, keep_alive } = loop {
            let read = stream.read(&mut bytes).await?;
            if let Some(answer) = reader.pushed(&bytes[..read])? {
                break answer;
            }
        };
        if keep_alive {
            self.idle().push(stream);
        }
        Ok(status)
    }

    /// Each critical section is one operation on a Vec, which a panic elsewhere cannot leave half done.
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
