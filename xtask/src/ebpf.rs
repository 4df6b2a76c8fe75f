//! `cargo xtask ebpf`: builds the eBPF object that the profiler embeds.
//!
//! The object is checked in, so that a user of whywait needs no eBPF toolchain. The same sources give the same bytes in
//! every folder and for every user: paths are remapped, the compiler is Debian's, the linker's version is pinned.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::{process, tree};

/// The checked-in object, relative to the checkout.
const OBJECT: &str = "profiler/ebpf/whywait.bpf.o";
const PACKAGE: &str = "whywait-ebpf";
const TARGET: &str = "bpfel-unknown-none";
/// Debian's cargo; rustup's has no `core` for the eBPF target.
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const OBJCOPY: &str = "/usr/lib/llvm-22/bin/llvm-objcopy";
/// What separates flags in `CARGO_ENCODED_RUSTFLAGS`, where paths may hold spaces.
const FLAG_SEPARATOR: &str = "\x1f";

#[derive(clap::Args, Default)]
pub struct Args {
    /// Change nothing; fail when the checked-in object is not what the sources give
    #[arg(long)]
    pub check: bool,
}

/// Builds the object and stores it, or with `--check` compares it to the stored one.
///
/// # Errors
/// When the toolchain is missing, the build fails, or the objects differ.
pub fn run(args: &Args) -> Result<()> {
    if !Path::new(DEBIAN_CARGO).exists() || !Path::new(OBJCOPY).exists() {
        bail!("the eBPF toolchain is not installed: run `cargo xtask setup` as root once");
    }
    let root = tree::root();
    let target = tree::target().join("ebpf");
    if args.check {
        // Cargo goes by time stamps, which an unpacked archive or a restored cache may have wrong.
        let mut clean = debian_cargo(&root)?;
        clean.args(["clean", "--quiet", "--release", "--target", TARGET, "--package", PACKAGE]);
        process::run(clean.env("CARGO_TARGET_DIR", &target))?;
    }
    let built =
        fs::read(build(&root, &target)?).context("cannot read the eBPF object that was just built")?;
    let stored = root.join(OBJECT);
    let differs = fs::read(&stored).ok().as_ref() != Some(&built);
    if args.check {
        if differs {
            bail!("{OBJECT} is not what ebpf/ gives: run `cargo xtask ebpf` and commit it");
        }
        println!("ebpf: {OBJECT} is what ebpf/ gives ({} bytes)", built.len());
        return Ok(());
    }
    // An unchanged file keeps its time stamp, and the profiler is not compiled again.
    if differs {
        if let Some(dir) = stored.parent() {
            fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        }
        fs::write(&stored, &built).with_context(|| format!("cannot write {OBJECT}"))?;
    }
    println!("ebpf: {OBJECT}: {} ({} bytes)", if differs { "written" } else { "unchanged" }, built.len());
    Ok(())
}

/// Compiles and links the programs; returns the path of the object, without its DWARF sections.
fn build(root: &Path, target: &Path) -> Result<PathBuf> {
    let crates = crate_sources(root)?;
    let flags = [
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
        format!("--remap-path-prefix={}=/whywait", root.display()),
        format!("--remap-path-prefix={}=/crates", crates.display()),
    ];
    let mut cargo = debian_cargo(root)?;
    cargo
        .args(["build", "--release", "--locked", "--target", TARGET])
        .args(["--package", PACKAGE, "--bin", PACKAGE, "--features", "bpf"])
        .env("CARGO_TARGET_DIR", target)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join(FLAG_SEPARATOR))
        .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", "bpf-linker")
        .env("CARGO_PROFILE_RELEASE_LTO", "fat")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "2")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
        .env("CARGO_PROFILE_RELEASE_PANIC", "abort");
    process::run(&mut cargo)?;
    let linked = target.join(TARGET).join("release").join(PACKAGE);
    let object = target.join("whywait.bpf.o");
    // BTF, which the kernel and the verifier's log use, stays; DWARF would be nine tenths of the file.
    process::run(Command::new(OBJCOPY).arg("--strip-debug").arg(&linked).arg(&object))?;
    Ok(object)
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
}

/// The folder in which cargo has unpacked the crates; its name depends on the registry in use.
fn crate_sources(root: &Path) -> Result<PathBuf> {
    let mut cargo = debian_cargo(root)?;
    cargo.args(["metadata", "--locked", "--format-version", "1", "--filter-platform", TARGET]);
    cargo.args(["--manifest-path", "ebpf/Cargo.toml", "--features", "bpf"]);
    let metadata: Metadata = serde_json::from_str(&process::output(&mut cargo)?)
        .context("cargo metadata printed something else than JSON")?;
    let aya = metadata.packages.into_iter().find(|package| package.name == "aya-ebpf");
    aya.and_then(|package| Some(package.manifest_path.parent()?.parent()?.to_path_buf()))
        .context("ebpf/Cargo.toml does not depend on aya-ebpf, which the programs need")
}

/// Debian's cargo, in an environment free of what the outer cargo and the user's shell ask of a build.
fn debian_cargo(root: &Path) -> Result<Command> {
    let mut command = Command::new(DEBIAN_CARGO);
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(shapes_a_build) {
            command.env_remove(name);
        }
    }
    let mut path = vec![PathBuf::from("/usr/bin"), tree::cargo_home()?.join("bin")];
    path.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    command
        .current_dir(root)
        .env("PATH", env::join_paths(path).context("PATH holds a folder with a `:` in its name")?);
    // aya-ebpf uses inline assembly for eBPF, which is not stable; no other crate may use such features.
    command.env("RUSTC_BOOTSTRAP", "aya_ebpf");
    Ok(command)
}

/// Whether a variable of this name changes what cargo builds (and not merely where it fetches from).
fn shapes_a_build(name: &str) -> bool {
    const FETCHING: [&str; 5] = ["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR", "CARGO_SOURCE_"];
    if FETCHING.iter().any(|prefix| name.starts_with(prefix)) {
        return false;
    }
    ["CARGO", "RUSTC", "RUSTDOC", "RUSTFLAGS", "RUSTUP_TOOLCHAIN", "LD_LIBRARY_PATH"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The inner build takes no flag, wrapper or toolchain from outside, but fetches from where the user does.
    #[test]
    fn outer_build_settings_are_dropped() {
        for name in
            ["RUSTC", "RUSTC_WRAPPER", "RUSTFLAGS", "CARGO", "CARGO_PROFILE_RELEASE_LTO", "LD_LIBRARY_PATH"]
        {
            assert!(shapes_a_build(name), "{name}");
        }
        for name in ["CARGO_HOME", "CARGO_HTTP_PROXY", "CARGO_REGISTRIES_CRATES_IO_PROTOCOL", "PATH", "HOME"]
        {
            assert!(!shapes_a_build(name), "{name}");
        }
    }
}
