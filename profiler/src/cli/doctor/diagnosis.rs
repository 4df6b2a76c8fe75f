//! What was found, and the verdict. Pure.

use serde::Serialize;

use crate::{
    cli::privileges,
    platform::{
        caps::{Capability, Privileges},
        kernel::KernelFacts,
    },
};

/// What a check is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// The kernel and the privileges as a whole.
    Machine,
    /// Finding requests.
    Requests,
    /// When requests arrive.
    Arrival,
    /// What threads wait for.
    Waits,
    /// Locks inside the kernel.
    Locks,
    /// What is nice to know.
    Detail,
    /// What exists here and whywait does not need.
    Extras,
}

impl Group {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 7] =
        [Self::Machine, Self::Requests, Self::Arrival, Self::Waits, Self::Locks, Self::Detail, Self::Extras];

    /// For people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Machine => "Kernel and privileges",
            Self::Requests => "Requests: to find them, and the connections that they come on",
            Self::Arrival => "Arrival: when a request came, before anybody read it",
            Self::Waits => "Waits: what threads do and wait for",
            Self::Locks => "Locks inside the kernel",
            Self::Detail => "Detail",
            Self::Extras => "Not needed by whywait",
        }
    }
}

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is there and works.
    Available,
    /// It is not there or does not work.
    Missing,
    /// It was not tried: another one does its work, or an earlier failure left no way to try it.
    NotTried,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What it is about.
    pub group: Group,
    /// Its name: that of the hook, or of the fact.
    pub name: String,
    /// What it gives.
    pub gives: String,
    /// How it went.
    pub state: State,
    /// Whether `explain` needs it.
    pub required: bool,
    /// Why it is not available.
    pub why: Option<String>,
    /// What it takes to get it.
    pub takes: Option<String>,
    /// Capabilities that this process lacks for it.
    pub lacks: Vec<Capability>,
    /// What is lost without it, in few words, for the verdict.
    #[serde(skip)]
    pub lost: &'static str,
}

/// Everything that was found.
#[derive(Clone, Debug, Serialize)]
pub struct Diagnosis {
    /// Always `whywait.doctor/1`.
    pub schema: &'static str,
    /// Whether `explain` works here.
    pub works: bool,
    /// One sentence.
    pub verdict: String,
    /// The kernel.
    pub kernel: KernelFacts,
    /// The privileges.
    pub privileges: Privileges,
    /// Every check, by group.
    pub checks: Vec<Check>,
}

impl Diagnosis {
    /// Judges what was found.
    pub fn new(kernel: KernelFacts, privileges: Privileges, mut checks: Vec<Check>) -> Self {
        checks.sort_by_key(|check| Group::ALL.iter().position(|group| *group == check.group));
        let verdict = verdict(&checks);
        let works = failure(&checks).is_none();
        Self { schema: "whywait.doctor/1", works, verdict, kernel, privileges, checks }
    }
}

/// The first thing that is missing and that nothing works without.
fn failure(checks: &[Check]) -> Option<&Check> {
    checks.iter().find(|check| check.required && check.state == State::Missing)
}

fn verdict(checks: &[Check]) -> String {
    if let Some(failed) = failure(checks) {
        let why = failed.why.as_deref().unwrap_or("it is not available");
        let remedy = failed.takes.as_deref().map_or_else(String::new, |takes| format!("; {takes}"));
        return format!("whywait does not work here: {}: {why}{remedy}.", failed.name);
    }
    let missing = checks.iter().filter(|check| check.state == State::Missing && check.group != Group::Extras);
    let (mut lost, mut lacks, mut takes) = (Vec::new(), Vec::new(), Vec::new());
    for check in missing {
        push_new(&mut lost, check.lost);
        check.lacks.iter().for_each(|capability| push_new(&mut lacks, *capability));
        if check.lacks.is_empty()
            && let Some(remedy) = &check.takes
        {
            push_new(&mut takes, remedy.clone());
        }
    }
    if lost.is_empty() {
        return "whywait works here, with everything.".to_owned();
    }
    if !lacks.is_empty() {
        lacks.sort();
        takes.push(format!("{}, or root, would give it", privileges::names(&lacks)));
    }
    let remedy = if takes.is_empty() { String::new() } else { format!("; {}", takes.join("; ")) };
    format!("whywait works here, but without {}{remedy}.", listed(&lost))
}

fn push_new<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}

/// `a, b and c`.
fn listed(items: &[&str]) -> String {
    match items {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        _ => items.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, state: State, required: bool, lost: &'static str) -> Check {
        let takes = Some("it takes X".to_owned());
        let why = (state == State::Missing).then(|| "not found".to_owned());
        Check {
            group: Group::Detail,
            name: name.to_owned(),
            gives: String::new(),
            state,
            required,
            why,
            takes,
            lacks: Vec::new(),
            lost,
        }
    }

    #[test]
    fn the_verdict_says_what_is_lost_once() {
        let fine = check("a", State::Available, true, "the answer");
        assert_eq!(verdict(std::slice::from_ref(&fine)), "whywait works here, with everything.");
        let checks = [
            fine,
            check("b", State::Missing, false, "the accept"),
            check("c", State::Missing, false, "the accept"),
            check("d", State::NotTried, true, "the rest"),
            check("e", State::Missing, false, "its own cost"),
        ];
        assert_eq!(
            verdict(&checks),
            "whywait works here, but without the accept and its own cost; it takes X."
        );
        let mut checks = checks;
        checks[4].lacks = vec![Capability::SysAdmin];
        let expected = "whywait works here, but without the accept and its own cost; it takes X; CAP_SYS_ADMIN, or root, \
                        would give it.";
        assert_eq!(verdict(&checks), expected);
    }

    #[test]
    fn something_required_that_is_missing_decides() {
        let checks = [
            check("b", State::Missing, false, "the accept"),
            check("sched_switch", State::Missing, true, ""),
        ];
        assert_eq!(verdict(&checks), "whywait does not work here: sched_switch: not found; it takes X.");
    }
}
