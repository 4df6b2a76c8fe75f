//! What makes a flight recorder write down what it holds: a latency, a finding. Told from snapshots.
//!
//! ```text
//! p50>5ms  p99>20ms  p99.9>1s    a quantile over the last five seconds
//! request>500ms                  a single request
//! finding=lock_contention        a cause that was found
//! ```

use std::{fmt, str::FromStr};

use thiserror::Error;

use super::{Latencies, Snapshot};
use crate::{
    explain::Id as FindingId,
    units::{Ns, fmt_us, parse_time},
};

/// Buckets over which a quantile is taken: five seconds.
const BUCKETS: usize = 10;
/// Requests from which on there is a quantile, unless it takes more: one request is no 99th percentile.
const FEWEST: u64 = 20;

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub enum Trigger {
    /// A quantile of the latency is longer.
    Quantile {
        /// Which, in percent.
        percent: f64,
        /// Than so many nanoseconds.
        than: u64,
    },
    /// A request takes longer than so many nanoseconds.
    Request {
        /// Nanoseconds.
        than: u64,
    },
    /// A cause is found.
    Finding(FindingId),
}

/// No condition.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum TriggerError {
    /// It is none of the forms.
    #[error("`{0}` is no trigger: write `p99>20ms`, `request>500ms` or `finding=lock_contention`")]
    Form(String),
    /// The quantile is none.
    #[error("`{0}` is no quantile: write p50, p90, p99 or p99.9")]
    Quantile(String),
    /// The time is none.
    #[error("`{0}` is no time: write a number with ns, us, ms or s, such as 20ms")]
    Time(String),
    /// There is no such finding.
    #[error("there is no finding `{found}`; there are {known}")]
    Finding {
        /// What was written.
        found: String,
        /// All there are.
        known: String,
    },
}

impl FromStr for Trigger {
    type Err = TriggerError;

    fn from_str(text: &str) -> Result<Self, TriggerError> {
        if let Some((what, id)) = text.split_once('=') {
            if what.trim() != "finding" {
                return Err(TriggerError::Form(text.to_owned()));
            }
            return finding(id.trim()).map(Self::Finding);
        }
        let (what, than) = text.split_once('>').ok_or_else(|| TriggerError::Form(text.to_owned()))?;
        let what = what.trim();
        if what == "request" {
            return Ok(Self::Request { than: nanos(than.trim())? });
        }
        let percent = what.strip_prefix('p').ok_or_else(|| TriggerError::Form(text.to_owned()))?;
        let percent: f64 = match percent {
            "999" => 99.9,
            percent => percent.parse().map_err(|_| TriggerError::Quantile(what.to_owned()))?,
        };
        if !(1.0..100.0).contains(&percent) {
            return Err(TriggerError::Quantile(what.to_owned()));
        }
        Ok(Self::Quantile { percent, than: nanos(than.trim())? })
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quantile { percent, than } => write!(f, "p{percent}>{}", fmt_us(*than as f64 / 1e3)),
            Self::Request { than } => write!(f, "request>{}", fmt_us(*than as f64 / 1e3)),
            Self::Finding(id) => write!(f, "finding={}", id.id()),
        }
    }
}

fn finding(id: &str) -> Result<FindingId, TriggerError> {
    FindingId::ALL.into_iter().find(|known| known.id() == id).ok_or_else(|| TriggerError::Finding {
        found: id.to_owned(),
        known: FindingId::ALL.map(FindingId::id).join(", "),
    })
}

fn nanos(text: &str) -> Result<u64, TriggerError> {
    parse_time(text).ok_or_else(|| TriggerError::Time(text.to_owned()))
}

/// A condition that is waited for. Once it is met it must end before it can be met again.
#[derive(Clone, Debug)]
pub struct Armed {
    trigger: Trigger,
    met: bool,
    /// Up to here requests have been looked at.
    seen: Ns,
    /// The window that was looked at last.
    explained: Ns,
}

impl Armed {
    /// Waits for a condition.
    pub fn new(trigger: Trigger) -> Self {
        Self { trigger, met: false, seen: Ns(0), explained: Ns(0) }
    }

    /// Looks at a snapshot; why it is time to write, if it is.
    pub fn look(&mut self, snapshot: &Snapshot) -> Option<String> {
        let why = match &self.trigger {
            Trigger::Quantile { percent, than } => {
                let mut latencies = Latencies::default();
                snapshot.buckets.iter().rev().take(BUCKETS).for_each(|b| latencies.merge(&b.sums.latencies));
                let enough =
                    latencies.count() >= FEWEST && latencies.count() as f64 * (100.0 - percent) >= 100.0;
                let time = latencies.quantile(percent / 100.0);
                (enough && time > *than as f64).then(|| fmt_us(time / 1e3))
            }
            Trigger::Request { than } => {
                // The last bucket goes on: it is looked at again when there is a longer one in it.
                let fresh = snapshot.buckets.iter().filter(|bucket| bucket.begin >= self.seen);
                let longest = fresh.map(|bucket| bucket.sums.requests.max).max().unwrap_or(0);
                self.met = false;
                if longest > *than
                    && let Some(last) = snapshot.buckets.last()
                {
                    self.seen = last.begin.plus(1);
                }
                (longest > *than).then(|| fmt_us(longest as f64 / 1e3))
            }
            Trigger::Finding(id) => {
                let explanation =
                    snapshot.explanation.as_ref().filter(|_| snapshot.explained > self.explained)?;
                self.explained = snapshot.explained;
                let found = explanation.findings.iter().find(|finding| finding.id == *id);
                found.map(|finding| finding.summary.trim_end_matches('.').to_owned())
            }
        };
        let before = std::mem::replace(&mut self.met, why.is_some());
        why.filter(|_| !before).map(|why| format!("{}: {why}", self.trigger))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{clock::StateTimes, live::Bucket};

    const MS: u64 = 1_000_000;

    #[test]
    fn what_is_written_is_read() {
        for (text, trigger) in [
            ("p99>20ms", Trigger::Quantile { percent: 99.0, than: 20 * MS }),
            ("p99.9 > 1.5s", Trigger::Quantile { percent: 99.9, than: 1_500 * MS }),
            ("request>500ms", Trigger::Request { than: 500 * MS }),
            ("request>250us", Trigger::Request { than: 250_000 }),
            ("finding=lock_contention", Trigger::Finding(FindingId::LockContention)),
        ] {
            let read: Trigger = text.parse().unwrap();
            assert_eq!(read, trigger);
            assert_eq!(read.to_string().replace(' ', "").parse(), Ok(trigger), "{read}");
        }
    }

    #[test]
    fn what_is_no_trigger_is_told_what_would_be_one() {
        let error = |text: &str| text.parse::<Trigger>().unwrap_err().to_string();
        assert!(error("latency").contains("write `p99>20ms`"));
        assert!(error("p99<20ms").contains("is no trigger"));
        assert!(error("p0>20ms").contains("is no quantile") && error("px>1s").contains("is no quantile"));
        assert!(error("p99>20").contains("such as 20ms") && error("request>ms").contains("such as 20ms"));
        assert!(error("request>0ms").contains("is no time") && error("p99>-1ms").contains("is no time"));
        assert!(error("finding=bad_luck").contains("there are lock_contention, gil_contention"));
        assert!(error("cause=lock_contention").contains("is no trigger"));
    }

    /// A snapshot whose buckets have requests of these latencies.
    fn snapshot(buckets: &[&[u64]]) -> Snapshot {
        let bucket = |(number, latencies): (u32, &&[u64])| {
            let mut bucket = Bucket::new(number, Ns(u64::from(number) * 500 * MS));
            for latency in *latencies {
                bucket.sums.requests.add(*latency, &StateTimes::default());
                bucket.sums.latencies.add(*latency);
            }
            Arc::new(bucket)
        };
        Snapshot { buckets: (0..).zip(buckets).map(bucket).collect(), ..Snapshot::default() }
    }

    #[test]
    fn a_condition_that_lasts_is_met_once() {
        let mut armed = Armed::new("p90>20ms".parse().unwrap());
        let (slow, fast) = ([30 * MS; 30], [MS; 600]);
        assert_eq!(armed.look(&snapshot(&[&fast])), None);
        assert!(armed.look(&snapshot(&[&slow])).is_some_and(|why| why.starts_with("p90>20.0 ms: ")));
        assert_eq!(armed.look(&snapshot(&[&slow, &slow])), None);
        assert_eq!(armed.look(&snapshot(&[&slow, &slow, &fast])), None);
        assert!(armed.look(&snapshot(&[&slow])).is_some());
    }

    #[test]
    fn few_requests_have_no_quantile() {
        let mut armed = Armed::new("p90>20ms".parse().unwrap());
        assert_eq!(armed.look(&snapshot(&[&[30 * MS; 19]])), None);
        assert!(armed.look(&snapshot(&[&[30 * MS; 20]])).is_some());
    }

    #[test]
    fn a_slow_request_is_told_once() {
        let mut armed = Armed::new("request>20ms".parse().unwrap());
        assert_eq!(armed.look(&snapshot(&[&[MS]])), None);
        assert!(armed.look(&snapshot(&[&[MS], &[30 * MS]])).is_some());
        assert_eq!(armed.look(&snapshot(&[&[MS], &[30 * MS], &[MS]])), None);
        assert!(armed.look(&snapshot(&[&[MS], &[30 * MS], &[MS], &[40 * MS]])).is_some());
    }
}
