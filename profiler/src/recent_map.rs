//! A map that is asked for the same key several times in a row.

use std::hash::Hash;

use rustc_hash::FxHashMap;

/// A map that knows where the key lies that was changed last. What an event is about is asked for by one rule after the other, and often by those of the
/// next event again: most times nothing is looked up.
#[derive(Clone, Debug)]
pub(crate) struct RecentMap<K, V> {
    /// In the order of their coming, but that the last takes the place of one that is removed.
    entries: Vec<(K, V)>,
    places: FxHashMap<K, usize>,
    recent: usize,
}

impl<K, V> Default for RecentMap<K, V> {
    fn default() -> Self {
        Self { entries: Vec::new(), places: FxHashMap::default(), recent: 0 }
    }
}

impl<K: Copy + Eq + Hash, V> RecentMap<K, V> {
    #[inline]
    fn place(&self, key: K) -> Option<usize> {
        match self.entries.get(self.recent) {
            Some((recent, _)) if *recent == key => Some(self.recent),
            _ => self.places.get(&key).copied(),
        }
    }

    #[inline]
    pub fn get(&self, key: K) -> Option<&V> {
        self.place(key).map(|place| &self.entries[place].1)
    }

    #[inline]
    pub fn get_mut(&mut self, key: K) -> Option<&mut V> {
        self.recent = self.place(key)?;
        Some(&mut self.entries[self.recent].1)
    }

    pub fn contains_key(&self, key: K) -> bool {
        self.place(key).is_some()
    }

    /// The value of a key, which is made where there is none.
    #[inline]
    pub fn get_or_insert_with(&mut self, key: K, value: impl FnOnce() -> V) -> &mut V {
        self.recent = match self.place(key) {
            Some(place) => place,
            None => self.add(key, value()),
        };
        &mut self.entries[self.recent].1
    }

    /// Returns what was there before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        if let Some(known) = self.get_mut(key) {
            return Some(std::mem::replace(known, value));
        }
        self.recent = self.add(key, value);
        None
    }

    fn add(&mut self, key: K, value: V) -> usize {
        let place = self.entries.len();
        self.places.insert(key, place);
        self.entries.push((key, value));
        place
    }

    pub fn remove(&mut self, key: K) -> Option<V> {
        let place = self.places.remove(&key)?;
        let (_, value) = self.entries.swap_remove(place);
        if let Some((moved, _)) = self.entries.get(place) {
            self.places.insert(*moved, place);
        }
        Some(value)
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn keys(&self) -> impl Iterator<Item = K> + '_ {
        self.entries.iter().map(|(key, _)| *key)
    }

    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.iter().map(|(_, value)| value)
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.entries.iter_mut().map(|(_, value)| value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        self.entries.iter().map(|(key, value)| (*key, value))
    }

    pub fn into_values(self) -> impl Iterator<Item = V> {
        self.entries.into_iter().map(|(_, value)| value)
    }
}

impl<K: Copy + Eq + Hash, V> FromIterator<(K, V)> for RecentMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::default();
        for (key, value) in entries {
            map.insert(key, value);
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// It is a map, whatever was asked for before.
        #[test]
        fn it_keeps_what_a_map_keeps(steps in proptest::collection::vec((0_u8..5, 0_u8..6, any::<u16>()), 0..200)) {
            let (mut recent, mut plain) = (RecentMap::default(), BTreeMap::new());
            for (step, key, value) in steps {
                match step {
                    0 => prop_assert_eq!(recent.insert(key, value), plain.insert(key, value)),
                    1 => prop_assert_eq!(recent.remove(key), plain.remove(&key)),
                    2 => prop_assert_eq!(recent.get(key), plain.get(&key)),
                    3 => prop_assert_eq!(recent.get_mut(key), plain.get_mut(&key)),
                    _ => {
                        *recent.get_or_insert_with(key, || 0) = value;
                        plain.insert(key, value);
                    }
                }
                prop_assert_eq!(recent.len(), plain.len());
                prop_assert_eq!(recent.contains_key(key), plain.contains_key(&key));
            }
            prop_assert_eq!(recent.iter().map(|(key, value)| (key, *value)).collect::<BTreeMap<_, _>>(), plain);
        }
    }
}
