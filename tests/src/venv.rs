//! Python programs of other people, each set of them installed once for all checkouts.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Installs packages of these versions, if they are not there; the folder with their programs and their `python`.
pub fn install(name: &str, requirements: &[&str]) -> Result<PathBuf, String> {
    let cache = cache_dir()?;
    let said =
        |what: &str, path: &Path, error: std::io::Error| format!("cannot {what} {}: {error}", path.display());
    fs::create_dir_all(&cache).map_err(|error| said("make", &cache, error))?;
    let (lock_path, venv) = (cache.join("lock"), cache.join(name));
    let (complete, programs) = (venv.join("complete"), venv.join("bin"));
    let lock = File::create(&lock_path).map_err(|error| said("make", &lock_path, error))?;
    lock.lock().map_err(|error| said("lock", &lock_path, error))?;
    let wanted = requirements.join("\n");
    if fs::read_to_string(&complete).is_ok_and(|installed| installed == wanted) {
        return Ok(programs);
    }
    run(Command::new("python3.11").args(["-m", "venv", "--clear"]).arg(&venv))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    run(Command::new(programs.join("python")).args(pip).args(requirements))?;
    fs::write(&complete, wanted).map_err(|error| said("write", &complete, error))?;
    Ok(programs)
}

fn run(command: &mut Command) -> Result<(), String> {
    let name = format!("{command:?}");
    let output = command.output().map_err(|error| format!("cannot run {name}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&output.stderr);
    Err(format!("{name} failed: {}", told.lines().last().unwrap_or("it gave no reason")))
}

/// A folder for what is kept between runs, outside of the checkout.
pub fn cache_dir() -> Result<PathBuf, String> {
    let under = |variable: &str, path: &str| env::var_os(variable).map(|dir| Path::new(&dir).join(path));
    under("WHYWAIT_TEST_CACHE", "")
        .or_else(|| under("XDG_CACHE_HOME", "whywait"))
        .or_else(|| under("HOME", ".cache/whywait"))
        .ok_or_else(|| "no place for the cache: set WHYWAIT_TEST_CACHE".to_owned())
}
