//! The response cache behind `/cached`: the article's question of how many requests are answered from memory.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// When the cache holds this many answers, an arbitrary one makes room for the next.
const CAPACITY: usize = 4096;

/// Answers by key. Two requests that miss the same key at once both compute it, as in most caches that have no
/// "single flight".
#[derive(Debug, Default)]
pub struct Cache(RwLock<HashMap<String, Arc<[u8]>>>);

impl Cache {
    /// The answer for `key`, if it is in memory.
    pub fn get(&self, key: &str) -> Option<Arc<[u8]>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Keeps an answer.
    pub fn put(&self, key: &str, answer: &[u8]) {
        let mut answers = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= CAPACITY
            && let Some(victim) = answers.keys().next().cloned()
        {
            answers.remove(&victim);
        }
        answers.insert(key.to_owned(), answer.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_holds_more_than_its_capacity() {
        let cache = Cache::default();
        for n in 0..=CAPACITY {
            cache.put(&n.to_string(), b"x");
        }
        assert_eq!(cache.0.read().unwrap().len(), CAPACITY);
        assert!(cache.get(&CAPACITY.to_string()).is_some());
    }
}
