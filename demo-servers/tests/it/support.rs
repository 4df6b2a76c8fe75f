//! A reference server as a process of its own, on a free port.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use demo_servers::Model;
use demo_servers::load::Url;

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

    /// Sends SIGTERM and waits for the end; how long that took.
    pub fn stop(mut self) -> (ExitStatus, Duration) {
        let began = Instant::now();
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        (self.child.wait().unwrap(), began.elapsed())
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
