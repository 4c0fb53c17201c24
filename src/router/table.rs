//! Open orders by their OrderID: open addressing, fixed capacity, no tombstones.

use crate::types::OrderId;

/// A table of at most `capacity` entries. Allocated at start; never grows.
///
/// Lookup, insertion and removal look at a few neighbouring entries: the table is at most half full, and a removal moves
/// what follows back, so that long use leaves no trace.
#[derive(Debug)]
pub struct OrderTable<T> {
    entries: Box<[Option<(OrderId, T)>]>,
    count: usize,
    capacity: usize,
}

impl<T: Copy> OrderTable<T> {
    /// A table for at most `capacity` open orders.
    ///
    /// # Panics
    /// If `capacity` is zero.
    pub fn new(capacity: usize) -> OrderTable<T> {
        assert!(capacity > 0, "a table has room for one order at least");
        let entries = vec![None; (capacity * 2).next_power_of_two()];
        OrderTable { entries: entries.into_boxed_slice(), count: 0, capacity }
    }

    /// How many orders are in it.
    #[inline]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether no order is in it.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Puts an order in, or gives it back where the table is full or the order is in it already.
    ///
    /// # Errors
    /// The value, unchanged.
    #[inline]
    pub fn insert(&mut self, id: OrderId, value: T) -> Result<(), T> {
        if self.count >= self.capacity {
            return Err(value);
        }
        let mut index = self.home(id);
        while let Some((other, _)) = &self.entries[index] {
            if *other == id {
                return Err(value);
            }
            index = self.after(index);
        }
        self.entries[index] = Some((id, value));
        self.count += 1;
        Ok(())
    }

    /// The order's value.
    #[inline]
    pub fn get_mut(&mut self, id: OrderId) -> Option<&mut T> {
        let index = self.find(id)?;
        self.entries[index].as_mut().map(|(_, value)| value)
    }

    /// Takes the order out.
    #[inline]
    pub fn remove(&mut self, id: OrderId) -> Option<T> {
        let mut hole = self.find(id)?;
        let (_, value) = self.entries[hole].take()?;
        self.count -= 1;
        let mut index = self.after(hole);
        // An entry may move into the hole unless its home lies behind the hole, seen from the entry.
        while let Some((other, _)) = self.entries[index] {
            let home = self.home(other);
            let distance =
                |from: usize, to: usize| to.wrapping_sub(from) & (self.entries.len() - 1);
            if distance(home, index) >= distance(hole, index) {
                self.entries.swap(hole, index);
                hole = index;
            }
            index = self.after(index);
        }
        Some(value)
    }

    /// The first order at or behind place `from`, and the place behind it; for a walk that may be interrupted.
    pub fn next_from(&self, from: usize) -> Option<(OrderId, usize)> {
        let (offset, id) = self
            .entries
            .get(from..)?
            .iter()
            .enumerate()
            .find_map(|(offset, entry)| entry.as_ref().map(|(id, _)| (offset, *id)))?;
        Some((id, from + offset + 1))
    }

    #[inline]
    fn find(&self, id: OrderId) -> Option<usize> {
        let mut index = self.home(id);
        while let Some((other, _)) = &self.entries[index] {
            if *other == id {
                return Some(index);
            }
            index = self.after(index);
        }
        None
    }

    #[inline]
    fn home(&self, id: OrderId) -> usize {
        // Risk numbers orders by the slot it keeps them in, in the low bits, and takes slots in turn: orders that follow
        // each other are neighbours here too, so the next one's entry is in the cache before it is needed. Identifiers of
        // another form still work; they only collide more often.
        usize::try_from(id.0 & 0xFFFF_FFFF).expect("32 bits fit") & (self.entries.len() - 1)
    }

    #[inline]
    fn after(&self, index: usize) -> usize {
        (index + 1) & (self.entries.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::{ProptestConfig, any, prop, proptest};

    use super::*;

    #[test]
    fn a_full_table_gives_back_what_it_is_given() {
        let mut table = OrderTable::new(2);
        assert_eq!(table.insert(OrderId(1), 'a'), Ok(()));
        assert_eq!(table.insert(OrderId(1), 'b'), Err('b'), "in it already");
        assert_eq!(table.insert(OrderId(2), 'b'), Ok(()));
        assert_eq!(table.insert(OrderId(3), 'c'), Err('c'));
        assert_eq!(table.remove(OrderId(1)), Some('a'));
        assert_eq!(table.insert(OrderId(3), 'c'), Ok(()));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn it_does_what_a_map_does(steps in prop::collection::vec((any::<bool>(), 0_u64..24), 0..400)) {
            let mut table = OrderTable::new(16);
            let mut map = BTreeMap::new();
            for (insert, id) in steps {
                let id = OrderId(id);
                if insert {
                    let fits = map.len() < 16 && !map.contains_key(&id);
                    assert_eq!(table.insert(id, id.0).is_ok(), fits);
                    if fits { map.insert(id, id.0); }
                } else {
                    assert_eq!(table.remove(id), map.remove(&id));
                }
                assert_eq!(table.len(), map.len());
                for key in 0..24 {
                    assert_eq!(table.get_mut(OrderId(key)).copied(), map.get(&OrderId(key)).copied());
                }
                let mut seen = Vec::new();
                let mut place = 0;
                while let Some((id, next)) = table.next_from(place) { seen.push(id); place = next; }
                seen.sort_unstable();
                assert_eq!(seen, map.keys().copied().collect::<Vec<_>>());
            }
        }
    }
}
