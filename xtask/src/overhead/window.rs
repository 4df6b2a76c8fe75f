//! One window: a fresh closed-loop load on the server, with whywait attached or not.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::cpu;
use super::server::Server;
use crate::process;

/// How long attaching may take.
const ATTACH_LIMIT: Duration = Duration::from_secs(30);
/// How much longer than the load whywait watches.
const MARGIN: Duration = Duration::from_millis(700);
/// From the start of the load generator until its load is up, and before its end: not counted for CPU time.
const EDGE: Duration = Duration::from_millis(60);

/// What one window showed.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Window {
    /// Answers per second.
    pub per_second: f64,
    /// Median latency, microseconds.
    pub p50_us: f64,
    /// Latency of the slowest hundredth, microseconds.
    pub p99_us: f64,
    /// CPU time of the server's processes by answer, microseconds.
    pub server_cpu_us: f64,
    /// CPU time of the server's processes, in percent of one CPU.
    pub server_cpu_percent: f64,
    /// CPU time of whywait itself, in percent of one CPU.
    pub profiler_cpu_percent: f64,
}

/// How long the windows are.
pub struct Load {
    /// What counts.
    pub window: Duration,
    /// What comes before it.
    pub settle: Duration,
}

/// What `demo-servers load --json` prints, as far as it matters here.
#[derive(Deserialize)]
struct LoadReport {
    per_second: f64,
    errors: LoadErrors,
    latency_us: Latency,
}

#[derive(Deserialize)]
struct LoadErrors {
    connect: u64,
    read: u64,
    write: u64,
    status: u64,
    timeout: u64,
}

#[derive(Deserialize)]
struct Latency {
    p50: f64,
    p99: f64,
}

impl Load {
    /// Loads the server for one window.
    ///
    /// # Errors
    /// When the load generator fails, requests fail, or whywait ends before the window does.
    pub fn run(&self, server: &Server, demo_servers: &Path, profiler: Option<&Attached>) -> Result<Window> {
        let processes = server.processes();
        let own = profiler.map(|attached| vec![attached.child.id()]).unwrap_or_default();
        let mut command = server.placement.load(demo_servers);
        command.args(["load", "--json", "--rate", "0", "--url", &server.url]);
        command.args(["--connections", &server.kind.connections().to_string()]);
        command.args(["--duration", &self.window.as_secs_f64().to_string()]);
        command.args(["--warmup", &self.settle.as_secs_f64().to_string()]);
        let load =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start the load")?;

        thread::sleep(self.settle + EDGE);
        let began = (Instant::now(), cpu::time(&processes), cpu::time(&own));
        thread::sleep(self.window.saturating_sub(EDGE * 2));
        let ended = (Instant::now(), cpu::time(&processes), cpu::time(&own));

        let out = load.wait_with_output().context("cannot wait for the load")?;
        if !out.status.success() {
            bail!("the load generator failed ({}); what it printed above says why", out.status);
        }
        let report: LoadReport =
            serde_json::from_slice(&out.stdout).context("the load generator printed no report")?;
        let LoadErrors { connect, read, write, status, timeout } = report.errors;
        if connect + read + write + status + timeout > 0 || report.per_second <= 0.0 {
            bail!(
                "the load is not clean: {connect} connect, {read} read, {write} write, {status} status errors, {timeout} \
                 timeouts"
            );
        }
        if let Some(attached) = profiler {
            attached.still_watching()?;
        }
        let elapsed = ended.0.duration_since(began.0).as_secs_f64();
        let share = |from: Duration, to: Duration| to.saturating_sub(from).as_secs_f64() / elapsed;
        let server_share = share(began.1, ended.1);
        Ok(Window {
            per_second: report.per_second,
            p50_us: report.latency_us.p50,
            p99_us: report.latency_us.p99,
            server_cpu_us: server_share * 1e6 / report.per_second,
            server_cpu_percent: server_share * 100.0,
            profiler_cpu_percent: share(began.2, ended.2) * 100.0,
        })
    }
}

/// A running `whywait explain`.
pub struct Attached {
    child: Child,
    watching_until: Instant,
    log: JoinHandle<String>,
}

/// What `whywait explain --json` says about its own work.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct Seen {
    /// Requests that it found.
    pub requests: u64,
    /// Records that it could not keep.
    pub lost_events: u64,
}

#[derive(Deserialize)]
struct Explained {
    requests: Requests,
    lost: Lost,
}

#[derive(Deserialize)]
struct Requests {
    count: u64,
}

#[derive(Deserialize)]
struct Lost {
    events: u64,
}

impl Attached {
    /// Attaches to the server's processes and returns as soon as the probes are in place.
    ///
    /// # Errors
    /// When whywait ends before, or says nothing within half a minute.
    pub fn start(whywait: &Path, server: &Server, load: &Load, options: &[String]) -> Result<Self> {
        let watch = load.settle + load.window + MARGIN;
        let mut command = Command::new(whywait);
        command.args(["explain", "--json", "--duration", &watch.as_secs_f64().to_string()]);
        for pid in server.processes() {
            command.args(["--pid", &pid.to_string()]);
        }
        command.args(options).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start whywait")?;
        let Some(stderr) = child.stderr.take() else { bail!("whywait was started without its log") };
        let (sender, attached) = mpsc::channel();
        let log = thread::spawn(move || {
            let mut all = String::new();
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if line.starts_with("attached") {
                    // Nobody listens any more after the first time.
                    let _ = sender.send(Instant::now());
                }
                all.push_str(&line);
                all.push('\n');
            }
            all
        });
        let Ok(since) = attached.recv_timeout(ATTACH_LIMIT) else {
            process::end(&mut child, Duration::from_secs(1));
            let told = log.join().unwrap_or_default();
            bail!("whywait did not attach: {}", last_line(&told));
        };
        Ok(Self { child, watching_until: since + watch, log })
    }

    fn still_watching(&self) -> Result<()> {
        if Instant::now() > self.watching_until {
            bail!("whywait had stopped watching before the window ended: the machine is too busy to measure");
        }
        Ok(())
    }

    /// Waits for its end and returns what it says.
    ///
    /// # Errors
    /// When it fails or prints something that is not a report.
    pub fn finish(self) -> Result<Seen> {
        let out = self.child.wait_with_output().context("cannot wait for whywait")?;
        let told = self.log.join().unwrap_or_default();
        if !out.status.success() {
            bail!("whywait failed ({}): {}", out.status, last_line(&told));
        }
        let report: Explained = serde_json::from_slice(&out.stdout).context("whywait printed no report")?;
        if report.requests.count == 0 {
            bail!("whywait was attached and saw no request: {}", last_line(&told));
        }
        Ok(Seen { requests: report.requests.count, lost_events: report.lost.events })
    }
}

fn last_line(log: &str) -> &str {
    log.lines().last().unwrap_or("it printed nothing")
}
