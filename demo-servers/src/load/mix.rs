//! Which of several URLs is asked for next.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::url::{BadUrl, Url};
use crate::rng::SplitMix64;

/// A URL and how often it is asked for, relative to the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WeightedUrl {
    /// What is asked for.
    pub url: Url,
    /// How often; without weights there is no chance.
    pub weight: Option<u32>,
}

/// The text is not such a URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadWeightedUrl {
    /// Nothing that can be asked for.
    #[error(transparent)]
    Url(#[from] BadUrl),
    /// The part before the URL.
    #[error("{0:?} is not a weight: write a number from 1 to 1000000 and `@` before the URL")]
    Weight(String),
}

impl From<Url> for WeightedUrl {
    fn from(url: Url) -> Self {
        Self { url, weight: None }
    }
}

impl FromStr for WeightedUrl {
    type Err = BadWeightedUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((weight, _)) = text.split_once("@http://") else {
            return Ok(Self { url: text.parse()?, weight: None });
        };
        let url = text[weight.len() + 1..].parse()?;
        match weight.parse() {
            Ok(number @ 1..=1_000_000) => Ok(Self { url, weight: Some(number) }),
            _ => Err(BadWeightedUrl::Weight(weight.to_owned())),
        }
    }
}

impl TryFrom<String> for WeightedUrl {
    type Error = BadWeightedUrl;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<WeightedUrl> for String {
    fn from(url: WeightedUrl) -> Self {
        url.to_string()
    }
}

impl fmt::Display for WeightedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.weight {
            Some(weight) => write!(f, "{weight}@{}", self.url),
            None => self.url.fmt(f),
        }
    }
}

/// Picks the place of a URL in the list.
#[derive(Debug)]
pub(super) enum Picker {
    /// One after the other.
    InTurn {
        /// The place of the next one.
        next: usize,
        /// How many there are.
        count: usize,
    },
    /// By chance.
    Drawn {
        /// Where the chance comes from.
        rng: SplitMix64,
        /// For each URL the sum of its weight and those before it.
        up_to: Vec<u64>,
    },
}

impl Picker {
    /// For these URLs, drawn with this seed if one is given or any of them has a weight.
    pub(super) fn new(urls: &[WeightedUrl], at_random: bool, seed: u64) -> Self {
        if !at_random && urls.iter().all(|url| url.weight.is_none()) {
            return Self::InTurn { next: 0, count: urls.len() };
        }
        let up_to = urls.iter().scan(0, |sum, url| {
            *sum += u64::from(url.weight.unwrap_or(1));
            Some(*sum)
        });
        // Not the stream that the arrivals are drawn from.
        Self::Drawn { rng: SplitMix64::new(!seed), up_to: up_to.collect() }
    }

    /// The next one's place.
    pub(super) fn next(&mut self) -> usize {
        match self {
            Self::InTurn { next, count } => {
                let picked = *next;
                *next = (picked + 1) % *count;
                picked
            }
            Self::Drawn { rng, up_to } => {
                let drawn = rng.below(up_to.last().copied().unwrap_or_default());
                up_to.partition_point(|&sum| sum <= drawn)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(texts: &[&str]) -> Vec<WeightedUrl> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn weights_are_read() {
        let list = urls(&["8@http://h/a", "http://h/b?x=1@2"]);
        assert_eq!((list[0].weight, list[0].url.target()), (Some(8), "/a"));
        assert_eq!((list[1].weight, list[1].to_string().as_str()), (None, "http://h/b?x=1@2"));
        assert_eq!(list[0].to_string(), "8@http://h/a");
        for bad in ["0@http://h/", "x@http://h/", "1000001@http://h/", "@http://h/", "3@https://h/"] {
            assert!(bad.parse::<WeightedUrl>().is_err(), "{bad}");
        }
    }

    /// Without weights in turn; with them as often as they say, and the same for the same seed.
    #[test]
    fn picks_by_weight() {
        let mut in_turn = Picker::new(&urls(&["http://h/a", "http://h/b"]), false, 1);
        assert_eq!([0; 4].map(|_| in_turn.next()), [0, 1, 0, 1]);
        let weighted = urls(&["8@http://h/a", "1@http://h/b", "http://h/c"]);
        let draw = |seed| {
            let mut picker = Picker::new(&weighted, false, seed);
            (0..10_000).map(|_| picker.next()).collect::<Vec<_>>()
        };
        let drawn = draw(7);
        assert!(drawn == draw(7) && drawn != draw(8));
        let count = |place| drawn.iter().filter(|&&picked| picked == place).count();
        assert!((7800..8200).contains(&count(0)) && (900..1100).contains(&count(2)), "{}", count(0));
    }
}
