//! Harness of the tests that measure live servers.
//!
//! A test takes a [`Serial`] first, which also says whether it can run here at all, then starts a server and a
//! [`Whywait`] on it, makes a load whose answers are known, and compares. Whatever was started ends with its guard.
#![allow(clippy::missing_panics_doc, reason = "a harness fails its test by panicking")]

mod binaries;
mod bpf;
mod client;
mod demo;
mod exact;
mod guard;
mod own;
mod prometheus;
mod real;
mod report;
mod rules;
mod screen;
mod settings;
mod threads;
pub mod truth;
mod user;
mod venv;
mod whywait;

pub use binaries::{demo_servers as demo_servers_path, panicking_dashboard, whywait as whywait_path};
pub use bpf::{BpfObjects, Kind as BpfKind};
pub use client::{Client, Stream};
pub use demo::{DemoServer, Load};
pub use exact::measure;
pub use guard::{Guard, Signal, wait_until};
pub use own::TestServer;
pub use prometheus::{Prometheus, Series};
pub use real::{
    Executor, Mpm, NodeApp, Pgbench, Postgres, RealServer, RedisBenchmark, Written, apache, caused, gunicorn,
    java, nginx, node, postgres, redis,
};
pub use report::{Breakdown, Finding, Gain, Group, Latency, Model, Report, STATES, ThreadUsage};
pub use rules::{Serial, accept_test, kernel_test, measuring_test, skip};
pub use screen::Screen;
pub use settings::{patience, requests, slow, socket_tracepoints};
pub use threads::{SchedTimes, Switches, sched_times, stolen_us, switches, thread_ids};
pub use user::{Cap, User, cap_set, credentials, open_dir};
pub use venv::install as install_python;
pub use whywait::{Ended, Whywait, whywait_command};
