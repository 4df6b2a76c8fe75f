//! From the clock of the records to the clock on the wall.

use crate::{recording::Preamble, units::Ns};

const DAY: u64 = 86_400;
const SECOND: u64 = 1_000_000_000;

/// Two readings of the same moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WallClock {
    monotonic: Ns,
    unix: u64,
}

impl WallClock {
    /// Two readings of the same moment: of the clock of the records, and in nanoseconds since 1970.
    pub fn new(monotonic: Ns, unix: u64) -> Self {
        Self { monotonic, unix }
    }

    /// The clock of a recording.
    pub fn of(preamble: &Preamble) -> Self {
        Self { monotonic: Ns(preamble.began_monotonic_ns), unix: preamble.began_unix_ns }
    }

    /// Nanoseconds since 1970; 0 for what lies before.
    pub fn unix(&self, at: Ns) -> u64 {
        if at >= self.monotonic {
            self.unix.saturating_add(at.since(self.monotonic))
        } else {
            self.unix.saturating_sub(self.monotonic.since(at))
        }
    }

    /// Date and time of day in UTC, as in RFC 3339, to the nanosecond.
    pub fn rfc3339(&self, at: Ns) -> String {
        let unix = self.unix(at);
        let (seconds, nanos) = (unix / SECOND, unix % SECOND);
        let (year, month, day) = date(seconds / DAY);
        let of_day = seconds % DAY;
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
    }
}

/// Year, month and day of a day since 1970, in the Gregorian calendar: years are counted from March, so that a leap day is the last of its
/// year, in eras of 400 years, which have 146 097 days each.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_its_date() {
        let clock = WallClock { monotonic: Ns(5_000), unix: 1_709_251_199_999_999_999 };
        assert_eq!(clock.rfc3339(Ns(5_000)), "2024-02-29T23:59:59.999999999Z");
        assert_eq!(clock.rfc3339(Ns(5_001)), "2024-03-01T00:00:00.000000000Z");
        assert_eq!(clock.unix(Ns(4_000)), 1_709_251_199_999_998_999);
        assert_eq!(WallClock::default().rfc3339(Ns(0)), "1970-01-01T00:00:00.000000000Z");
    }

    /// Each day is the one after the day before, over four centuries.
    #[test]
    fn days_follow_each_other() {
        let mut before = date(0);
        for day in 1..146_097 {
            let (year, month, of_month) = date(day);
            let next_day = (year, month, of_month) == (before.0, before.1, before.2 + 1);
            let next_month = (year, month, of_month) == (before.0, before.1 + 1, 1);
            let next_year = (year, month, of_month) == (before.0 + 1, 1, 1) && before.1 == 12;
            assert!(next_day || next_month || next_year);
            before = (year, month, of_month);
        }
        assert_eq!(before, (2369, 12, 31));
    }
}
