//! The comparison as a table and as JSON.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use serde::Serialize;

use super::compare::{Change, Round, Spread};
use super::server::Kind;
use super::window::{Load, Window};

/// Everything that was measured.
#[derive(Serialize)]
pub struct Report {
    schema: &'static str,
    kernel: String,
    rounds: u32,
    window_s: f64,
    settle_s: f64,
    whywait_args: Vec<String>,
    /// One for each server, in the order of measuring.
    pub servers: Vec<ServerReport>,
}

impl Report {
    /// The servers' reports and how they were made.
    ///
    /// # Errors
    /// When the kernel does not tell its release.
    pub fn new(rounds: u32, load: &Load, options: &[String], servers: Vec<ServerReport>) -> Result<Self> {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")
            .context("cannot read the kernel's release")?;
        Ok(Self {
            schema: "whywait.overhead/1",
            kernel: release.trim().to_owned(),
            rounds,
            window_s: load.window.as_secs_f64(),
            settle_s: load.settle.as_secs_f64(),
            whywait_args: options.to_vec(),
            servers,
        })
    }
}

/// One server's comparison.
#[derive(Serialize)]
pub struct ServerReport {
    server: Kind,
    connections: u16,
    bare: Medians,
    attached: Medians,
    attached_change_percent: Changes,
    null_change_percent: Changes,
    lost_events: u64,
    rounds: Vec<Round>,
}

#[derive(Serialize)]
struct Medians {
    per_second: f64,
    p50_us: f64,
    p99_us: f64,
    server_cpu_us: f64,
    server_cpu_percent: f64,
    profiler_cpu_percent: f64,
}

impl Medians {
    fn of(rounds: &[Round], window: fn(&Round) -> &Window) -> Self {
        let median =
            |value: fn(&Window) -> f64| Spread::of(rounds.iter().map(|round| value(window(round)))).median;
        Self {
            per_second: median(|window| window.per_second),
            p50_us: median(|window| window.p50_us),
            p99_us: median(|window| window.p99_us),
            server_cpu_us: median(|window| window.server_cpu_us),
            server_cpu_percent: median(|window| window.server_cpu_percent),
            profiler_cpu_percent: median(|window| window.profiler_cpu_percent),
        }
    }
}

#[derive(Serialize)]
struct Changes {
    throughput: Spread,
    p50: Spread,
    p99: Spread,
    server_cpu_per_request: Spread,
}

impl Changes {
    fn of(changes: &[Change]) -> Self {
        let spread = |value: fn(&Change) -> f64| Spread::of(changes.iter().map(value));
        Self {
            throughput: spread(|change| change.throughput),
            p50: spread(|change| change.p50),
            p99: spread(|change| change.p99),
            server_cpu_per_request: spread(|change| change.server_cpu),
        }
    }
}

impl ServerReport {
    /// Compares the windows of each round.
    pub fn new(server: Kind, rounds: &[Round]) -> Self {
        let attached: Vec<Change> =
            rounds.iter().map(|round| Change::of(&round.attached, &round.bare)).collect();
        let null: Vec<Change> = rounds.iter().map(|round| Change::of(&round.null, &round.bare)).collect();
        Self {
            server,
            connections: server.connections(),
            bare: Medians::of(rounds, |round| &round.bare),
            attached: Medians::of(rounds, |round| &round.attached),
            attached_change_percent: Changes::of(&attached),
            null_change_percent: Changes::of(&null),
            lost_events: rounds.iter().map(|round| round.seen.lost_events).sum(),
            rounds: rounds.to_vec(),
        }
    }
}

/// A Markdown table: medians of the paired differences in percent, with their quartiles.
pub fn table(servers: &[ServerReport]) -> String {
    let mut table = String::from(
        "| server | compared | requests/s | p50 | p99 | CPU per request | bare requests/s | server CPU | whywait CPU | lost |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for report in servers {
        for (label, changes, medians, lost) in [
            ("attached", &report.attached_change_percent, &report.attached, report.lost_events.to_string()),
            ("noise", &report.null_change_percent, &report.bare, String::from("-")),
        ] {
            // Writing to a String cannot fail.
            let _ = writeln!(
                table,
                "| {} | {label} | {} | {} | {} | {} | {:.0} | {:.0} % | {:.1} % | {lost} |",
                report.server,
                cell(changes.throughput),
                cell(changes.p50),
                cell(changes.p99),
                cell(changes.server_cpu_per_request),
                report.bare.per_second,
                medians.server_cpu_percent,
                medians.profiler_cpu_percent,
            );
        }
    }
    table
}

fn cell(spread: Spread) -> String {
    format!("{:+.1} % ({:+.1} to {:+.1})", spread.median, spread.q1, spread.q3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overhead::window::Seen;

    fn window(per_second: f64) -> Window {
        Window {
            per_second,
            p50_us: 100.0,
            p99_us: 300.0,
            server_cpu_us: 10.0,
            server_cpu_percent: 95.0,
            profiler_cpu_percent: 2.0,
        }
    }

    /// The attached row compares with the bare windows, and the noise row bare windows with each other.
    #[test]
    fn table_has_both_rows() {
        let seen = Seen { requests: 900, lost_events: 4 };
        let round = Round { attached: window(900.0), bare: window(1000.0), null: window(1010.0), seen };
        let table = table(&[ServerReport::new(Kind::EventLoop, &[round, round])]);
        let rows: Vec<&str> = table.lines().skip(2).collect();
        assert!(
            rows[0].starts_with("| event-loop | attached | -10.0 % (-10.0 to -10.0) | +0.0 %"),
            "{table}"
        );
        assert!(rows[0].ends_with("| 1000 | 95 % | 2.0 % | 8 |"), "{table}");
        assert!(rows[1].starts_with("| event-loop | noise | +1.0 % (+1.0 to +1.0) |"), "{table}");
    }
}
