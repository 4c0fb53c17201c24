//! An index from a pair of numbers to a slot: open addressing with a fixed hash, so its behaviour is the same in every run.

use super::links::at;
use crate::runtime::{large_table, prefetch};

const EMPTY: u32 = u32::MAX;

/// Sixteen bytes, so that none lies across two cache lines.
#[derive(Clone, Copy, Debug)]
struct Entry {
    number: u64,
    group: u32,
    slot: u32,
}

impl Entry {
    const VACANT: Entry = Entry { number: 0, group: 0, slot: EMPTY };

    #[inline]
    fn key(&self) -> Key {
        (self.group, self.number)
    }
}

/// A group and a number in it.
pub(super) type Key = (u32, u64);

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
        KeyIndex { entries: large_table(Entry::VACANT, size), mask: size - 1, count: 0 }
    }

    /// The finaliser of SplitMix64 over both halves: every bit of the key moves every bit of the place.
    #[inline]
    fn place(&self, (group, number): Key) -> usize {
        let mut hash = number ^ u64::from(group).wrapping_mul(0x9e37_79b9_7f4a_7c15);
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
    pub(super) fn get(&self, key: Key) -> Option<u32> {
        let mut place = self.place(key);
        loop {
            let entry = &self.entries[place];
            if entry.slot == EMPTY {
                return None;
            }
            if entry.key() == key {
                return Some(entry.slot);
            }
            place = (place + 1) & self.mask;
        }
    }

    /// Adds `key`, or gives it another slot.
    ///
    /// # Panics
    /// If it is more than half full: the tables behind it are bounded.
    pub(super) fn insert(&mut self, key: Key, slot: u32) {
        let mut place = self.place(key);
        loop {
            let entry = &mut self.entries[place];
            if entry.slot != EMPTY && entry.key() != key {
                place = (place + 1) & self.mask;
                continue;
            }
            if entry.slot == EMPTY {
                self.count += 1;
                assert!(self.count * 2 <= self.mask + 1, "{} keys are too many", self.count);
            }
            *entry = Entry { number: key.1, group: key.0, slot };
            return;
        }
    }

    /// Removes `key` if it leads to `slot`.
    pub(super) fn remove(&mut self, key: Key, slot: u32) {
        let mut hole = self.place(key);
        while self.entries[hole].key() != key || self.entries[hole].slot == EMPTY {
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
                let home = self.place(entry.key());
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

/// An index of keys whose numbers mostly follow one another within their group: each has one place that its number says, next
/// to that of the number before; what finds its place taken goes to an index that keeps whatever comes. So neither finding nor
/// entering nor removing searches, and no branch of them is a guess.
#[derive(Debug)]
pub(super) struct SequenceIndex {
    near: Box<[Entry]>,
    mask: usize,
    others: KeyIndex,
}

impl SequenceIndex {
    /// Room for `keys` keys, however they come.
    pub(super) fn new(keys: usize) -> SequenceIndex {
        let size = keys.max(1).next_power_of_two();
        SequenceIndex {
            near: large_table(Entry::VACANT, size),
            mask: size - 1,
            others: KeyIndex::new(keys),
        }
    }

    /// Groups begin far apart, so that those few there are seldom meet.
    #[inline]
    fn place(&self, (group, number): Key) -> usize {
        let place = number.wrapping_add(u64::from(group).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        #[allow(clippy::as_conversions, reason = "only the masked low bits are used")]
        {
            place as usize & self.mask
        }
    }

    /// Asks for the memory where `key` is or would be.
    #[inline]
    pub(super) fn prefetch(&self, key: Key) {
        prefetch(&self.near, self.place(key));
    }

    /// The slot of `key`.
    #[inline]
    pub(super) fn get(&self, key: Key) -> Option<u32> {
        let entry = &self.near[self.place(key)];
        if entry.slot != EMPTY && entry.key() == key {
            return Some(entry.slot);
        }
        if self.others.count == 0 { None } else { self.others.get(key) }
    }

    /// Adds `key`, or gives it another slot.
    ///
    /// # Panics
    /// As [`KeyIndex::insert`].
    #[inline]
    pub(super) fn insert(&mut self, key: Key, slot: u32) {
        let place = self.place(key);
        let entry = &mut self.near[place];
        let is_mine = entry.slot == EMPTY || entry.key() == key;
        // It may have gone there while its place was taken.
        if !is_mine || (self.others.count > 0 && self.others.get(key).is_some()) {
            return self.others.insert(key, slot);
        }
        *entry = Entry { number: key.1, group: key.0, slot };
    }

    /// Removes `key` if it leads to `slot`.
    #[inline]
    pub(super) fn remove(&mut self, key: Key, slot: u32) {
        let place = self.place(key);
        let entry = &mut self.near[place];
        if entry.slot != EMPTY && entry.key() == key {
            if entry.slot == slot {
                *entry = Entry::VACANT;
            }
        } else if self.others.count > 0 {
            self.others.remove(key, slot);
        }
    }
}

/// Numbers that follow one another, to the places that do.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Run {
    first_number: u32,
    first_place: u32,
    count: u32,
}

impl Run {
    /// The beginning of `numbers`, as far as each is one more than that before it; the first is at `first_place`.
    pub(super) fn of(numbers: impl IntoIterator<Item = u32>, first_place: u32) -> Run {
        let mut run = Run { first_place, ..Run::default() };
        for number in numbers {
            if run.count == 0 {
                run.first_number = number;
            } else if run.first_number.checked_add(run.count) != Some(number) {
                break;
            }
            run.count += 1;
        }
        run
    }

    /// The place of `number`, if it is one of them.
    #[inline]
    pub(super) fn place(&self, number: u32) -> Option<usize> {
        let distance = number.wrapping_sub(self.first_number);
        // Both are below 2^32.
        (distance < self.count).then(|| at(self.first_place).wrapping_add(at(distance)))
    }

    /// How many they are.
    pub(super) fn count(&self) -> usize {
        at(self.count)
    }
}

/// An index of plain numbers to places in a table. Who numbers from one to the next has them found without a look at memory.
#[derive(Debug)]
pub(super) struct IdIndex {
    run: Run,
    others: KeyIndex,
}

impl IdIndex {
    pub(super) fn new(ids: impl ExactSizeIterator<Item = u32> + Clone) -> IdIndex {
        let run = Run::of(ids.clone(), 0);
        let mut others = KeyIndex::new(ids.len() - run.count());
        for (slot, id) in (0u32..).zip(ids).skip(run.count()) {
            others.insert((0, u64::from(id)), slot);
        }
        IdIndex { run, others }
    }

    #[inline]
    pub(super) fn get(&self, id: u32) -> Option<usize> {
        self.run.place(id).or_else(|| self.others.get((0, u64::from(id))).map(at))
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
            let group = u32::try_from((state >> 33) % 3).expect("small");
            let key = (group, (state >> 40) % 40);
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
    fn a_sequence_index_agrees_with_a_map_however_numbers_come() {
        // From number to number: at random, one after the other, and always the same place.
        for stride in [0, 1, 64] {
            let (mut index, mut map) = (SequenceIndex::new(64), BTreeMap::new());
            let mut state = 7u64;
            for step in 0..100_000u32 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let group = u32::try_from((state >> 33) % 3).expect("small");
                let number = match stride {
                    0 => (state >> 40) % 80,
                    stride => u64::from(step) / 40 * stride + (state >> 40) % 9 * stride,
                };
                let (key, slot) = ((group, number), step % 50);
                match map.get(&key).copied() {
                    Some(there) if state >> 63 == 0 => {
                        index.remove(key, there + 1); // another's: stays
                        assert_eq!(index.get(key), Some(there));
                        index.remove(key, there);
                        map.remove(&key);
                    }
                    None if map.len() == 64 => {
                        let (gone, slot) = map.pop_first().expect("full");
                        index.remove(gone, slot);
                        assert_eq!(index.get(gone), None);
                    }
                    _ => {
                        index.insert(key, slot);
                        map.insert(key, slot);
                    }
                }
                assert_eq!(index.get(key), map.get(&key).copied());
            }
            for (&key, &slot) in &map {
                assert_eq!(index.get(key), Some(slot));
            }
            for (key, slot) in map {
                index.remove(key, slot);
                assert_eq!(index.get(key), None);
            }
            assert_eq!(index.others.count, 0);
            assert!(index.near.iter().all(|entry| entry.slot == EMPTY));
        }
    }

    #[test]
    fn ids_are_found_wherever_their_run_ends() {
        let lists: [&[u32]; 7] = [
            &[],
            &[7],
            &[1, 2, 3, 4],
            &[5, 6, 9, 10, 7],
            &[9, 1, 2],
            &[0, u32::MAX],
            &[u32::MAX - 1, u32::MAX, 0, 1],
        ];
        for ids in lists {
            let index = IdIndex::new(ids.iter().copied());
            for id in (0..20).chain(u32::MAX - 20..=u32::MAX) {
                assert_eq!(
                    index.get(id),
                    ids.iter().position(|&known| known == id),
                    "{ids:?} {id}"
                );
            }
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
