//! What must not happen, for a gate: `p99>+10%`, `sleep>+2ms`, `rate<-5%`.

use std::{fmt, str::FromStr};

use serde::Serialize;
use thiserror::Error;

use super::{Change, Metric};
use crate::units::{fmt_us, parse_time};

/// By how much.
#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    /// Percent of what it was before.
    Percent(f64),
    /// Microseconds.
    Time(f64),
    /// Requests a second.
    Rate(f64),
}

/// A condition of failure.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// What is looked at.
    pub metric: Metric,
    /// Whether it must not fall, rather than rise.
    falls: bool,
    by: By,
}

/// No condition.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConditionError {
    /// It has not the form of one.
    #[error("`{0}` is no condition: write `p99>+10%`, `mean>+2ms` or `rate<-5%`")]
    Form(String),
    /// There is no such metric.
    #[error("there is no metric `{found}`; there are {known}")]
    Metric {
        /// What was written.
        found: String,
        /// All there are.
        known: String,
    },
    /// The amount is none for this metric.
    #[error("`{amount}` is no change of {metric}: write {write}")]
    Amount {
        /// What was written.
        amount: String,
        /// Of what.
        metric: &'static str,
        /// What would be one.
        write: &'static str,
    },
}

impl FromStr for Condition {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let form = || ConditionError::Form(text.to_owned());
        let at = text.find(['<', '>']).ok_or_else(form)?;
        let (name, rest) = text.split_at(at);
        let falls = rest.starts_with('<');
        let amount = rest[1..].trim().strip_prefix(if falls { '-' } else { '+' }).ok_or_else(form)?.trim();
        let name = name.trim();
        let metric = Metric::all().find(|metric| metric.id() == if name == "p99.9" { "p999" } else { name });
        let metric = metric.ok_or_else(|| ConditionError::Metric {
            found: name.to_owned(),
            known: Metric::all().map(Metric::id).collect::<Vec<_>>().join(", "),
        })?;
        Ok(Self { metric, falls, by: by(metric, amount)? })
    }
}

fn by(metric: Metric, amount: &str) -> Result<By, ConditionError> {
    let number = |text: &str| {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        text.parse::<f64>().ok().filter(|value| plain && value.is_finite())
    };
    let is_rate = metric == Metric::Rate;
    let read = match amount.strip_suffix('%') {
        Some(percent) => number(percent.trim()).map(By::Percent),
        None if is_rate => number(amount).map(By::Rate),
        None => parse_time(amount).map(|nanos| By::Time(nanos as f64 / 1e3)),
    };
    read.ok_or_else(|| ConditionError::Amount {
        amount: amount.to_owned(),
        metric: metric.id(),
        write: if is_rate {
            "a number of requests a second, or percent, such as 100 or 10%"
        } else {
            "a time or percent, such as 2ms or 10%"
        },
    })
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.metric.id(), if self.falls { "<-" } else { ">+" })?;
        match self.by {
            By::Percent(percent) => write!(f, "{percent}%"),
            By::Time(us) => f.write_str(&fmt_us(us).replace(' ', "")),
            By::Rate(rate) => write!(f, "{rate}"),
        }
    }
}

/// What became of a condition.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// The condition.
    pub condition: String,
    /// The change is larger than it allows.
    pub exceeded: bool,
    /// The change is more than noise; nothing where there is too little to tell.
    pub more_than_noise: Option<bool>,
    /// Both.
    pub failed: bool,
}

impl Verdict {
    /// The verdict in words, behind the condition.
    pub fn words(&self) -> &'static str {
        match (self.exceeded, self.more_than_noise) {
            (false, _) => "passed: the change is within it",
            (true, Some(true)) => "failed: the change exceeds it, and is more than noise",
            (true, Some(false)) => "passed: the change exceeds it, but is no more than noise",
            (true, None) => {
                "passed: the change exceeds it, but there are too few requests to tell it from noise"
            }
        }
    }
}

impl Condition {
    /// Looks at the change of its metric.
    pub fn look(&self, change: &Change) -> Verdict {
        let difference = if self.falls { -change.difference } else { change.difference };
        let exceeded = match self.by {
            By::Percent(percent) => difference > change.before * percent / 100.0,
            By::Time(amount) | By::Rate(amount) => difference > amount,
        };
        Verdict {
            condition: self.to_string(),
            exceeded,
            more_than_noise: change.more_than_noise,
            failed: exceeded && change.more_than_noise == Some(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::State;

    #[test]
    fn what_is_written_is_read() {
        for (text, metric, falls, by) in [
            ("p99>+10%", Metric::P99, false, By::Percent(10.0)),
            ("p99.9 > +1.5 %", Metric::P999, false, By::Percent(1.5)),
            ("mean>+2ms", Metric::Mean, false, By::Time(2000.0)),
            ("sleep<-250us", Metric::State(State::Sleep), true, By::Time(250.0)),
            ("rate<-5%", Metric::Rate, true, By::Percent(5.0)),
            ("rate<-100", Metric::Rate, true, By::Rate(100.0)),
        ] {
            let condition: Condition = text.parse().unwrap();
            assert_eq!(condition, Condition { metric, falls, by }, "{text}");
            assert_eq!(condition.to_string().parse(), Ok(condition));
        }
    }

    #[test]
    fn what_is_no_condition_is_told_what_would_be_one() {
        let error = |text: &str| text.parse::<Condition>().unwrap_err().to_string();
        for text in ["p99", "p99>10%", "p99>-10%", "p99<+10%", "", ">"] {
            assert!(error(text).contains("is no condition: write `p99>+10%`"), "{text}: {}", error(text));
        }
        assert!(error("p98>+10%").contains("no metric `p98`; there are mean, p50"));
        assert!(
            error("p99>+10").contains("such as 2ms or 10%") && error("p99>+NaN%").contains("is no change")
        );
        assert!(error("mean>+inf%").contains("is no change") && error("mean>+-2ms").contains("is no change"));
        assert!(error("rate<-2ms").contains("requests a second"));
    }

    fn change(before: f64, after: f64, more_than_noise: Option<bool>) -> Change {
        Change { before, after, difference: after - before, more_than_noise, ..Change::default() }
    }

    #[test]
    fn only_what_is_too_large_and_more_than_noise_fails() {
        let failed = |text: &str, change: Change| text.parse::<Condition>().unwrap().look(&change).failed;
        assert!(failed("p99>+10%", change(100.0, 111.0, Some(true))));
        assert!(!failed("p99>+10%", change(100.0, 111.0, Some(false))));
        assert!(!failed("p99>+10%", change(100.0, 111.0, None)));
        assert!(!failed("p99>+10%", change(100.0, 109.0, Some(true))));
        assert!(!failed("p99>+10%", change(100.0, 10.0, Some(true))));
        assert!(failed("rate<-5%", change(100.0, 94.0, Some(true))));
        assert!(failed("lock>+10%", change(0.0, 1.0, Some(true))), "there was none before");
        assert!(failed("mean>+2ms", change(100.0, 2101.0, Some(true))));
    }
}
