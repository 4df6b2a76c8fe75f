//! Which tests there are, and the script that runs them in a guest.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::test::{Binaries, MEASURING, SKIP_LOG};
use crate::{process, tree};

/// Requests per measurement in an emulated guest, which does a hundredth of the host's rate.
const GUEST_REQUESTS: u32 = 100;

/// What the script says before what `whywait doctor` prints.
pub const DOCTOR: &str = "GUEST_DOCTOR";
/// What it says after that, and before the tests.
pub const READY: &str = "GUEST_READY";

/// One test of one compiled test program.
pub struct Test {
    program: PathBuf,
    target: String,
    function: String,
}

impl Test {
    /// Its name among those of all test programs.
    pub fn name(&self) -> String {
        format!("{}::{}", self.target, self.function)
    }
}

/// A line of `cargo test --no-run --message-format=json`, as far as it matters here.
#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    executable: Option<PathBuf>,
    #[serde(default)]
    target: Option<Target>,
    #[serde(default)]
    profile: Option<Profile>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

#[derive(Deserialize)]
struct Profile {
    /// Built to run its tests, unlike a program that those start.
    test: bool,
}

/// Compiles the test programs and asks each for its tests; ignored ones are left out.
///
/// # Errors
/// When they do not compile or cannot be asked.
pub fn list() -> Result<Vec<Test>> {
    let mut cargo = process::cargo();
    cargo.args(["test", "--package", MEASURING, "--no-run", "--message-format=json-render-diagnostics"]);
    let messages = process::output(cargo.current_dir(tree::root()))?;
    let mut tests = Vec::new();
    for (target, program) in test_programs(&messages) {
        let ignored = functions(&program, &["--ignored"])?;
        for function in functions(&program, &[])? {
            if !ignored.contains(&function) {
                tests.push(Test { program: program.clone(), target: target.clone(), function });
            }
        }
    }
    tests.sort_by_key(Test::name);
    Ok(tests)
}

/// The test programs that cargo says it has built, with the names of their targets.
fn test_programs(messages: &str) -> Vec<(String, PathBuf)> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter(|message| message.profile.as_ref().is_some_and(|profile| profile.test))
        .filter_map(|message| Some((message.target?.name, message.executable?)))
        .collect()
}

fn functions(program: &Path, more: &[&str]) -> Result<Vec<String>> {
    let mut command = Command::new(program);
    command.args(["--list", "--format", "terse"]).args(more);
    let listing = process::output(&mut command)
        .with_context(|| format!("cannot list the tests of {}", program.display()))?;
    Ok(listing.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
}

/// Runs the tests from the `first` on and says after each, on a line of its own, how it ended.
///
/// # Errors
/// When there is no place for the cache, in which the host's run of the tests has put Gunicorn.
pub fn script(tests: &[Test], first: usize, binaries: &Binaries, limit: Duration) -> Result<String> {
    let mut script = format!(
        "export WHYWAIT_BIN={} DEMO_SERVERS_BIN={} WHYWAIT_TEST_REQUESTS={GUEST_REQUESTS} WHYWAIT_TEST_SLOW=1 \
         WHYWAIT_TEST_CACHE={}\ncd {}\necho {DOCTOR}\n\"$WHYWAIT_BIN\" doctor\necho {READY}\n",
        quoted(&binaries.whywait().to_string_lossy()),
        quoted(&binaries.demo_servers().to_string_lossy()),
        quoted(&tree::cache("")?.to_string_lossy()),
        quoted(&tree::root().join("tests").to_string_lossy()),
    );
    for (index, test) in tests.iter().enumerate().skip(first) {
        let program = quoted(&test.program.to_string_lossy());
        let function = quoted(&test.function);
        let seconds = limit.as_secs();
        // Writing to a String cannot fail.
        let _ = write!(
            script,
            "export {SKIP_LOG}=/run/skipped.{index}\n\
             timeout --kill-after=10 {seconds} {program} --exact {function} --test-threads=1 </dev/null\n\
             status=$?; echo; echo \"GUEST_TEST {index} $status $(head -n 1 ${SKIP_LOG} 2>/dev/null)\"\n"
        );
    }
    Ok(script)
}

/// A word as the shell takes it literally.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_read_from_cargo() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"name":"serde"},"executable":null}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"name":"server"},"profile":{"test":false},"executable":"/t/server"}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"name":"kernel"},"profile":{"test":true},"executable":"/t/kernel-1"}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        assert_eq!(test_programs(messages), [("kernel".to_owned(), PathBuf::from("/t/kernel-1"))]);
    }

    #[test]
    fn quotes_are_quoted() {
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
