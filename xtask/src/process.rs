//! Running other programs, with failures told in one sentence.

use std::env;
use std::ffi::OsString;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The cargo that runs this task, so that inner calls use the same toolchain.
pub fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")))
}

/// Runs a command with this terminal as its input and output.
///
/// # Errors
/// When it cannot be started or does not succeed.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| cannot_start(command))?;
    if !status.success() {
        bail!("`{}` failed ({status}); what it printed above says why", shown(command));
    }
    Ok(())
}

/// Runs a command and returns its standard output; its standard error goes to this terminal.
///
/// # Errors
/// When it cannot be started, does not succeed, or prints something that is not UTF-8.
pub fn output(command: &mut Command) -> Result<String> {
    let out = captured(command.stderr(Stdio::inherit()))?;
    if !out.status.success() {
        bail!("`{}` failed ({}); what it printed above says why", shown(command), out.status);
    }
    String::from_utf8(out.stdout)
        .with_context(|| format!("`{}` printed something other than text", shown(command)))
}

/// Runs a command with no input and returns whatever came of it, failures included.
///
/// # Errors
/// When it cannot be started.
pub fn captured(command: &mut Command) -> Result<Output> {
    command.stdin(Stdio::null()).output().with_context(|| cannot_start(command))
}

/// The first `PATH` entry, or else cargo's bin folder, that holds an executable of this name.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let cargo_bin = crate::tree::cargo_home().ok().map(|home| home.join("bin"));
    env::split_paths(&path).chain(cargo_bin).map(|dir| dir.join(program)).find(|file| is_executable(file))
}

/// Whether this process has the rights of root.
pub fn is_root() -> bool {
    // The owner of a process's folder in /proc is its effective user.
    std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

/// Asks a child to end, and after `grace` makes it.
pub fn end(child: &mut Child, grace: Duration) {
    let deadline = Instant::now() + grace;
    let asked = Command::new("sh").args(["-c", &format!("kill -TERM {}", child.id())]).status();
    while asked.is_ok() && matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(10));
    }
    if matches!(child.try_wait(), Ok(None)) {
        // A child that has just ended by itself is as good as killed.
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn is_executable(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

fn cannot_start(command: &Command) -> String {
    format!(
        "cannot start {}: is it installed? `cargo xtask setup` installs what the tasks need",
        command.get_program().to_string_lossy()
    )
}

/// The command as one would type it, its program without the folder.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut line = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    for arg in command.get_args() {
        line.push(' ');
        line.push_str(&arg.to_string_lossy());
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A failed command is named as one would type it.
    #[test]
    fn failure_names_the_command() {
        let error = run(Command::new("sh").args(["-c", "exit 3"])).unwrap_err();
        assert!(error.to_string().starts_with("`sh -c exit 3` failed (exit status: 3)"), "{error}");
    }

    /// A program that does not exist leads to `setup`.
    #[test]
    fn missing_program_names_the_remedy() {
        let error = run(&mut Command::new("no-such-program-here")).unwrap_err();
        assert!(error.to_string().contains("cargo xtask setup"), "{error}");
    }

    #[test]
    fn find_sees_only_executables() {
        assert!(find("sh").is_some());
        assert!(find("no-such-program-here").is_none());
    }
}
