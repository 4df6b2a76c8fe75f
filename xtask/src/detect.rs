//! Detective scenarios: small servers that each have one planted cause, and the script that asks whywait about them.
//!
//! The scenarios and `detect.py` are no part of this repository; `cargo xtask truth --scenarios DIR` runs them.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::test::Binaries;
use crate::{process, tree};

const SCRIPT: &str = "detect.py";
const SCENARIO: &str = "scenario.json";
/// The Python packages that servers among the scenarios need, beside the script.
const PACKAGES: &str = "requirements.txt";
/// The variable by which the script is told which Python has them.
const PYTHON: &str = "DETECT_PYTHON";

/// Runs the scenarios with their causes, then without.
///
/// # Errors
/// When there are none, or one failed; all are run before.
pub fn run(scenarios: &Path, binaries: &Binaries) -> Result<()> {
    let script = script(scenarios)?;
    let folders = folders(scenarios)?;
    let python = python(&script)?;
    let mut failed = Vec::new();
    for (how, control) in [("with their causes", false), ("without their causes", true)] {
        println!("truth: scenarios {how}");
        let mut run = Command::new("python3");
        // The scenarios are somebody else's: nothing is written beside them.
        run.env("PYTHONDONTWRITEBYTECODE", "1").env("DETECT_CACHE", tree::cache("scenarios")?);
        if let Some(python) = &python {
            run.env(PYTHON, python);
        }
        run.arg(&script).arg("--whywait").arg(binaries.whywait()).args(control.then_some("--control"));
        if process::run(run.args(&folders)).is_err() {
            failed.push(how);
        }
    }
    if !failed.is_empty() {
        bail!("truth: scenarios failed {}; the tables above say which and why", failed.join(" and "));
    }
    Ok(())
}

/// The script, in the folder or beside it.
fn script(scenarios: &Path) -> Result<PathBuf> {
    let whole = fs::canonicalize(scenarios)
        .with_context(|| format!("truth: there is no folder {}", scenarios.display()))?;
    let script = whole.ancestors().take(2).map(|folder| folder.join(SCRIPT)).find(|script| script.exists());
    let Some(script) = script else {
        bail!(
            "truth: there is no {SCRIPT} in {0}, nor beside it: name the folder of scenarios",
            scenarios.display()
        );
    };
    Ok(script)
}

/// What the script is to be given: it looks into a folder, and no deeper.
fn folders(scenarios: &Path) -> Result<Vec<PathBuf>> {
    if scenarios.join(SCENARIO).exists() || holds_scenarios(scenarios)? {
        return Ok(vec![scenarios.to_owned()]);
    }
    let mut folders = Vec::new();
    for folder in folders_in(scenarios)? {
        if holds_scenarios(&folder)? {
            folders.push(folder);
        }
    }
    if folders.is_empty() {
        bail!("truth: no folder in {} has a {SCENARIO}: name the folder of scenarios", scenarios.display());
    }
    Ok(folders)
}

fn holds_scenarios(folder: &Path) -> Result<bool> {
    Ok(folders_in(folder)?.iter().any(|inner| inner.join(SCENARIO).exists()))
}

/// The folders in a folder, by name.
fn folders_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let cannot = || format!("truth: cannot list {}", folder.display());
    let mut folders = Vec::new();
    for entry in fs::read_dir(folder).with_context(cannot)? {
        let path = entry.with_context(cannot)?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

/// A Python with the packages that the scenarios ask for, made once for all checkouts; `None` where they ask for none, or the environment
/// names one.
fn python(script: &Path) -> Result<Option<PathBuf>> {
    let packages = script.with_file_name(PACKAGES);
    if env::var_os(PYTHON).is_some() || !packages.exists() {
        return Ok(None);
    }
    let wanted =
        fs::read_to_string(&packages).with_context(|| format!("cannot read {}", packages.display()))?;
    let cache = tree::cache("scenarios")?;
    let (venv, complete) = (cache.join("venv"), cache.join("venv/complete"));
    let program = venv.join("bin/python");
    if !fs::read_to_string(&complete).is_ok_and(|installed| installed == wanted) {
        process::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
        process::run(Command::new(&program).args(pip).arg(&packages))?;
        fs::write(&complete, wanted).with_context(|| format!("cannot write {}", complete.display()))?;
    }
    Ok(Some(program))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_are_found_in_a_folder_and_one_below_it() {
        let root = tempfile::tempdir().unwrap();
        let one = root.path().join("public/01");
        fs::create_dir_all(&one).unwrap();
        assert!(folders(root.path()).is_err() && script(root.path()).is_err());
        fs::write(one.join(SCENARIO), "{}").unwrap();
        fs::write(root.path().join(SCRIPT), "").unwrap();
        let public = root.path().join("public");
        assert_eq!(folders(root.path()).unwrap(), std::slice::from_ref(&public));
        assert_eq!(folders(&public).unwrap(), std::slice::from_ref(&public));
        assert_eq!(folders(&one).unwrap(), std::slice::from_ref(&one));
        for named in [root.path(), &public] {
            assert!(script(named).unwrap().ends_with(SCRIPT), "{}", named.display());
        }
    }
}
