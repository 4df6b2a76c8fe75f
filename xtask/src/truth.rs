//! `cargo xtask truth`: how well whywait agrees with what the reference servers say about themselves.
//!
//! The measuring is a program of the package of tests; here its tables are put into `docs/accuracy.md`, between two markers,
//! with the command and the machine that they come from.

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail};

use crate::test::{Binaries, MEASURING};
use crate::{detect, process, tree};

/// The page, relative to the checkout.
const PAGE: &str = "docs/accuracy.md";
const BEGIN: &str = "<!-- written by `cargo xtask truth` -->";
const END: &str = "<!-- until here -->";

#[derive(clap::Args)]
pub struct Args {
    /// The model to measure, as `demo-servers list` names it; all without this
    #[arg(long = "model", value_name = "MODEL")]
    models: Vec<String>,
    /// The route to ask for, such as /cpu; all without this
    #[arg(long = "route", value_name = "PATH")]
    routes: Vec<String>,
    /// Seconds for each model and route
    #[arg(long, default_value_t = 4)]
    duration: u32,
    /// Write every number to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// A folder of detective scenarios, or of folders of them, with `detect.py` in it or beside it: run these instead, with their
    /// causes and without. The variable `WHYWAIT_SCENARIOS` names one as well
    #[arg(long, value_name = "DIR")]
    scenarios: Option<PathBuf>,
}

/// Measures, prints the tables, and keeps those of all models and routes in the page.
///
/// # Errors
/// When this is not root, something does not compile, or the measurement fails.
pub fn run(args: &Args) -> Result<()> {
    if !process::is_root() {
        bail!("truth: whywait attaches as root only: run this as root");
    }
    let binaries = Binaries::build()?;
    let named = args.scenarios.clone().or_else(|| env::var_os("WHYWAIT_SCENARIOS").map(PathBuf::from));
    if let Some(scenarios) = named {
        return detect::run(&scenarios, &binaries);
    }
    let mut cargo = process::cargo();
    cargo.args(["build", "--release", "--package", MEASURING, "--bin", "truth"]);
    process::run(cargo.current_dir(tree::root()))?;
    let mut measure = Command::new(tree::target().join("release/truth"));
    binaries.name_in(&mut measure);
    measure.args(["--duration", &args.duration.to_string()]);
    for model in &args.models {
        measure.args(["--model", model]);
    }
    for route in &args.routes {
        measure.args(["--route", route]);
    }
    if let Some(file) = &args.json {
        measure.arg("--json").arg(file);
    }
    let tables = process::output(&mut measure)?;
    println!("{tables}");
    if args.models.is_empty() && args.routes.is_empty() {
        let page = tree::root().join(PAGE);
        let text = fs::read_to_string(&page).with_context(|| format!("cannot read {PAGE}"))?;
        let measured = format!("{}\n{tables}", provenance(args.duration)?);
        fs::write(&page, between_markers(&text, &measured)?)
            .with_context(|| format!("cannot write {PAGE}"))?;
        println!("truth: {PAGE}: written");
    }
    Ok(())
}

/// The command and the machine.
fn provenance(duration: u32) -> Result<String> {
    let kernel =
        fs::read_to_string("/proc/sys/kernel/osrelease").context("cannot read the kernel's release")?;
    let date = process::output(Command::new("date").arg("+%F"))?;
    let cpus = std::thread::available_parallelism().context("cannot count the CPUs")?;
    Ok(format!(
        "Measured on {}, Linux {}, {cpus} CPUs, release build:\n\n```sh\ncargo xtask truth --duration {duration}\n```\n",
        date.trim(),
        kernel.trim(),
    ))
}

/// The page with what is between the markers replaced.
fn between_markers(page: &str, measured: &str) -> Result<String> {
    let parts = page.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let Some((before, after)) = parts else {
        bail!("{PAGE} has lost its markers: put the lines `{BEGIN}` and `{END}` where the tables belong");
    };
    Ok(format!("{before}{BEGIN}\n\n{measured}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What people have written around the tables stays.
    #[test]
    fn only_the_tables_are_replaced() {
        let page = format!("# Title\n\n{BEGIN}\nold\n{END}\n\n## Limits\n");
        let new = between_markers(&page, "new\n").unwrap();
        assert_eq!(new, format!("# Title\n\n{BEGIN}\n\nnew\n\n{END}\n\n## Limits\n"));
        assert_eq!(between_markers(&new, "new\n").unwrap(), new);
        assert!(between_markers("# Title\n", "new").is_err());
    }
}
