//! An index from a pair of numbers to a slot: open addressing with a fixed hash, so its behaviour is the same in every run.

use super::links::at;

const EMPTY: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: (u64, u64),
    slot: u32,
}

/// At most half full, so that a look-up meets few others. Never grows.
#[derive(Debug)]
pub(super) struct KeyIndex {
    entries: Box<[Entry]>,
    mask: usize,
    count: usize,
}

impl KeyIndex {
    /// Room for `keys` keys.
    pub(super) fn new(keys: usize) -> KeyIndex {
        let size = (keys.max(1) * 2).next_power_of_two();
        KeyIndex {
            entries: vec![Entry { key: (0, 0), slot: EMPTY }; size].into(),
            mask: size - 1,
            count: 0,
        }
    }

    /// The finaliser of SplitMix64 over both halves: every bit of the key moves every bit of the place.
    #[inline]
    fn place(&self, (a, b): (u64, u64)) -> usize {
        let mut hash = b ^ a.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        hash ^= hash >> 31;
        #[allow(clippy::as_conversions, reason = "only the masked low bits are used")]
        {
            hash as usize & self.mask
        }
    }

    /// The slot of `key`.
    #[inline]
    pub(super) fn get(&self, key: (u64, u64)) -> Option<u32> {
        let mut place = self.place(key);
        loop {
            let entry = &self.entries[place];
            if entry.slot == EMPTY {
                return None;
            }
            if entry.key == key {
                return Some(entry.slot);
            }
            place = (place + 1) & self.mask;
        }
    }

    /// Adds `key`, or gives it another slot.
    ///
    /// # Panics
    /// If it is more than half full: the tables behind it are bounded.
    pub(super) fn insert(&mut self, key: (u64, u64), slot: u32) {
        let mut place = self.place(key);
        loop {
            let entry = &mut self.entries[place];
            if entry.slot != EMPTY && entry.key != key {
                place = (place + 1) & self.mask;
                continue;
            }
            if entry.slot == EMPTY {
                self.count += 1;
                assert!(self.count * 2 <= self.mask + 1, "{} keys are too many", self.count);
            }
            *entry = Entry { key, slot };
            return;
        }
    }

    /// Removes `key` if it leads to `slot`.
    pub(super) fn remove(&mut self, key: (u64, u64), slot: u32) {
        let mut hole = self.place(key);
        while self.entries[hole].key != key || self.entries[hole].slot == EMPTY {
            if self.entries[hole].slot == EMPTY {
                return;
            }
            hole = (hole + 1) & self.mask;
        }
        if self.entries[hole].slot != slot {
            return;
        }
        self.count -= 1;
        // Whoever was pushed past the hole moves back into it, so that no look-up ends too early.
        let mut place = hole;
        loop {
            self.entries[hole].slot = EMPTY;
            let moved = loop {
                place = (place + 1) & self.mask;
                let entry = self.entries[place];
                if entry.slot == EMPTY {
                    return;
                }
                let home = self.place(entry.key);
                let distance = place.wrapping_sub(home) & self.mask;
                if distance >= place.wrapping_sub(hole) & self.mask {
                    break entry;
                }
            };
            self.entries[hole] = moved;
            hole = place;
        }
    }
}

/// An index of plain numbers to places in a table.
#[derive(Debug)]
pub(super) struct IdIndex(KeyIndex);

impl IdIndex {
    pub(super) fn new(ids: impl ExactSizeIterator<Item = u32>) -> IdIndex {
        let mut index = KeyIndex::new(ids.len());
        for (slot, id) in (0u32..).zip(ids) {
            index.insert((0, u64::from(id)), slot);
        }
        IdIndex(index)
    }

    #[inline]
    pub(super) fn get(&self, id: u32) -> Option<usize> {
        self.0.get((0, u64::from(id))).map(at)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn agrees_with_a_map_over_random_operations() {
        let (mut index, mut map) = (KeyIndex::new(64), BTreeMap::new());
        let mut state = 7u64;
        for step in 0..100_000u32 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let key = ((state >> 33) % 3, (state >> 40) % 40);
            let slot = step % 50;
            match map.get(&key).copied() {
                Some(there) if state >> 63 == 0 => {
                    index.remove(key, there + 1); // another's: stays
                    assert_eq!(index.get(key), Some(there));
                    index.remove(key, there);
                    map.remove(&key);
                }
                None if map.len() == 64 => {}
                _ => {
                    index.insert(key, slot);
                    map.insert(key, slot);
                }
            }
            assert_eq!(index.get(key), map.get(&key).copied());
        }
        for (key, slot) in map {
            assert_eq!(index.get(key), Some(slot));
        }
    }

    #[test]
    #[should_panic(expected = "too many")]
    fn it_never_fills_up() {
        let mut index = KeyIndex::new(2);
        for key in 0..5 {
            index.insert((key, 0), 0);
        }
    }
}
