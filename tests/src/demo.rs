//! Reference servers, and the load generator.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use demo_servers::load::LoadReport;
use demo_servers::truth::Record;

use crate::binaries;
use crate::guard::{Guard, Signal};
use crate::settings::requests;

/// A reference server on a free port.
#[derive(Debug)]
pub struct DemoServer {
    guard: Guard,
    address: SocketAddr,
}

impl DemoServer {
    /// Starts `demo-servers serve MODEL --port 0 ARGS`.
    pub fn start(model: &str, args: &[&str]) -> Self {
        Self::run(&[&["serve", model, "--port", "0"], args].concat())
    }

    /// The same on this port.
    pub fn start_on(model: &str, port: u16) -> Self {
        Self::run(&["serve", model, "--port", &port.to_string()])
    }

    /// Ends it at once, without a chance to do anything about it.
    pub fn kill(self) {
        self.guard.signal(Signal::KILL);
    }

    /// Starts the server that `/downstream` asks.
    pub fn upstream() -> Self {
        Self::run(&["upstream", "--port", "0"])
    }

    fn run(args: &[&str]) -> Self {
        let mut guard =
            Guard::spawn(Command::new(binaries::demo_servers()).args(args).stdout(Stdio::piped()));
        let mut line = String::new();
        BufReader::new(guard.stdout()).read_line(&mut line).expect("reading the server's address");
        let address = line.trim().strip_prefix("listening ").and_then(|text| text.parse().ok());
        let address =
            address.unwrap_or_else(|| panic!("demo-servers {args:?} said `{line}`, not its address"));
        Self { guard, address }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.guard.pid()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A URL of it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Stops it, so that its truth file is complete.
    pub fn stop(self) -> ExitStatus {
        self.guard.stop()
    }
}

/// The records of a truth file.
fn read_truth(path: &Path) -> Vec<Record> {
    let text = std::fs::read_to_string(path).expect("reading the truth file");
    text.lines().map(|line| serde_json::from_str(line).expect("a record of the truth file")).collect()
}

impl DemoServer {
    /// Stops it and returns what it wrote to the truth file that it was started with.
    pub fn stop_for_truth(self, path: &Path) -> Vec<Record> {
        self.stop();
        read_truth(path)
    }
}

/// A load on a server, made by `demo-servers load`.
#[derive(Clone, Debug)]
pub struct Load {
    urls: Vec<String>,
    offered: u64,
    seconds: u32,
    connections: u16,
    close: bool,
    poisson: bool,
}

impl Load {
    /// So many requests a second, for so long, over one connection. Where the environment allows fewer requests, they come
    /// at a lower rate.
    pub fn new(url: String, rate: u32, seconds: u32) -> Self {
        let offered = requests(u64::from(rate) * u64::from(seconds));
        Self { urls: vec![url], offered, seconds, connections: 1, close: false, poisson: false }
    }

    /// How many requests it makes of a server that keeps up.
    pub fn offered(&self) -> u64 {
        self.offered
    }

    /// Another URL, asked for in turn with the others.
    #[must_use]
    pub fn and(mut self, url: String) -> Self {
        self.urls.push(url);
        self
    }

    /// Over so many connections.
    #[must_use]
    pub fn connections(mut self, connections: u16) -> Self {
        self.connections = connections;
        self
    }

    /// A new connection for each request.
    #[must_use]
    pub fn close(mut self) -> Self {
        self.close = true;
        self
    }

    /// At random moments, of the same mean rate: requests meet, as they do when users do not know each other.
    #[must_use]
    pub fn poisson(mut self) -> Self {
        self.poisson = true;
        self
    }

    /// Makes the load. What the generator counts as answered is only the truth if nothing of it was left in doubt, so
    /// that is checked.
    pub fn run(&self) -> LoadReport {
        let mut command = Command::new(binaries::demo_servers());
        command.args(["load", "--json"]);
        for url in &self.urls {
            command.args(["--url", url]);
        }
        let rate = self.offered as f64 / f64::from(self.seconds);
        command.args(["--rate", &rate.to_string(), "--duration", &self.seconds.to_string()]);
        command.args(["--connections", &self.connections.to_string()]);
        command.args(self.close.then_some("--close"));
        if self.poisson {
            command.args(["--arrivals", "poisson"]);
        }
        let mut guard = Guard::spawn(command.stdout(Stdio::piped()));
        let mut text = String::new();
        guard.stdout().read_to_string(&mut text).expect("reading the load report");
        let status = guard.wait(Duration::from_secs(5));
        assert!(status.success(), "the load generator failed");
        let report: LoadReport = serde_json::from_str(&text).expect("a load report");
        assert_eq!((report.errors.total(), report.sent), (0, report.requests), "a clean load: {report:?}");
        report
    }
}
