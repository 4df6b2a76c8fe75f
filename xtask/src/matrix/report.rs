//! How the tests ended in the guests, as a table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

/// How one test ended on one kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// It held.
    Passed,
    /// It said that it cannot run there, and why.
    Skipped(String),
    /// It did not hold, and in which way.
    Failed(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::Skipped(why) => write!(f, "skipped ({why})"),
            Self::Failed(how) => write!(f, "failed ({how})"),
        }
    }
}

/// The verdicts of one kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// The kernel's release.
    pub release: String,
    /// What `whywait doctor` printed there.
    pub doctor: String,
    /// By the names of the tests.
    pub verdicts: BTreeMap<String, Verdict>,
}

impl Column {
    /// Whether any test failed.
    pub fn failed(&self) -> bool {
        self.verdicts.values().any(|verdict| matches!(verdict, Verdict::Failed(_)))
    }

    /// Takes over what a newer run says, and drops the tests that are not among `names`.
    pub fn add(&mut self, newer: &Self, names: &BTreeSet<String>) {
        self.doctor.clone_from(&newer.doctor);
        self.verdicts.extend(newer.verdicts.clone());
        self.verdicts.retain(|name, _| names.contains(name));
    }

    fn summary(&self) -> String {
        let count =
            |wanted: fn(&Verdict) -> bool| self.verdicts.values().filter(|verdict| wanted(verdict)).count();
        format!(
            "{}: {} passed, {} skipped, {} failed",
            self.release,
            count(|verdict| matches!(verdict, Verdict::Passed)),
            count(|verdict| matches!(verdict, Verdict::Skipped(_))),
            count(|verdict| matches!(verdict, Verdict::Failed(_))),
        )
    }
}

/// The test's index and verdict, when this line of a guest's console tells one.
pub fn parse(line: &str) -> Option<(usize, Verdict)> {
    let mut words = line.strip_prefix("GUEST_TEST ")?.splitn(3, ' ');
    let index = words.next()?.parse().ok()?;
    let status: i32 = words.next()?.parse().ok()?;
    let skip = words.next().unwrap_or_default().trim();
    let verdict = match status {
        0 if skip.is_empty() => Verdict::Passed,
        0 => Verdict::Skipped(skip.to_owned()),
        // What `timeout` ends with, after a signal and after a kill.
        124 | 137 => Verdict::Failed("not done in time".to_owned()),
        _ => Verdict::Failed(format!("status {status}")),
    };
    Some((index, verdict))
}

/// The table alone: a row for each test, a column for each kernel.
pub fn markdown(columns: &[Column]) -> String {
    let tests: BTreeSet<&String> = columns.iter().flat_map(|column| column.verdicts.keys()).collect();
    let mut table = String::from("| test |");
    for column in columns {
        let _ = write!(table, " {} |", column.release);
    }
    table.push_str("\n| --- |");
    table.push_str(&" --- |".repeat(columns.len()));
    for test in tests {
        let _ = write!(table, "\n| `{test}` |");
        for column in columns {
            let cell = column
                .verdicts
                .get(test)
                .map_or_else(|| "not run".to_owned(), |verdict| verdict.to_string().replace('|', "\\|"));
            let _ = write!(table, " {cell} |");
        }
    }
    table.push('\n');
    table
}

/// The whole of `docs/kernels.md`.
pub fn page(columns: &[Column]) -> String {
    let (mut summaries, mut doctors) = (String::new(), String::new());
    for column in columns {
        let _ = writeln!(summaries, "- {}", column.summary());
        let _ = write!(doctors, "\n### {}\n\n```text\n{}\n```\n", column.release, column.doctor);
    }
    format!("{INTRODUCTION}\n{summaries}\n{}{DIAGNOSES}{doctors}", markdown(columns))
}

const INTRODUCTION: &str = "\
# Kernels

whywait needs Linux 5.18 or later with BTF, on x86-64. Where a kernel has no socket tracepoints (before 6.3), socket
operations are taken from system calls and arrivals from `tcp_probe`; `sockets_by` of `explain --json` says which, and
`io_uring` is not seen then, as its operations are no system calls.

The continuous integration runs every test on the machine's own kernel. What follows was written by

```sh
cargo xtask setup --matrix
cargo xtask matrix
```

which boots Debian's kernels in virtual machines that see the host's files, and runs the tests of `tests/` in them, one at
a time, with at most 100 requests a load. The machines are emulated and 30 to 100 times slower than their host, so
nothing is said about absolute times there (`WHYWAIT_TEST_SLOW`): numbers of requests, states and switches are compared as
exactly as anywhere. Two rules are relaxed: time found outside of where it was planted has no upper limit, and planted wall
time may be found as CPU time, as far as the kernel says that the server was on a CPU. *Skipped* is what a test says itself
when it cannot run there, and why. Each verdict is that of the newest run of its test: `--kernel` and `--filter` run some
of them, and leave the others as they were.
";

const DIAGNOSES: &str = "\n## What `whywait doctor` says there\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_read_from_the_console() {
        assert_eq!(parse("GUEST_TEST 3 0 "), Some((3, Verdict::Passed)));
        let skipped = Verdict::Skipped("kernel tests: no socket tracepoints".to_owned());
        assert_eq!(parse("GUEST_TEST 4 0 kernel tests: no socket tracepoints"), Some((4, skipped)));
        assert_eq!(parse("GUEST_TEST 5 101 "), Some((5, Verdict::Failed("status 101".to_owned()))));
        assert_eq!(parse("GUEST_TEST 6 124 "), Some((6, Verdict::Failed("not done in time".to_owned()))));
        assert_eq!(parse("test a ... ok"), None);
    }

    #[test]
    fn table_has_a_row_for_each_test() {
        let column = |release: &str, two: Option<Verdict>| Column {
            release: release.to_owned(),
            doctor: String::new(),
            verdicts: [("k::one", Some(Verdict::Passed)), ("k::two", two)]
                .into_iter()
                .filter_map(|(name, verdict)| Some((name.to_owned(), verdict?)))
                .collect(),
        };
        let columns = [column("6.1", Some(Verdict::Skipped("a|b".to_owned()))), column("6.12", None)];
        let table = markdown(&columns);
        assert_eq!(
            table,
            "| test | 6.1 | 6.12 |\n| --- | --- | --- |\n| `k::one` | passed | passed |\n\
             | `k::two` | skipped (a\\|b) | not run |\n"
        );
        assert!(columns[0].summary().ends_with("1 passed, 1 skipped, 0 failed"));
    }

    /// A run of some tests leaves the others as they were; a test that was renamed does not stay under its old name.
    #[test]
    fn newer_verdicts_are_added() {
        let column = |verdicts: &[(&str, Verdict)], doctor: &str| Column {
            release: "6.1".to_owned(),
            doctor: doctor.to_owned(),
            verdicts: verdicts.iter().map(|(name, verdict)| ((*name).to_owned(), verdict.clone())).collect(),
        };
        let failed = || Verdict::Failed("status 101".to_owned());
        let mut kept = column(
            &[("k::one", failed()), ("k::two", Verdict::Passed), ("k::old", Verdict::Passed)],
            "before",
        );
        let names = ["k::one", "k::two", "k::three"].map(str::to_owned).into();
        kept.add(&column(&[("k::one", Verdict::Passed)], "now"), &names);
        assert_eq!(kept, column(&[("k::one", Verdict::Passed), ("k::two", Verdict::Passed)], "now"));
    }
}
