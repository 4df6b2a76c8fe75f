//! Redis, and `redis-benchmark`.

use std::path::PathBuf;
use std::process::Command;

use super::{RealServer, free_port, on_path, run_client, scratch};

/// Redis that keeps nothing.
pub fn redis() -> Option<RealServer> {
    let program = on_path("redis-server")?;
    let (dir, port) = (scratch(), free_port());
    let mut command = Command::new(program);
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    command.arg("--dir").arg(dir.path());
    Some(RealServer::start(&mut command, port, dir))
}

/// A run of `redis-benchmark` that asks for one key.
#[derive(Debug)]
pub struct RedisBenchmark {
    program: PathBuf,
    /// Commands in all.
    pub commands: u64,
    /// Connections.
    pub connections: u16,
    /// Commands that are sent at once.
    pub pipeline: u16,
}

impl RedisBenchmark {
    /// So many commands over so many connections, one at a time on each.
    pub fn new(commands: u64, connections: u16) -> Option<Self> {
        Some(Self { program: on_path("redis-benchmark")?, commands, connections, pipeline: 1 })
    }

    /// Runs it; how many commands it says were answered.
    pub fn run(&self, server: &RealServer) -> u64 {
        let mut command = Command::new(&self.program);
        command.args(["-h", "127.0.0.1", "-p", &server.port().to_string(), "-t", "get"]);
        command.args(["-n", &self.commands.to_string(), "-c", &self.connections.to_string()]);
        command.args(["-P", &self.pipeline.to_string()]);
        let text = run_client(&mut command);
        completed(&text).unwrap_or_else(|| panic!("redis-benchmark does not say what it did: {text}"))
    }
}

/// Reads `  5000 requests completed in 0.10 seconds`.
fn completed(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.split_once(" requests completed")?.0.trim().parse().ok())
}
