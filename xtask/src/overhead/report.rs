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
    /// One for each server, in the order of measuring.
    pub servers: Vec<ServerReport>,
}

impl Report {
    /// The servers' reports and how they were made.
    ///
    /// # Errors
    /// When the kernel does not tell its release.
    pub fn new(rounds: u32, load: &Load, servers: Vec<ServerReport>) -> Result<Self> {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")
            .context("cannot read the kernel's release")?;
        Ok(Self {
            schema: "whywait.overhead/2",
            kernel: release.trim().to_owned(),
            rounds,
            window_s: load.window.as_secs_f64(),
            settle_s: load.settle.as_secs_f64(),
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
    attached: Vec<Cost>,
    null_change_percent: Changes,
    rounds: Vec<Round>,
}

/// What whywait cost with a set of options.
#[derive(Serialize)]
struct Cost {
    whywait_args: Vec<String>,
    medians: Medians,
    change_percent: Changes,
    lost_events: u64,
}

impl Cost {
    /// Of the windows at this place in each round.
    fn of(rounds: &[Round], which: usize, options: &[String]) -> Self {
        let changes: Vec<Change> =
            rounds.iter().map(|round| Change::of(&round.attached[which].window, &round.bare)).collect();
        Self {
            whywait_args: options.to_vec(),
            medians: Medians::of(rounds, |round| &round.attached[which].window),
            change_percent: Changes::of(&changes),
            lost_events: rounds.iter().map(|round| round.attached[which].seen.lost_events).sum(),
        }
    }

    fn label(&self) -> String {
        let label = format!("attached {}", self.whywait_args.join(" "));
        label.trim_end().to_owned()
    }
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
    fn of(rounds: &[Round], window: impl Fn(&Round) -> &Window) -> Self {
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
    pub fn new(server: Kind, options: &[Vec<String>], rounds: &[Round]) -> Self {
        let null: Vec<Change> = rounds.iter().map(|round| Change::of(&round.null, &round.bare)).collect();
        Self {
            server,
            connections: server.connections(),
            bare: Medians::of(rounds, |round| &round.bare),
            attached: options
                .iter()
                .enumerate()
                .map(|(which, options)| Cost::of(rounds, which, options))
                .collect(),
            null_change_percent: Changes::of(&null),
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
        let attached = report
            .attached
            .iter()
            .map(|cost| (cost.label(), &cost.change_percent, &cost.medians, cost.lost_events.to_string()));
        let noise = ("noise".to_owned(), &report.null_change_percent, &report.bare, String::from("-"));
        for (label, changes, medians, lost) in attached.chain([noise]) {
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
    use crate::overhead::{compare::Watched, window::Seen};

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

    /// The attached rows compare with the bare windows, and the noise row bare windows with each other.
    #[test]
    fn table_has_a_row_for_each_set_of_options_and_the_noise() {
        let seen = Seen { requests: 900, lost_events: 4 };
        let watched = |per_second| Watched { window: window(per_second), seen };
        let round = Round {
            attached: vec![watched(900.0), watched(950.0)],
            bare: window(1000.0),
            null: window(1010.0),
        };
        let options = [Vec::new(), vec!["--no-stacks".to_owned()]];
        let table = table(&[ServerReport::new(Kind::EventLoop, &options, &[round.clone(), round])]);
        let rows: Vec<&str> = table.lines().skip(2).collect();
        assert!(
            rows[0].starts_with("| event-loop | attached | -10.0 % (-10.0 to -10.0) | +0.0 %"),
            "{table}"
        );
        assert!(rows[0].ends_with("| 1000 | 95 % | 2.0 % | 8 |"), "{table}");
        assert!(rows[1].starts_with("| event-loop | attached --no-stacks | -5.0 %"), "{table}");
        assert!(rows[2].starts_with("| event-loop | noise | +1.0 % (+1.0 to +1.0) |"), "{table}");
    }
}
