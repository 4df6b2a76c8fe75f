//! The servers that are measured: four reference servers, nginx, and Node.js.

use std::fmt;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use tempfile::TempDir;

use super::cpu::{self, Placement};
use crate::process;

/// Which server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// One blocking thread, one connection at a time.
    Iterative,
    /// A thread for each connection.
    ThreadPerConnection,
    /// An acceptor, a queue, several threads.
    ThreadPool,
    /// One thread with epoll.
    EventLoop,
    /// nginx with one worker, as it has one CPU, and a small file.
    Nginx,
    /// Node.js with an answer in JSON: of these the only one in which an application is at work.
    Node,
}

/// What Node.js runs; its arguments are the address and the port.
const NODE_APP: &str = "\
require('node:http').createServer((request, response) => {
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify({ message: 'Hello, World!' }));
}).listen(process.argv[3], process.argv[2]);
";

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Iterative,
        Self::ThreadPerConnection,
        Self::ThreadPool,
        Self::EventLoop,
        Self::Nginx,
        Self::Node,
    ];

    /// How many connections keep it busy; an iterative server cannot have two.
    pub fn connections(self) -> u16 {
        if self == Self::Iterative { 1 } else { 16 }
    }

    /// With one connection the server and its client take turns: on two CPUs each would be idle half of the time, and
    /// what is measured would be how long an idle CPU takes to wake.
    fn shares_cpu_with_load(self) -> bool {
        self.connections() == 1
    }

    fn name(self) -> &'static str {
        match self {
            Self::Iterative => "iterative",
            Self::ThreadPerConnection => "thread-per-connection",
            Self::ThreadPool => "thread-pool",
            Self::EventLoop => "event-loop",
            Self::Nginx => "nginx",
            Self::Node => "node",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A running server; ends with this value.
pub struct Server {
    /// What it is.
    pub kind: Kind,
    /// What to ask it for.
    pub url: String,
    /// Where it and its load run.
    pub placement: Placement,
    child: Child,
    files: TempDir,
}

impl Server {
    /// Starts it on a free port of the loopback interface and waits until it answers.
    ///
    /// # Errors
    /// When it does not start, or not within ten seconds.
    pub fn start(kind: Kind, demo_servers: &Path) -> Result<Self> {
        let files = tempfile::tempdir().context("cannot create a temporary folder")?;
        match kind {
            Kind::Nginx => Self::nginx(files),
            Kind::Node => Self::node(files),
            _ => Self::demo(kind, demo_servers, files),
        }
    }

    fn demo(kind: Kind, program: &Path, files: TempDir) -> Result<Self> {
        let placement = Placement::new(kind.shares_cpu_with_load())?;
        let mut command = placement.server(program);
        command.args(["serve", kind.name(), "--port", "0"]);
        // A thread of the pool stays with a connection.
        command.args(["--threads", &kind.connections().to_string()]);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start it")?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).context("cannot read where it listens")?;
        }
        let mut server = Self { kind, url: String::new(), placement, child, files };
        let Some(address) = listening(&line) else { bail!("it did not say where it listens") };
        server.url = format!("http://{address}/plaintext");
        Ok(server)
    }

    fn nginx(files: TempDir) -> Result<Self> {
        let program = installed("nginx")?;
        let address = free_address()?;
        let dir = files.path();
        fs::write(dir.join("hello"), "Hello, World!").context("cannot write the file to serve")?;
        fs::write(dir.join("nginx.conf"), nginx_conf(dir, address)).context("cannot write nginx.conf")?;
        let placement = Placement::new(Kind::Nginx.shares_cpu_with_load())?;
        let mut command = placement.server(program);
        command.arg("-p").arg(dir).args(["-c", "nginx.conf", "-e", "error.log"]);
        Self::answering(Kind::Nginx, &mut command, placement, address, files)
    }

    fn node(files: TempDir) -> Result<Self> {
        let program = installed("node")?;
        let address = free_address()?;
        let app = files.path().join("app.js");
        fs::write(&app, NODE_APP).context("cannot write the application")?;
        let placement = Placement::new(Kind::Node.shares_cpu_with_load())?;
        let mut command = placement.server(program);
        let log = File::create(files.path().join("error.log")).context("cannot make a log")?;
        command.arg(app).args([address.ip().to_string(), address.port().to_string()]).stderr(log);
        Self::answering(Kind::Node, &mut command, placement, address, files)
    }

    /// Starts a program that logs to `error.log`, and waits until it answers at the address.
    fn answering(
        kind: Kind,
        command: &mut Command,
        placement: Placement,
        address: SocketAddr,
        files: TempDir,
    ) -> Result<Self> {
        let child = command.stdin(Stdio::null()).spawn().with_context(|| format!("cannot start {kind}"))?;
        let mut server = Self { kind, url: format!("http://{address}/hello"), placement, child, files };
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(address).is_err() {
            if server.child.try_wait()?.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(server.files.path().join("error.log")).unwrap_or_default();
                bail!("{kind} does not answer: {}", log.lines().last().unwrap_or("its log is empty"));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// Its processes, the first one first.
    pub fn processes(&self) -> Vec<u32> {
        cpu::tree(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        process::end(&mut self.child, Duration::from_secs(3));
    }
}

/// The address in the line with which a reference server says that it is ready.
fn listening(line: &str) -> Option<SocketAddr> {
    line.trim().strip_prefix("listening ")?.parse().ok()
}

/// Where a program lies that `cargo xtask setup` installs.
fn installed(name: &str) -> Result<PathBuf> {
    process::find(name)
        .or_else(|| Some(Path::new("/usr/sbin").join(name)).filter(|file| file.exists()))
        .with_context(|| format!("{name} is not installed: run `cargo xtask setup` as root once"))
}

fn free_address() -> Result<SocketAddr> {
    let socket = TcpListener::bind("127.0.0.1:0").context("cannot find a free port")?;
    socket.local_addr().context("cannot find a free port")
}

/// One worker: of two on one CPU, how many have connections, and so how often they take turns, would be another lot in each window.
/// As root, since the folder is its alone; everything it writes stays in that folder.
fn nginx_conf(dir: &Path, address: SocketAddr) -> String {
    let dir = dir.display();
    let scratch: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|module| format!("    {module}_temp_path {dir}/{module};\n"))
        .concat();
    format!(
        "daemon off;\nuser root;\nworker_processes 1;\npid {dir}/nginx.pid;\nevents {{ worker_connections 1024; }}\n\
         http {{\n    access_log off;\n    keepalive_requests 1000000000;\n{scratch}\
         \x20   server {{ listen {address}; root {dir}; }}\n}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_line_is_read() {
        assert_eq!(listening("listening 127.0.0.1:4242\n"), Some(SocketAddr::from(([127, 0, 0, 1], 4242))));
        assert_eq!(listening("error\n"), None);
    }

    #[test]
    fn conf_keeps_to_its_folder() {
        let conf = nginx_conf(Path::new("/x"), SocketAddr::from(([127, 0, 0, 1], 80)));
        assert!(conf.contains("listen 127.0.0.1:80; root /x;"));
        assert_eq!(conf.matches("_temp_path /x/").count(), 5);
    }
}
