//! Servers of other people, each on a free loopback port in a temporary folder of its own.
//!
//! A function that starts one returns `None`, said aloud, where the server is not installed.

mod apache;
mod caused;
mod java;
mod nginx;
mod node;
mod postgres;
mod python;
mod redis;

use std::env;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::client::Client;
use crate::guard::{Guard, Signal, wait_until};
use crate::rules::skip;

pub use apache::{Mpm, apache};
pub use caused::{Written, caused};
pub use java::{Executor, java};
pub use nginx::nginx;
pub use node::{NodeApp, node};
pub use postgres::{Pgbench, Postgres, postgres};
pub use python::gunicorn;
pub use redis::{RedisBenchmark, redis};

/// How long a server may take to come up: a virtual machine compiles what it is about to run.
const START: Duration = Duration::from_secs(20);
/// How long a client that makes a few thousand requests may take.
const CLIENT: Duration = Duration::from_secs(20);

/// A server that listens on a free port.
#[derive(Debug)]
pub struct RealServer {
    guard: Guard,
    port: u16,
    _dir: TempDir,
}

impl RealServer {
    fn start(command: &mut Command, port: u16, dir: TempDir) -> Self {
        let guard = Guard::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()));
        let server = Self { guard, port, _dir: dir };
        let answers = wait_until(START, || TcpStream::connect(server.address()).is_ok());
        assert!(answers && !server.guard.has_ended(), "the server has not come up: see its messages above");
        server
    }

    /// Starts one that answers `/`.
    fn start_http(command: &mut Command, port: u16, dir: TempDir) -> Self {
        let server = Self::start(command, port, dir);
        // What a server does once only, at its first request, is over before it is measured.
        Client::connect(&server.address()).ask("/");
        server
    }

    /// Its first process.
    pub fn pid(&self) -> u32 {
        self.guard.pid()
    }

    /// Sends a signal to its first process.
    pub fn signal(&self, signal: Signal) {
        self.guard.signal(signal);
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A URL of it.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address())
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

fn scratch() -> TempDir {
    tempfile::tempdir().expect("making a temporary directory")
}

/// A folder on the disk that has the build: that for temporary files may be memory.
fn scratch_on_disk() -> TempDir {
    let own = env::current_exe().expect("knowing where the test program is");
    tempfile::tempdir_in(own.parent().expect("a program lies in a folder")).expect("making a folder")
}

/// A port that nobody listens on now.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("finding a free port");
    listener.local_addr().expect("a local address").port()
}

/// The program of this name.
fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Debian has servers where only the search path of root leads.
    let dirs = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = dirs.map(|dir| dir.join(name)).find(|file| file.is_file());
    if found.is_none() {
        skip_server(name, &format!("{name} is not installed"));
    }
    found
}

fn skip_server(name: &str, reason: &str) {
    skip(&format!("real servers ({name})"), reason);
}

/// Runs a client of a server; what it printed.
fn run_client(command: &mut Command) -> String {
    let name = format!("{command:?}");
    let mut guard = Guard::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()));
    let text = std::io::read_to_string(guard.stdout()).expect("reading what the client says");
    let status = guard.wait(CLIENT);
    assert!(status.success(), "{name} failed ({status}): {text}");
    text
}

/// Writes a file of a server.
fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}
