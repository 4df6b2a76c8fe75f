//! The programs under test: named by the environment, or those of this build, or built.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The profiler.
pub fn whywait() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| find("WHYWAIT_BIN", "whywait"))
}

/// The dashboard whose thread panics, built beside the tests.
pub fn panicking_dashboard() -> PathBuf {
    let profile = env::current_exe().expect("knowing where the test program is");
    profile
        .ancestors()
        .nth(2)
        .expect("the test program lies in a target directory")
        .join("panicking-dashboard")
}

/// The reference servers.
pub fn demo_servers() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| find("DEMO_SERVERS_BIN", "demo-servers"))
}

fn find(variable: &str, package: &str) -> PathBuf {
    if let Some(path) = env::var_os(variable) {
        return path.into();
    }
    let target = target_dir();
    let built = ["release", "debug"].map(|profile| target.join(profile).join(package));
    if let Some(path) = built.iter().find(|path| path.exists()) {
        return path.clone();
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "--package", package, "--target-dir"])
        .arg(&target)
        .status()
        .expect("starting cargo");
    assert!(status.success(), "building {package} failed: name a built one with {variable}");
    built[0].clone()
}

/// The test program lies in `TARGET/PROFILE/deps`.
fn target_dir() -> PathBuf {
    let own = env::current_exe().expect("knowing where the test program is");
    own.ancestors().nth(3).expect("the test program lies in a target directory").to_owned()
}
