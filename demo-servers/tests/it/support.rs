//! A reference server as a process of its own, on a free port.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use demo_servers::Model;
use demo_servers::load::Url;
use demo_servers::truth::Record;

/// Every model that can run here. One that the kernel has no means for is named on standard error.
pub fn models() -> impl Iterator<Item = Model> {
    Model::ALL.into_iter().filter(|model| {
        // On a thread of its own: the kernel interrupts the one that made a ring when it takes the ring down.
        let model = *model;
        let Err(reason) = std::thread::spawn(move || model.check()).join().unwrap() else { return true };
        eprintln!("the model {model} cannot run here: {reason}");
        false
    })
}

/// Ends with the test, however the test ends.
pub struct ServerProcess {
    child: Child,
    pub address: String,
}

impl ServerProcess {
    /// Starts `demo-servers ARGS` and waits until it listens.
    pub fn start(args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_demo-servers"))
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address =
            line.trim_end().strip_prefix("listening ").expect("the first line tells the port").to_owned();
        Self { child, address }
    }

    pub fn url(&self, target: &str) -> Url {
        format!("http://{}{target}", self.address).parse().unwrap()
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    /// Asks for one thing over a connection of its own; the whole response as text.
    pub fn get(&self, target: &str) -> String {
        let mut stream = self.connect();
        write!(stream, "GET {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        response
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM and waits for the end; how long that took.
    pub fn stop(mut self) -> (ExitStatus, Duration) {
        let began = Instant::now();
        kill("-TERM", self.pid());
        (self.child.wait().unwrap(), began.elapsed())
    }
}

/// Sends a signal to a process.
pub fn kill(signal: &str, pid: u32) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

/// What is in a truth file so far.
pub fn records(path: &Path) -> Vec<Record> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Sends a request on a connection that is kept, and reads the answer as far as it comes at once.
pub fn ask(mut stream: &TcpStream, target: &str) -> String {
    write!(stream, "GET {target} HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    let mut bytes = [0; 4096];
    let read = stream.read(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes[..read]).into_owned()
}

/// Waits until `condition` gives something, for 10 s at most.
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{what}: not within 10 s");
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
