//! What is compared.

use serde::{Serialize, Serializer};

use crate::clock::State;

/// A figure of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// The mean latency.
    Mean,
    /// The median of the latency.
    P50,
    /// 90 % are no slower.
    P90,
    /// 99 % are no slower.
    P99,
    /// 99.9 % are no slower.
    P999,
    /// The slowest.
    Max,
    /// Requests a second.
    Rate,
    /// Mean time in a state.
    State(State),
}

impl Metric {
    /// How many there are.
    pub const COUNT: usize = 7 + State::COUNT;

    /// Those of latency.
    pub const LATENCY: [Self; 6] = [Self::Mean, Self::P50, Self::P90, Self::P99, Self::P999, Self::Max];

    /// All of them, in the order in which they are numbered.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::LATENCY.into_iter().chain([Self::Rate]).chain(State::ALL.map(Self::State))
    }

    /// Its number, below [`COUNT`](Self::COUNT).
    pub fn number(self) -> usize {
        match self {
            Self::Mean => 0,
            Self::P50 => 1,
            Self::P90 => 2,
            Self::P99 => 3,
            Self::P999 => 4,
            Self::Max => 5,
            Self::Rate => 6,
            Self::State(state) => 7 + state as usize,
        }
    }

    /// Its name in the JSON contract and in conditions.
    pub fn id(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P99 => "p99",
            Self::P999 => "p999",
            Self::Max => "max",
            Self::Rate => "rate",
            Self::State(state) => state.id(),
        }
    }

    /// The share of requests that are no slower, of a quantile.
    pub fn quantile(self) -> Option<f64> {
        match self {
            Self::P50 => Some(0.5),
            Self::P90 => Some(0.9),
            Self::P99 => Some(0.99),
            Self::P999 => Some(0.999),
            Self::Mean | Self::Max | Self::Rate | Self::State(_) => None,
        }
    }
}

impl Serialize for Metric {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}
