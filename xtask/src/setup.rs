//! `cargo xtask setup`: what development and the tests need, on Debian 12.
//!
//! Each step looks first, so that a run with nothing to do takes a fraction of a second.

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::matrix::{Kernel, Series};
use crate::process;

/// Debian's Rust, which ships `core` for the eBPF target, and the LLVM that it was built with.
const EBPF_PACKAGES: &[&str] = &[
    "rustc-web",
    "cargo-web",
    "libstd-rust-web-dev-bpf",
    "llvm-22",
    "llvm-22-dev",
    "libpolly-22-dev",
    "g++",
];
/// What the tests start, measure with and isolate with.
const TEST_PACKAGES: &[&str] =
    &["wrk", "python3.11-venv", "tmux", "iproute2", "util-linux", "libcap2-bin", "procps"];
/// Servers of other people, and their clients; and who scrapes.
const SERVER_PACKAGES: &[&str] =
    &["nginx", "apache2-bin", "postgresql-15", "redis-server", "redis-tools", "prometheus"];
/// What boots the second kernels.
const MATRIX_PACKAGES: &[&str] = &["qemu-system-x86", "busybox-static", "cpio", "zstd", "xz-utils"];

/// The linker of the eBPF object; another version makes another object.
const BPF_LINKER: &str = "0.13.0";
const CARGO_DENY: &str = "0.20.2";
const CARGO_FUZZ: &str = "0.13.2";

#[derive(clap::Args, Default)]
pub struct Args {
    /// Also install what `cargo xtask matrix` needs: qemu and two Debian kernels
    #[arg(long)]
    matrix: bool,
}

/// Installs what is missing and says, line by line, what was there.
///
/// # Errors
/// When something is missing and cannot be installed: without root, without a package archive or a crate registry.
pub fn run(args: &Args) -> Result<()> {
    packages("eBPF toolchain", EBPF_PACKAGES)?;
    packages("test tools", TEST_PACKAGES)?;
    packages("servers", SERVER_PACKAGES)?;
    program("node", "nodejs")?;
    program("javac", "openjdk-17-jdk-headless")?;
    program("go", "golang-go")?;
    program("ruby", "ruby")?;
    program("chromium", "chromium")?;
    tracefs()?;
    if args.matrix {
        packages("virtual machines", MATRIX_PACKAGES)?;
        for series in Series::ALL {
            let kernel = Kernel::fetch(series)?;
            step(&format!("kernel {series}"), &format!("ok ({})", kernel.release));
        }
    }
    rustup_components()?;
    let llvm = "/usr/lib/llvm-22";
    let linker_features: &[&str] = &["--no-default-features", "--features", "llvm-22"];
    let linker_env = [("LLVM_PREFIX", llvm), ("LLVM_SYS_221_PREFIX", llvm)];
    cargo_tool("bpf-linker", BPF_LINKER, linker_features, &linker_env)?;
    cargo_tool("cargo-deny", CARGO_DENY, &[], &[])?;
    cargo_tool("cargo-fuzz", CARGO_FUZZ, &[], &[])
}

/// The file system with the numbers of tracepoints, which not every machine has mounted.
fn tracefs() -> Result<()> {
    let state = if process::captured(Command::new("findmnt").args(["--types", "tracefs"]))?.status.success() {
        "ok"
    } else if process::is_root() {
        process::run(Command::new("mount").args(["-t", "tracefs", "nodev", "/sys/kernel/tracing"]))?;
        "mounted"
    } else {
        "not mounted, which takes root: tests of the moment of accept cannot run"
    };
    step("tracefs", state);
    Ok(())
}

fn step(what: &str, state: &str) {
    println!("setup: {what}: {state}");
}

/// Installs those of `wanted` that dpkg does not have.
fn packages(what: &str, wanted: &[&str]) -> Result<()> {
    let query = process::captured(
        Command::new("dpkg-query")
            .args(["--show", "--showformat", "${Package} ${db:Status-Status}\n"])
            .args(wanted),
    )?;
    let missing = missing_packages(wanted, &String::from_utf8_lossy(&query.stdout));
    if missing.is_empty() {
        step(what, "ok");
        return Ok(());
    }
    let list = missing.join(" ");
    if !process::is_root() {
        bail!("{what}: {list} must be installed, which needs root: run `cargo xtask setup` as root once");
    }
    apt(&["update", "--quiet"], &list)?;
    apt(&[&["install", "--yes", "--quiet", "--no-install-recommends"], missing.as_slice()].concat(), &list)?;
    step(what, &format!("installed {list}"));
    Ok(())
}

/// Installs a package, unless its program is there, from wherever.
fn program(name: &str, package: &str) -> Result<()> {
    if process::find(name).is_some() {
        step(name, "ok");
        return Ok(());
    }
    packages(name, &[package])
}

/// The wanted packages that `dpkg-query` does not list as installed.
fn missing_packages<'a>(wanted: &[&'a str], listing: &str) -> Vec<&'a str> {
    let installed: HashSet<&str> =
        listing.lines().filter_map(|line| line.strip_suffix(" installed")).collect();
    wanted.iter().copied().filter(|name| !installed.contains(name)).collect()
}

fn apt(args: &[&str], list: &str) -> Result<()> {
    // In run level 1 Debian's maintainer scripts start no service: nginx must not take port 80, Prometheus not 9090.
    let mut command = Command::new("apt-get");
    command.args(args).env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1");
    let out = process::captured(&mut command)?;
    if out.status.success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&out.stderr);
    let cause = told.lines().find(|line| line.starts_with("E:")).unwrap_or("apt-get gave no reason").trim();
    bail!(
        "cannot install {list}: {cause}; this needs Debian 12 with its security archive, reachable from here"
    );
}

/// `cargo fmt` and `cargo clippy` are missing in rustup's minimal profile.
fn rustup_components() -> Result<()> {
    let sysroot = process::output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let bin = Path::new(sysroot.trim()).join("bin");
    let missing: Vec<&str> = [("cargo-fmt", "rustfmt"), ("cargo-clippy", "clippy")]
        .into_iter()
        .filter(|(program, _)| !bin.join(program).exists())
        .map(|(_, component)| component)
        .collect();
    if missing.is_empty() {
        step("rustfmt, clippy", "ok");
        return Ok(());
    }
    let list = missing.join(" ");
    if process::run(Command::new("rustup").args(["component", "add"]).args(&missing)).is_err() {
        bail!(
            "cannot add {list} to the stable toolchain: this needs rustup and a reachable toolchain server"
        );
    }
    step("rustfmt, clippy", &format!("installed {list}"));
    Ok(())
}

/// Installs a cargo tool unless this very version is there.
fn cargo_tool(name: &str, version: &str, features: &[&str], env: &[(&str, &str)]) -> Result<()> {
    if let Some(program) = process::find(name) {
        let out = process::captured(Command::new(program).arg("--version"))?;
        if version_matches(&String::from_utf8_lossy(&out.stdout), version) {
            step(name, "ok");
            return Ok(());
        }
    }
    let mut command = process::cargo();
    command.args(["install", "--locked", "--force", &format!("{name}@{version}")]).args(features);
    // A build of its own, whatever the caller builds for.
    command.env_remove("CARGO_TARGET_DIR").env_remove("RUSTFLAGS").envs(env.iter().copied());
    if process::run(&mut command).is_err() {
        bail!(
            "cannot install {name} {version}: what cargo printed above says why; this needs a reachable crate registry"
        );
    }
    step(name, &format!("installed {version}"));
    Ok(())
}

/// Whether `NAME VERSION` is what the tool calls itself.
fn version_matches(told: &str, version: &str) -> bool {
    told.split_whitespace().nth(1) == Some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Removed packages whose configuration is left count as missing, as do unknown ones.
    #[test]
    fn missing_packages_reads_the_status() {
        let listing = "nginx installed\nwrk config-files\ntmux installed\n";
        assert_eq!(missing_packages(&["nginx", "wrk", "tmux", "qemu"], listing), ["wrk", "qemu"]);
    }

    #[test]
    fn version_must_be_the_exact_one() {
        assert!(version_matches("bpf-linker 0.13.0\n", "0.13.0"));
        assert!(!version_matches("bpf-linker 0.13.01\n", "0.13.0"));
        assert!(!version_matches("", "0.13.0"));
    }
}
