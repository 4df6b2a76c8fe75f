//! Ids, instants and sizes as types of their own, and how they are written for people.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Defines a newtype over an unsigned integer that prints, orders and serializes like that integer.
macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl From<$inner> for $name {
            fn from(value: $inner) -> Self {
                Self(value)
            }
        }
    };
}

quantity! {
    /// A thread, as the kernel numbers it (`task_struct.pid`; the "thread id" of user space).
    Tid(u32)
}

quantity! {
    /// A process, as user space numbers it (`task_struct.tgid`; the id of its first thread).
    Pid(u32)
}

quantity! {
    /// A logical CPU.
    CpuId(u32)
}

quantity! {
    /// An instant: nanoseconds of `CLOCK_MONOTONIC`, the clock of `bpf_ktime_get_ns`.
    Ns(u64)
}

quantity! {
    /// A number of bytes.
    Bytes(u64)
}

impl Ns {
    /// Nanoseconds from `earlier` to `self`; 0 where `earlier` is the later one, which clocks read on two CPUs
    /// can produce.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The instant `ns` nanoseconds later, at most the last one that exists.
    #[must_use]
    pub fn plus(self, ns: u64) -> Self {
        Self(self.0.saturating_add(ns))
    }
}

impl Pid {
    /// The first thread of this process, which has the same number.
    pub fn main_thread(self) -> Tid {
        Tid(self.0)
    }
}

/// Writes a time given in microseconds with three significant digits and the unit that fits: `640 µs`, `4.10 ms`,
/// `1.20 s`, `72.0 ns`. What is not a number is written `n/a`.
pub fn fmt_us(us: f64) -> String {
    if !us.is_finite() {
        return "n/a".to_owned();
    }
    if us == 0.0 {
        return "0 µs".to_owned();
    }
    let sign = if us < 0.0 { "-" } else { "" };
    // Rounding comes before the choice of the unit: 999.7 µs is 1.00 ms, not 1000 µs.
    let us = to_three_digits(us.abs());
    let (value, unit) = if us < 1.0 {
        (us * 1e3, "ns")
    } else if us < 1e3 {
        (us, "µs")
    } else if us < 1e6 {
        (us / 1e3, "ms")
    } else {
        (us / 1e6, "s")
    };
    format!("{sign}{} {unit}", three_digits(value))
}

/// Writes a share (1.0 is all of it) in percent: `71 %`, `8.2 %`, `<0.1 %`, `0 %`. What is not a number is written
/// `n/a`.
pub fn fmt_percent(share: f64) -> String {
    let percent = share * 100.0;
    let size = percent.abs();
    if !percent.is_finite() {
        "n/a".to_owned()
    } else if size == 0.0 {
        "0 %".to_owned()
    } else if size < 0.05 {
        "<0.1 %".to_owned()
    } else if size < 9.95 {
        format!("{percent:.1} %")
    } else {
        format!("{percent:.0} %")
    }
}

/// Writes a count with its thousands apart: `12,345`.
pub fn fmt_count(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Nanoseconds of a time as people write it: a number with `ns`, `us`, `ms` or `s`, such as `20ms` or `1.5 s`. `None` where it is
/// no such thing, or not from 1 ns to 11 days.
pub fn parse_time(text: &str) -> Option<u64> {
    let digits = text.find(|letter: char| letter != '.' && !letter.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim() {
        "ns" => 1.0,
        "us" | "µs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        _ => return None,
    };
    let nanos = number.parse::<f64>().ok()? * factor;
    (1.0..1e15).contains(&nanos).then(|| rounded(nanos))
}

/// To a whole number; 0 for less than that.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what is out of the type's range becomes its nearest value"
)]
pub fn rounded(value: f64) -> u64 {
    value.round() as u64
}

/// `value`, which is positive, rounded to three significant digits.
fn to_three_digits(value: f64) -> f64 {
    let scale = 10f64.powf(2.0 - value.log10().floor());
    let rounded = (value * scale).round() / scale;
    // The scale of numbers at the very ends of the type is not representable; they stay as they are.
    if rounded.is_finite() { rounded } else { value }
}

/// `value`, already rounded, with as many decimals as make three digits.
fn three_digits(value: f64) -> String {
    if value < 9.995 {
        format!("{value:.2}")
    } else if value < 99.95 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three significant digits in the unit that fits, also where rounding crosses into the next unit.
    #[test]
    fn times_have_three_digits() {
        for (us, text) in [
            (640.0, "640 µs"),
            (4100.0, "4.10 ms"),
            (1_200_000.0, "1.20 s"),
            (12_345.0, "12.3 ms"),
            (999.7, "1.00 ms"),
            (999_700.0, "1.00 s"),
            (0.072, "72.0 ns"),
            (0.0, "0 µs"),
            (9.999, "10.0 µs"),
            (-4100.0, "-4.10 ms"),
            (3_600_000_000.0, "3600 s"),
            (f64::NAN, "n/a"),
        ] {
            assert_eq!(fmt_us(us), text);
        }
        assert!(!fmt_us(f64::MAX).is_empty() && !fmt_us(f64::MIN_POSITIVE).is_empty());
    }

    /// Small shares keep a decimal, and a share that is not nothing is never written as nothing.
    #[test]
    fn percents_fit_their_size() {
        for (share, text) in [
            (0.71, "71 %"),
            (0.082, "8.2 %"),
            (0.0996, "10 %"),
            (0.0001, "<0.1 %"),
            (0.0, "0 %"),
            (1.0, "100 %"),
            (f64::INFINITY, "n/a"),
        ] {
            assert_eq!(fmt_percent(share), text);
        }
    }

    /// Groups of three, from the right.
    #[test]
    fn counts_have_separators() {
        for (count, text) in [(0, "0"), (999, "999"), (12_345, "12,345"), (1_234_567, "1,234,567")] {
            assert_eq!(fmt_count(count), text);
        }
    }

    /// A later "earlier" gives 0, and the end of time is a limit, not an overflow.
    #[test]
    fn instants_saturate() {
        assert_eq!(Ns(10).since(Ns(4)), 6);
        assert_eq!(Ns(4).since(Ns(10)), 0);
        assert_eq!(Ns(u64::MAX).plus(1), Ns(u64::MAX));
    }

    /// Ids serialize as plain numbers and order by them.
    #[test]
    fn ids_are_transparent() {
        assert_eq!(serde_json::to_string(&vec![Pid(7), Pid(9)]).unwrap(), "[7,9]");
        assert!(Pid(7) < Pid(9));
        assert_eq!(format!("{:>4}", Tid(42)), "  42");
        assert_eq!(Pid(7).main_thread(), Tid(7));
    }
}
