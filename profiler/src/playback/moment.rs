//! Moments of a recording as people write them, and as they read them.

use std::str::FromStr;

use thiserror::Error;

/// Nanoseconds of a second.
const SECOND: u64 = 1_000_000_000;
/// Seconds beyond which nothing is a moment of a recording: more than thirty years.
const MOST: u64 = 1_000_000_000;

/// A moment of a recording, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// So long after its beginning.
    FromBegin(u64),
    /// So long before its end.
    FromEnd(u64),
}

impl Moment {
    /// Nanoseconds since the beginning of a recording of this length; what lies outside becomes its beginning or its end.
    pub fn within(self, length: u64) -> u64 {
        match self {
            Self::FromBegin(nanos) => nanos.min(length),
            Self::FromEnd(nanos) => length.saturating_sub(nanos),
        }
    }
}

/// A text that is no moment.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is no time: write 12.5 (seconds), 1:03, 1:02:03, or -5s for that long before the end")]
pub struct MomentError(String);

impl FromStr for Moment {
    type Err = MomentError;

    /// Reads `12.5`, `12.5s`, `1:03`, `1:02:03.5`; with a minus in front it counts from the end.
    fn from_str(text: &str) -> Result<Self, MomentError> {
        let wrong = || MomentError(text.to_owned());
        let trimmed = text.trim();
        let (from_end, number) = match trimmed.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, trimmed),
        };
        let nanos = nanos(number.strip_suffix('s').unwrap_or(number)).ok_or_else(wrong)?;
        Ok(if from_end { Self::FromEnd(nanos) } else { Self::FromBegin(nanos) })
    }
}

/// Hours, minutes and seconds, or less of them, in nanoseconds.
fn nanos(text: &str) -> Option<u64> {
    let mut parts = text.rsplit(':');
    let last = parts.next()?;
    let (whole, fraction) = last.split_once('.').unwrap_or((last, ""));
    let (mut below, mut unit) = (number(whole)?, 1);
    let mut sum = below;
    for (place, part) in parts.enumerate() {
        // A minute has no more than sixty of what stands behind it.
        if place >= 2 || below >= 60 {
            return None;
        }
        below = number(part)?;
        unit *= 60;
        sum += below * unit;
    }
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    // All of what was written must be digits, also what is less than a nanosecond.
    let fraction = number(&digits).filter(|_| fraction.chars().all(|letter| letter.is_ascii_digit()))?;
    (sum <= MOST).then(|| sum * SECOND + fraction)
}

/// A number of at most ten digits.
fn number(text: &str) -> Option<u64> {
    let is_one = (1..=10).contains(&text.len()) && text.chars().all(|letter| letter.is_ascii_digit());
    is_one.then(|| text.parse().ok()).flatten()
}

/// A moment as a clock shows it, to a tenth of a second: `0:12.3`, `1:02:03.0`.
pub fn clock_time(nanos: u64) -> String {
    let tenths = nanos / 100_000_000;
    let (seconds, tenth) = (tenths / 10, tenths % 10);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}.{tenth}")
    } else {
        format!("{minutes}:{seconds:02}.{tenth}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn what_people_write_is_read() {
        for (text, moment) in [
            ("12.5", Moment::FromBegin(12 * S + S / 2)),
            ("12.5s", Moment::FromBegin(12 * S + S / 2)),
            (" 0 ", Moment::FromBegin(0)),
            ("1:03", Moment::FromBegin(63 * S)),
            ("90:00", Moment::FromBegin(5_400 * S)),
            ("1:02:03.25", Moment::FromBegin(3_723 * S + S / 4)),
            ("-5s", Moment::FromEnd(5 * S)),
            ("-1:00", Moment::FromEnd(60 * S)),
        ] {
            assert_eq!(text.parse(), Ok(moment), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_told_what_would_be_one() {
        for text in
            ["", "-", "s", ":", "1:", ":5", "1:60", "1:2:3:4", "1:99:00", "soon", "1e3", "--5", "+5", "."]
        {
            let error = text.parse::<Moment>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{text}`")) && error.contains("1:03"), "{error}");
        }
        assert!("9999999999".parse::<Moment>().is_err());
    }

    #[test]
    fn what_lies_outside_becomes_an_end() {
        assert_eq!(Moment::FromBegin(7).within(5), 5);
        assert_eq!(Moment::FromEnd(7).within(5), 0);
        assert_eq!(Moment::FromEnd(2).within(5), 3);
    }

    proptest! {
        /// What is shown can be typed, and is the same moment to a tenth of a second.
        #[test]
        fn what_is_shown_is_read(nanos in 0..10_000_000_000_000_000_u64) {
            let read: Moment = clock_time(nanos).parse().unwrap();
            prop_assert_eq!(read.within(u64::MAX), nanos / 100_000_000 * 100_000_000);
        }

        #[test]
        fn no_text_harms(text in ".*") {
            let _read = text.parse::<Moment>();
        }
    }
}
