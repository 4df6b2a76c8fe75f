//! `cargo xtask fuzz`: every reader of bytes that somebody else wrote, fed by libFuzzer, for a bounded time and in bounded memory.
//!
//! The targets are the doors of `profiler/src/fuzzing/`; `tests/fuzz` is the package that `cargo fuzz` builds. Its instruments are unstable options of
//! the compiler, which the stable one takes for this build alone (`RUSTC_BOOTSTRAP`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{process, tree};

/// Megabytes that a target may have, the instruments' own among them, and that it may ask for at once.
const MEMORY: (u32, u32) = (2048, 256);
/// Seconds that an input may take.
const PATIENCE: u32 = 20;
/// Bytes of an input.
const LONGEST: u32 = 32 << 10;

#[derive(clap::Args)]
pub struct Args {
    /// The readers [default: all of them]
    pub targets: Vec<String>,
    /// For how long each of them is fed
    #[arg(long, default_value_t = 60)]
    pub seconds: u32,
    /// What chance goes by: the same number, the same inputs, as far as the time allows [default: another each time]
    #[arg(long)]
    pub chance: Option<u32>,
    /// Build without optimisations: in a third of the time, for fuzzers that are five to twenty times slower
    #[arg(long)]
    pub quick: bool,
    /// Write the seeds anew instead, as the formats are now
    #[arg(long)]
    pub seeds: bool,
}

/// Builds the targets and feeds them.
///
/// # Errors
/// When they cannot be built, or an input makes one fail: with the input, and how to see it again.
pub fn run(args: &Args) -> Result<()> {
    if args.seeds {
        return write_seeds();
    }
    let known = targets()?;
    if let Some(unknown) = args.targets.iter().find(|name| !known.contains(name)) {
        bail!("there is no target {unknown}; there are {}", known.join(", "));
    }
    let wanted = if args.targets.is_empty() { &known } else { &args.targets };
    let mut build = cargo_fuzz();
    if args.quick {
        build.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0");
    }
    process::run(build.args(["fuzz", "build", "--fuzz-dir", "tests/fuzz"]))?;
    for target in wanted {
        feed(target, args)?;
    }
    Ok(())
}

/// Feeds one for some seconds, from its seeds and what earlier runs came upon.
fn feed(target: &str, Args { seconds, chance, .. }: &Args) -> Result<()> {
    println!("fuzz: {target}, for {seconds} s");
    let folder = folder();
    let found = folder.join("corpus").join(target);
    fs::create_dir_all(&found).with_context(|| format!("cannot make {}", found.display()))?;
    let mut command = Command::new("nice");
    command.args(["-n", "10"]).arg(binary(target)).arg(&found).arg(folder.join("seeds").join(target));
    let crash = folder.join("artifacts").join(target);
    fs::create_dir_all(&crash).with_context(|| format!("cannot make {}", crash.display()))?;
    command.arg(format!("-artifact_prefix={}/", crash.display())).args([
        format!("-max_total_time={seconds}"),
        // libFuzzer takes 0 for "any".
        format!("-seed={}", chance.unwrap_or(0)),
        format!("-timeout={PATIENCE}"),
        format!("-rss_limit_mb={}", MEMORY.0),
        format!("-malloc_limit_mb={}", MEMORY.1),
        format!("-max_len={LONGEST}"),
        "-print_final_stats=1".to_owned(),
        "-verbosity=0".to_owned(),
    ]);
    let before = inputs(&crash);
    if process::run(command.current_dir(tree::root())).is_ok() {
        return Ok(());
    }
    let new = inputs(&crash).into_iter().find(|input| !before.contains(input));
    let Some(input) = new else { bail!("fuzz: {target} failed; what it printed above says why") };
    let binary = binary(target);
    bail!(
        "fuzz: {target} failed on {}; `{} {}` shows it again. What it was about becomes a test beside the reader first.",
        input.display(),
        binary.display(),
        input.display()
    )
}

/// The names of the targets, from their files.
fn targets() -> Result<Vec<String>> {
    let folder = folder().join("fuzz_targets");
    let files = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let name = |file: fs::DirEntry| Some(file.path().file_stem()?.to_str()?.to_owned());
    let mut names: Vec<String> = files.flatten().filter_map(name).collect();
    names.sort();
    Ok(names)
}

fn inputs(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|file| file.path()).collect()
}

fn folder() -> PathBuf {
    tree::root().join("tests/fuzz")
}

/// Where the instrumented programs are built: beside the others, which they share nothing with.
fn build() -> PathBuf {
    tree::target().join("fuzz")
}

fn binary(target: &str) -> PathBuf {
    build().join("x86_64-unknown-linux-gnu/release").join(target)
}

fn cargo_fuzz() -> Command {
    let mut cargo = process::cargo();
    cargo.current_dir(tree::root()).env("RUSTC_BOOTSTRAP", "1").env("CARGO_TARGET_DIR", build());
    cargo
}

/// The seeds are made by a test of the readers' own crate.
fn write_seeds() -> Result<()> {
    let mut cargo = process::cargo();
    cargo.args(["test", "--package", "whywait", "--lib", "fuzzing::tests::every_door_has_its_seeds"]);
    process::run(cargo.current_dir(tree::root()).env("UPDATE_SEEDS", "1"))
}
