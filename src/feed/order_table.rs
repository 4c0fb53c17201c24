//! The orders of one channel by reference number: an open-addressing table of fixed capacity.
//!
//! Linear probing from a multiplicative hash, at most half full, so a look-up touches one or two cache lines; a removal
//! shifts the run behind it back instead of leaving a mark, so the table never decays. A slot is 32 bytes. All of it is
//! allocated and touched when the table is made.

use crate::types::{Price, Side};

/// An order that stands in a book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    /// The exchange's number.
    pub(super) reference: u64,
    /// Counts the orders entered into the table: a smaller one was there earlier, and has priority at its price.
    pub(super) entry: u64,
    pub(super) price: Price,
    /// Shares left; 0 marks an empty slot.
    pub(super) shares: u32,
    /// Place of its book.
    pub(super) book: u16,
    pub(super) side: Side,
}

const _: () = assert!(size_of::<Order>() == 32, "two orders share a cache line");

const EMPTY: Order =
    Order { reference: 0, entry: 0, price: Price::MIN, shares: 0, book: 0, side: Side::Buy };

/// Where an order is. Valid until the table is next changed by `insert` or `remove`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(usize);

/// Why an order was not entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InsertError {
    /// Its number is taken.
    Duplicate,
    /// As many orders as there may be.
    Full,
}

#[derive(Debug)]
pub(super) struct OrderTable {
    slots: Vec<Order>,
    mask: usize,
    /// 64 less the bits of a slot index.
    shift: u32,
    count: usize,
    count_max: usize,
    entries: u64,
}

impl OrderTable {
    /// A table for `count_max` orders: 64 to 128 bytes each.
    ///
    /// # Panics
    /// If `count_max` is 0 or more than 2^28.
    pub(super) fn new(count_max: usize) -> OrderTable {
        assert!((1..=1 << 28).contains(&count_max), "a table of 1 to 2^28 orders, not {count_max}");
        let slots = (count_max * 2).next_power_of_two();
        OrderTable {
            slots: vec![EMPTY; slots],
            mask: slots - 1,
            shift: 64 - slots.trailing_zeros(),
            count: 0,
            count_max,
            entries: 0,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    #[inline]
    fn home(&self, reference: u64) -> usize {
        // Fibonacci hashing: the top bits of a product with 2^64 over the golden ratio spread consecutive numbers evenly.
        let hash = reference.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> self.shift;
        #[allow(clippy::as_conversions, reason = "fewer bits than the slots' index has")]
        {
            hash as usize & self.mask
        }
    }

    /// The slot of `reference`, or the empty one where it would go.
    #[inline]
    fn probe(&self, reference: u64) -> Result<usize, usize> {
        let mut at = self.home(reference);
        loop {
            let order = &self.slots[at];
            if order.shares == 0 {
                return Err(at);
            }
            if order.reference == reference {
                return Ok(at);
            }
            at = (at + 1) & self.mask;
        }
    }

    #[inline]
    pub(super) fn find(&self, reference: u64) -> Option<(Slot, Order)> {
        let at = self.probe(reference).ok()?;
        Some((Slot(at), self.slots[at]))
    }

    /// Enters an order behind all others; its `entry` is set here.
    ///
    /// # Panics
    /// If it has no shares.
    #[inline]
    pub(super) fn insert(&mut self, order: Order) -> Result<(), InsertError> {
        assert!(order.shares > 0, "an order without shares is an empty slot");
        let at = match self.probe(order.reference) {
            Ok(_) => return Err(InsertError::Duplicate),
            Err(_) if self.count >= self.count_max => return Err(InsertError::Full),
            Err(at) => at,
        };
        self.slots[at] = Order { entry: self.entries, ..order };
        self.entries += 1;
        self.count += 1;
        Ok(())
    }

    /// Takes `shares` off an order that has more than that.
    #[inline]
    pub(super) fn reduce(&mut self, slot: Slot, shares: u32) {
        let order = &mut self.slots[slot.0];
        assert!(order.shares > shares, "an order is removed, not reduced to nothing");
        order.shares -= shares;
    }

    /// Takes an order out, and moves those it had pushed aside nearer to where they belong.
    #[inline]
    pub(super) fn remove(&mut self, slot: Slot) {
        let mut hole = slot.0;
        assert!(self.slots[hole].shares > 0, "slot {hole} holds no order");
        let mut at = hole;
        loop {
            at = (at + 1) & self.mask;
            let order = self.slots[at];
            if order.shares == 0 {
                break;
            }
            // It may fill the hole if its home is not between the hole and itself, going round.
            let from_home = at.wrapping_sub(self.home(order.reference)) & self.mask;
            let from_hole = at.wrapping_sub(hole) & self.mask;
            if from_home >= from_hole {
                self.slots[hole] = order;
                hole = at;
            }
        }
        self.slots[hole] = EMPTY;
        self.count -= 1;
    }

    /// Every order, in no order that means anything.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Order> {
        self.slots.iter().filter(|order| order.shares > 0)
    }

    /// Takes all orders out. Touches the whole table.
    pub(super) fn clear(&mut self) {
        self.slots.fill(EMPTY);
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;

    fn order(reference: u64, shares: u32) -> Order {
        Order { reference, shares, ..EMPTY }
    }

    proptest! {
        #[test]
        fn the_table_agrees_with_a_map(steps in proptest::collection::vec((0..40_u64, any::<bool>()), 0..400)) {
            let mut table = OrderTable::new(16);
            let mut map = BTreeMap::new();
            for (reference, insert) in steps {
                // Multiples of 2^60 collide in a small table, so runs form and wrap round its end.
                let reference = reference << 58;
                if insert {
                    let expected = if map.contains_key(&reference) {
                        Err(InsertError::Duplicate)
                    } else if map.len() == 16 {
                        Err(InsertError::Full)
                    } else {
                        map.insert(reference, ());
                        Ok(())
                    };
                    prop_assert_eq!(table.insert(order(reference, 5)), expected);
                } else {
                    let found = table.find(reference);
                    prop_assert_eq!(found.is_some(), map.remove(&reference).is_some());
                    if let Some((slot, _)) = found {
                        table.remove(slot);
                    }
                }
                let mut held: Vec<u64> = table.iter().map(|order| order.reference).collect();
                held.sort_unstable();
                prop_assert_eq!(&held, &map.keys().copied().collect::<Vec<_>>());
                for key in held {
                    prop_assert_eq!(table.find(key).map(|(_, order)| order.reference), Some(key));
                }
                prop_assert_eq!(table.count(), map.len());
            }
        }
    }
}
