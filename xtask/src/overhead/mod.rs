//! `cargo xtask overhead`: what attaching costs a server that has no time to spare.
//!
//! Each server has one CPU, which a closed loop on another CPU keeps busy in windows that are as long as an `explain`
//! is by default; whywait runs where the kernel puts it. A round has three windows or more, in random order: one with
//! whywait attached for each set of its options, and two without. The attached ones are compared to one of the others;
//! those two, compared in the same way, show what the machine's noise alone makes of it.

mod compare;
mod cpu;
mod report;
mod server;
mod window;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::test::Binaries;
use compare::{Change, Round, Watched};
use report::{Report, ServerReport};
use window::Attached;

pub use compare::Spread;
pub use server::{Kind, Server};
pub use window::Load;

#[derive(clap::Args)]
pub struct Args {
    /// Rounds per server
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
    pairs: u32,
    /// The servers to measure; all of them without this
    #[arg(long = "server", value_enum, value_name = "NAME")]
    servers: Vec<Kind>,
    /// More arguments for `whywait explain`, such as --syscalls
    #[arg(long = "whywait-args", value_name = "ARGS", default_value = "", allow_hyphen_values = true)]
    options: String,
    /// Measure whywait with these arguments as well, such as --no-stacks, in windows of the same rounds; may be given several times
    #[arg(long = "also", value_name = "ARGS", allow_hyphen_values = true)]
    also: Vec<String>,
    /// Write every window and the comparison to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Seconds of a window that count
    #[arg(long, default_value_t = 4.0)]
    window: f64,
    /// Seconds of load before them that do not
    #[arg(long, default_value_t = 0.5)]
    settle: f64,
    /// What the order of the windows is drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Measures the servers one after the other and prints the comparison.
///
/// # Errors
/// When this is not root, a server does not start, or whywait does not attach.
pub fn run(args: &Args) -> Result<()> {
    if !process::is_root() {
        bail!("overhead: whywait attaches as root only: run this as root");
    }
    let binaries = Binaries::build()?;
    let load = Load { window: seconds(args.window)?, settle: seconds(args.settle)? };
    let kinds = if args.servers.is_empty() { Kind::ALL.to_vec() } else { args.servers.clone() };
    let options: Vec<Options> = std::iter::once("")
        .chain(args.also.iter().map(String::as_str))
        .map(|more| options(args, more))
        .collect();
    let mut order = Order(args.seed);
    let mut reports = Vec::new();
    for kind in kinds {
        let rounds = measure(kind, &binaries, &load, &options, args.pairs, &mut order)
            .with_context(|| format!("overhead: {kind}"))?;
        let report = ServerReport::new(kind, &options, &rounds);
        println!("{}", report::table(std::slice::from_ref(&report)));
        reports.push(report);
    }
    let report = Report::new(args.pairs, &load, reports)?;
    if report.servers.len() > 1 {
        println!("{}", report::table(&report.servers));
    }
    if let Some(file) = &args.json {
        let text = serde_json::to_string_pretty(&report).context("cannot write the report as JSON")?;
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

fn measure(
    kind: Kind,
    binaries: &Binaries,
    load: &Load,
    options: &[Options],
    rounds: u32,
    order: &mut Order,
) -> Result<Vec<Round>> {
    let server = Server::start(kind, binaries.demo_servers())?;
    // The first window of a server pays for its memory and the processor's caches.
    load.run(&server, binaries.demo_servers(), None)?;
    let mut done = Vec::new();
    for number in 1..=rounds {
        let (mut attached, mut bare, mut null) = (vec![None; options.len()], None, None);
        for slot in order.shuffled(options.len()) {
            match slot {
                Slot::Attached(which) => {
                    let profiler = Attached::start(binaries.whywait(), &server, load, &options[which])?;
                    let window = load.run(&server, binaries.demo_servers(), Some(&profiler))?;
                    attached[which] = Some(Watched { window, seen: profiler.finish()? });
                }
                Slot::Bare => bare = Some(load.run(&server, binaries.demo_servers(), None)?),
                Slot::Null => null = Some(load.run(&server, binaries.demo_servers(), None)?),
            }
        }
        let (Some(attached), Some(bare), Some(null)) = (attached.into_iter().collect(), bare, null) else {
            bail!("a round has an attached window for each set of options and two bare ones");
        };
        let round: Round = Round { attached, bare, null };
        for (watched, options) in round.attached.iter().zip(options) {
            let change = Change::of(&watched.window, &bare);
            println!(
                "overhead: {kind}: round {number} of {rounds}: {:.0} to {:.0} requests/s ({:+.1} %) {}",
                bare.per_second,
                watched.window.per_second,
                change.throughput,
                options.join(" ")
            );
        }
        done.push(round);
    }
    Ok(done)
}

/// Arguments of one whywait.
type Options = Vec<String>;

/// The arguments of every whywait, and these.
fn options(args: &Args, more: &str) -> Options {
    args.options.split_whitespace().chain(more.split_whitespace()).map(str::to_owned).collect()
}

fn seconds(value: f64) -> Result<Duration> {
    match Duration::try_from_secs_f64(value) {
        Ok(span) if span >= Duration::from_millis(100) => Ok(span),
        _ => bail!("overhead: {value} s is not a length for a window: give at least 0.1"),
    }
}

/// A window of a round. Which of the two without whywait is compared to is decided before either is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Slot {
    /// With this set of options.
    Attached(usize),
    Bare,
    Null,
}

/// Draws the order of the windows in a round; the same seed, the same orders (`SplitMix64`).
struct Order(u64);

impl Order {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The windows of a round with so many sets of options, in one of their orders, each as likely as the others (Fisher and Yates).
    fn shuffled(&mut self, attached: usize) -> Vec<Slot> {
        let mut slots: Vec<Slot> =
            (0..attached).map(Slot::Attached).chain([Slot::Bare, Slot::Null]).collect();
        for last in (1..slots.len()).rev() {
            let drawn = self.next() % (last as u64 + 1);
            slots.swap(last, usize::try_from(drawn).unwrap_or_default());
        }
        slots
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every window is first, last and between about equally often.
    #[test]
    fn every_window_takes_every_place() {
        let mut order = Order(1);
        for slot in [Slot::Attached(0), Slot::Attached(1), Slot::Bare, Slot::Null] {
            let mut places = [0_u32; 4];
            for _ in 0..4000 {
                let drawn = order.shuffled(2);
                places[drawn.iter().position(|drawn| *drawn == slot).unwrap()] += 1;
            }
            assert!(places.iter().all(|count| (900..1100).contains(count)), "{places:?}");
        }
    }

    #[test]
    fn windows_have_a_length() {
        assert!(seconds(0.0).is_err() && seconds(f64::NAN).is_err());
        assert_eq!(seconds(1.5).unwrap(), Duration::from_millis(1500));
    }
}
