//! `cargo xtask ci`: what the continuous integration runs, step by step; the first failure ends it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::{ebpf, fuzz, process, setup, tree};

type Step = (&'static str, fn() -> Result<()>);

const STEPS: [Step; 7] = [
    ("setup", || setup::run(&setup::Args::default())),
    ("fmt", || cargo(&["fmt", "--all", "--check"])),
    ("clippy", || cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])),
    ("ebpf --check", || ebpf::run(&ebpf::Args { check: true })),
    ("deny", || cargo(&["deny", "check", "licenses", "bans", "sources"])),
    ("test", test),
    ("fuzz", fuzz),
];

/// Seconds for which a reader of bytes is fuzzed.
const FUZZED: u32 = 10;

/// Runs the steps in order and prints how long each took.
///
/// # Errors
/// With the name of the first step that failed.
pub fn run() -> Result<()> {
    let mut took = Vec::new();
    for (name, step) in STEPS {
        println!("ci: {name}");
        let started = Instant::now();
        let result = step();
        took.push((name, started.elapsed()));
        println!(
            "ci: {name}: {} after {:.1} s",
            if result.is_ok() { "ok" } else { "FAILED" },
            seconds(started.elapsed())
        );
        result.with_context(|| format!("the step `{name}` failed"))?;
    }
    let list: Vec<String> =
        took.iter().map(|(name, time)| format!("{name} {:.1} s", seconds(*time))).collect();
    println!("ci: passed ({})", list.join(", "));
    Ok(())
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

fn cargo(args: &[&str]) -> Result<()> {
    process::run(process::cargo().args(args).current_dir(tree::root()))
}

/// The README's test command. Under `CI=true` a test that should have run but could not fails.
fn test() -> Result<()> {
    process::run(process::cargo().args(["xtask", "test"]).env("CI", "true").current_dir(tree::root()))
}

/// A few seconds for each reader of bytes, always from the same number: a change that a fuzzer sees at once is seen here.
fn fuzz() -> Result<()> {
    fuzz::run(&fuzz::Args {
        targets: Vec::new(),
        seconds: FUZZED,
        chance: Some(1),
        quick: true,
        seeds: false,
    })
}
