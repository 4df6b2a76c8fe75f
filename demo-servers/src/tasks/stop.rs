//! How a runtime's tasks learn that the server stops, and how the server learns that they have ended.

use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use crate::server::{ACCEPT_RETRY, GRACE, Server};

/// A task's part: it ends its connection between two requests when told to, and dropping this says that it has ended.
#[derive(Debug, Clone)]
pub struct Stopping {
    told: watch::Receiver<bool>,
    _alive: mpsc::Sender<()>,
}

impl Stopping {
    /// Returns when the server has been told to stop.
    pub async fn wait(&mut self) {
        // An error means that nobody can tell any more, which is as good as being told.
        let _ = self.told.wait_for(|stopping| *stopping).await;
    }
}

/// Accepts connections and gives each to `spawn` until the server stops; then gives the tasks a moment to finish.
pub async fn accept_until_stopped(server: &Arc<Server>, spawn: impl Fn(TcpStream, Stopping)) -> Result<()> {
    let listener = server.listener().context("this process has no listening socket")?;
    let listener = listener.try_clone().context("cannot duplicate the listening socket")?;
    listener.set_nonblocking(true).context("cannot make the listening socket non-blocking")?;
    let listener = TcpListener::from_std(listener).context("cannot watch the listening socket")?;
    let (tell, told) = watch::channel(false);
    let (alive, mut ended) = mpsc::channel(1);
    let stopping = Stopping { told, _alive: alive };
    // Stopping shuts the listener down, which ends the wait for a connection.
    loop {
        match listener.accept().await {
            _ if server.is_stopping() => break,
            Ok((socket, _)) => spawn(socket, stopping.clone()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
            Err(_) => tokio::time::sleep(ACCEPT_RETRY).await,
        }
    }
    drop(stopping);
    // Without tasks nobody listens.
    let _ = tell.send(true);
    // Nothing is ever sent: this ends when the last sender is gone, and tasks that take longer are left behind.
    let _ = tokio::time::timeout(GRACE, ended.recv()).await;
    Ok(())
}
