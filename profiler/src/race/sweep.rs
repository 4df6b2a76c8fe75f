//! One setting with several values: where more of it makes a server slower.

use std::{fmt, str::FromStr};

use serde::Serialize;

/// What can be swept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Knob {
    /// Threads of the server's pool.
    Threads,
    /// Processes of the server.
    Workers,
    /// Connections of the load generator.
    Connections,
}

impl Knob {
    const ALL: [Self; 3] = [Self::Threads, Self::Workers, Self::Connections];

    /// Its name, that of the option.
    pub fn id(self) -> &'static str {
        match self {
            Self::Threads => "threads",
            Self::Workers => "workers",
            Self::Connections => "connections",
        }
    }

    /// The most that the servers and the load generator take.
    fn most(self) -> u16 {
        match self {
            Self::Threads => 4096,
            Self::Workers => 1024,
            Self::Connections => 16384,
        }
    }
}

/// A value of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// The setting.
    pub option: Knob,
    /// Its value.
    pub value: u16,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.option.id(), self.value)
    }
}

/// `threads=1,2,4`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sweep {
    option: Knob,
    values: Vec<u16>,
}

/// The text is not a sweep.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadSweep {
    /// No such setting.
    #[error("`{0}` cannot be swept: write threads=1,2,4, workers=1,2,4 or connections=8,32,128")]
    Option(String),
    /// Not a number, or out of range.
    #[error("`{value}` is not a number of {} from 1 to {}", .option.id(), .option.most())]
    Value {
        /// The setting.
        option: Knob,
        /// The text.
        value: String,
    },
}

impl Sweep {
    /// What is swept.
    pub fn option(&self) -> Knob {
        self.option
    }

    /// The settings, in the order in which they were given.
    pub fn settings(&self) -> impl Iterator<Item = Setting> {
        self.values.iter().map(|&value| Setting { option: self.option, value })
    }
}

impl FromStr for Sweep {
    type Err = BadSweep;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadSweep::Option(text.to_owned());
        let (name, list) = text.split_once('=').ok_or_else(bad)?;
        let option = Knob::ALL.into_iter().find(|knob| knob.id() == name).ok_or_else(bad)?;
        let value = |text: &str| {
            let value = text.trim().parse().ok().filter(|value| (1..=option.most()).contains(value));
            value.ok_or_else(|| BadSweep::Value { option, value: text.to_owned() })
        };
        let mut values = Vec::new();
        for value in list.split(',').map(value) {
            let value = value?;
            if !values.contains(&value) {
                values.push(value);
            }
        }
        Ok(Self { option, values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_order_and_come_once() {
        let sweep: Sweep = "threads=1, 16,4,16".parse().unwrap();
        let settings: Vec<String> = sweep.settings().map(|setting| setting.to_string()).collect();
        assert_eq!(settings, ["threads=1", "threads=16", "threads=4"]);
        assert_eq!("connections=8".parse::<Sweep>().unwrap().option(), Knob::Connections);
    }

    #[test]
    fn what_is_no_sweep_is_told_with_what_would_be_one() {
        for text in ["threads", "queue=1,2", "=1", ""] {
            let error = text.parse::<Sweep>().unwrap_err().to_string();
            assert!(error.contains("write threads=1,2,4"), "{error}");
        }
        for text in ["workers=", "workers=0", "workers=1,,2", "workers=two", "workers=1025"] {
            let error = text.parse::<Sweep>().unwrap_err().to_string();
            assert!(error.contains("is not a number of workers from 1 to 1024"), "{error}");
        }
    }
}
