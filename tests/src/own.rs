//! The small servers of this package, `test-server`.

use std::env;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::client::Client;
use crate::guard::Guard;

/// A `test-server`.
#[derive(Debug)]
pub struct TestServer {
    guard: Guard,
    address: String,
}

impl TestServer {
    /// Starts a mode on a free port.
    pub fn start(mode: &str) -> Self {
        Self::start_at(mode, "127.0.0.1:0")
    }

    /// Starts a mode on an address.
    pub fn start_at(mode: &str, address: &str) -> Self {
        Self::start_as(&mut Self::command(mode, address))
    }

    /// The program for a mode.
    pub fn command(mode: &str, address: &str) -> Command {
        let own = env::current_exe().expect("knowing where the test program is");
        // The test program lies in `TARGET/PROFILE/deps`, the programs of its package one above.
        let dir = own.ancestors().nth(2).expect("the test program lies in a target directory");
        let mut command = Command::new(dir.join("test-server"));
        command.args([mode, address]);
        command
    }

    /// Starts a command that ends up as a `test-server` and lets it print its address.
    pub fn start_as(command: &mut Command) -> Self {
        let mut guard = Guard::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()));
        let mut line = String::new();
        BufReader::new(guard.stdout()).read_line(&mut line).expect("reading the server's address");
        let address = line.trim().strip_prefix("listening ");
        let address =
            address.unwrap_or_else(|| panic!("{command:?} said `{line}`, not its address")).to_owned();
        Self { guard, address }
    }

    /// The process that was started.
    pub fn pid(&self) -> u32 {
        self.guard.pid()
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its TCP port.
    pub fn port(&self) -> u16 {
        self.address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a TCP address")
    }

    /// A connection to it.
    pub fn connect(&self) -> Client {
        Client::connect(&self.address)
    }
}
