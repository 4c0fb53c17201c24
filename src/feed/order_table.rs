//! The orders of one channel by reference number: the young in a ring, the old in an open-addressing table.
//!
//! Reference numbers grow, and most orders are gone soon after they came. So a new order goes into a ring at its
//! number, beside the one before it, where all that happens to it soon finds it near; it moves into the large table only
//! when the ring has come round to its place and it still stands. There the home of a number is a multiplicative hash,
//! probing is linear and at most half of the slots are taken, so a look-up touches one or two cache lines; a removal shifts
//! the run behind it back instead of leaving a mark, so the table never decays. Numbers in any other order are as good,
//! only slower. A slot is 32 bytes; all of them are allocated and touched when the table is made.

use std::hint::select_unpredictable;

use crate::runtime::{large_table, prefetch};
use crate::types::Side;

/// An order that stands in a book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(align(32))]
pub(super) struct Order {
    /// The exchange's number.
    pub(super) reference: u64,
    /// Counts the orders entered into the table: a smaller one was there earlier, and has priority at its price.
    pub(super) entry: u64,
    /// ITCH `Price(4)`.
    pub(super) price: u32,
    /// Shares left; 0 marks an empty slot.
    pub(super) shares: u32,
    /// How often the table had been cleared when the order came: one of an earlier time is gone.
    pub(super) era: u32,
    /// Place of its book.
    pub(super) book: u16,
    pub(super) side: Side,
}

const _: () = assert!(size_of::<Order>() == 32, "two orders share a cache line");

const EMPTY: Order =
    Order { reference: 0, entry: 0, price: 0, shares: 0, era: 0, book: 0, side: Side::Buy };

impl Order {
    /// Whether it stands in a table of that era.
    #[inline]
    pub(super) const fn is_of(&self, era: u32) -> bool {
        (self.shares > 0) & (self.era == era)
    }
}

/// Orders that a table has room for at most.
pub(super) const ORDERS_MAX: usize = (1 << 28) - 1;

/// Slots of the ring at most, 32 MiB: numbers have gaps, and it should not come round before most orders are gone. Caches
/// hold the part behind its head in which something happens.
const YOUNG_SLOTS_MAX: usize = 1 << 20;
/// Slots of a table for the orders of a whole market: the ring has as many, else an eighth, as memory is scarcer then than
/// time.
const MANY_SLOTS: usize = 1 << 19;

/// How far ahead of the newest order the ring's lines are asked for: some ten orders.
const COMING: u64 = 48;

/// Where an order is: in the ring or, beyond its size, in the table. Valid until the table is next changed by `insert` or
/// `remove`.
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
    /// The ring, then the table.
    slots: Box<[Order]>,
    /// Slots of the ring, a power of two.
    ring_slots: usize,
    /// The same less one.
    ring_mask: usize,
    /// Slots of the table less one: they are a power of two.
    mask: usize,
    /// 64 less the bits of the table's slots.
    shift: u32,
    /// No order in the table has a larger number.
    old_reference_max: u64,
    count: usize,
    count_max: usize,
    entries: u64,
    /// How often it was cleared.
    era: u32,
}

#[inline]
#[allow(clippy::as_conversions, reason = "the low bits are what is wanted")]
const fn low_bits(word: u64) -> usize {
    word as usize
}

impl OrderTable {
    /// A table for `count_max` orders: 72 to 144 bytes each, above 131,072 128 to 256, above 524,288 64 to 128 and 32 MiB.
    ///
    /// # Panics
    /// If `count_max` is 0 or more than [`ORDERS_MAX`].
    pub(super) fn new(count_max: usize) -> OrderTable {
        assert!((1..=ORDERS_MAX).contains(&count_max), "room for {count_max} orders");
        let slots = (count_max * 2).next_power_of_two();
        let ring_slots = match slots {
            ..MANY_SLOTS => slots.div_ceil(8),
            MANY_SLOTS.. => slots.min(YOUNG_SLOTS_MAX),
        };
        OrderTable {
            slots: large_table(EMPTY, ring_slots + slots),
            ring_slots,
            ring_mask: ring_slots - 1,
            mask: slots - 1,
            shift: 64 - slots.trailing_zeros(),
            old_reference_max: 0,
            count: 0,
            count_max,
            entries: 0,
            era: 0,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The place of `reference` in the ring.
    #[inline]
    fn young(&self, reference: u64) -> usize {
        low_bits(reference) & self.ring_mask
    }

    /// The place in the table where the search for `reference` begins.
    #[inline]
    fn home(&self, reference: u64) -> usize {
        // Fibonacci hashing: the top bits of a product with 2^64 over the golden ratio spread consecutive numbers evenly.
        low_bits(reference.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> self.shift) & self.mask
    }

    /// The slot of `reference` in the table, or the empty one where it would go.
    #[inline]
    fn probe(&self, reference: u64) -> Result<usize, usize> {
        let mut at = self.home(reference);
        loop {
            let order = &self.slots[self.ring_slots + at];
            if !order.is_of(self.era) {
                return Err(self.ring_slots + at);
            }
            if order.reference == reference {
                return Ok(self.ring_slots + at);
            }
            at = (at + 1) & self.mask;
        }
    }

    /// Asks for the place of `reference` in the ring.
    #[inline]
    pub(super) fn prefetch_young(&self, reference: u64) {
        prefetch(&self.slots, self.young(reference));
    }

    /// Asks for what will be looked at in the table to find or enter `reference`: itself if it is not in the ring, or where
    /// the order will go that is in its way. Without a branch: what the ring holds cannot be predicted.
    /// Returns what is in the ring.
    #[inline]
    pub(super) fn prefetch_old(&self, reference: u64) -> &Order {
        let young = &self.slots[self.young(reference)];
        let is_old = young.reference > reference;
        let is_in_the_way = (young.reference < reference) & (young.shares > 0);
        let is_needed = usize::from(is_old | is_in_the_way).wrapping_neg();
        let at = self.home(reference.min(young.reference)) & is_needed;
        prefetch(&self.slots, self.ring_slots + at);
        young
    }

    /// The slot of the ring where `reference` is or goes, as long as it is young.
    #[inline]
    pub(super) fn young_slot(&mut self, reference: u64) -> &mut Order {
        let at = self.young(reference);
        &mut self.slots[at]
    }

    /// Asks for where the orders that come soon will go, if this one `is_new`: their numbers will be little larger.
    #[inline]
    pub(super) fn prefetch_coming(&self, reference: u64, is_new: bool) {
        let ahead = select_unpredictable(is_new, COMING, 0);
        let step = select_unpredictable(is_new, 2, 0);
        for ahead in [ahead, ahead + step, ahead + 2 * step] {
            prefetch(&self.slots, self.young(reference.wrapping_add(ahead)));
        }
    }

    /// Whether an order of this number may be put into its slot of the ring, if that is empty.
    #[inline]
    pub(super) fn takes_young(&self, reference: u64) -> bool {
        (reference > self.old_reference_max) & (self.count < self.count_max)
    }

    /// The era of the orders that stand.
    #[inline]
    pub(super) const fn era(&self) -> u32 {
        self.era
    }

    /// What the next order that comes has as its `entry`.
    #[inline]
    pub(super) fn next_entry(&self) -> u64 {
        self.entries
    }

    /// Counts an order put into its slot of the ring, or taken out of it.
    #[inline]
    pub(super) fn note_young(&mut self, came: bool, went: bool) {
        self.entries += u64::from(came);
        self.count = self.count.wrapping_add(usize::from(came)).wrapping_sub(usize::from(went));
    }

    /// Where `reference` is.
    #[inline]
    pub(super) fn find(&self, reference: u64) -> Option<Slot> {
        let at = self.young(reference);
        let young = &self.slots[at];
        if young.reference == reference && young.is_of(self.era) {
            return Some(Slot(at));
        }
        if reference > self.old_reference_max {
            return None;
        }
        self.probe(reference).ok().map(Slot)
    }

    /// The order in a slot.
    #[inline]
    pub(super) fn get(&self, slot: Slot) -> &Order {
        &self.slots[slot.0]
    }

    /// Enters an order behind all others; its `entry` and `era` are set here.
    ///
    /// # Panics
    /// If it has no shares.
    #[inline]
    pub(super) fn insert(&mut self, order: Order) -> Result<(), InsertError> {
        assert!(order.shares > 0, "an order without shares is an empty slot");
        let at = self.young(order.reference);
        let is_usual = !self.slots[at].is_of(self.era)
            & (order.reference > self.old_reference_max)
            & (self.count < self.count_max);
        if !is_usual {
            self.make_place(order.reference, at)?;
        }
        let entry = self.entries;
        self.entries += 1;
        self.count += 1;
        self.slots[at] = Order { entry, era: self.era, ..order };
        Ok(())
    }

    /// Makes sure that an order may be entered at its place in the ring: the one that is there goes into the table.
    #[inline(never)]
    fn make_place(&mut self, reference: u64, at: usize) -> Result<(), InsertError> {
        if self.find(reference).is_some() {
            return Err(InsertError::Duplicate);
        }
        if self.count >= self.count_max {
            return Err(InsertError::Full);
        }
        if self.slots[at].is_of(self.era) {
            self.retire(self.slots[at]);
        }
        Ok(())
    }

    /// Puts an order that is in neither into the table.
    fn retire(&mut self, order: Order) {
        let (Ok(at) | Err(at)) = self.probe(order.reference);
        self.slots[at] = order;
        self.old_reference_max = self.old_reference_max.max(order.reference);
    }

    /// Takes `shares` off an order that has more than that.
    #[inline]
    pub(super) fn reduce(&mut self, slot: Slot, shares: u32) {
        let order = &mut self.slots[slot.0];
        assert!(order.shares > shares, "an order is removed, not reduced to nothing");
        order.shares -= shares;
    }

    /// Takes an order out.
    #[inline]
    pub(super) fn remove(&mut self, slot: Slot) {
        assert!(self.slots[slot.0].is_of(self.era), "slot {} holds no order", slot.0);
        self.count -= 1;
        self.slots[slot.0].shares = 0;
        if slot.0 >= self.ring_slots {
            self.close_hole(slot.0 - self.ring_slots);
        }
    }

    /// Moves orders of the table that were pushed aside by the one that was at `hole` nearer to where they belong.
    #[inline]
    fn close_hole(&mut self, hole: usize) {
        let (mut hole, mut at) = (hole, hole);
        loop {
            at = (at + 1) & self.mask;
            let order = &self.slots[self.ring_slots + at];
            if !order.is_of(self.era) {
                return;
            }
            // It may fill the hole if its home is not between the hole and itself, going round.
            let from_home = at.wrapping_sub(self.home(order.reference)) & self.mask;
            let from_hole = at.wrapping_sub(hole) & self.mask;
            if from_home >= from_hole {
                self.slots[self.ring_slots + hole] = *order;
                self.slots[self.ring_slots + at].shares = 0;
                hole = at;
            }
        }
    }

    /// Every order, in no order that means anything.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Order> {
        self.slots.iter().filter(|order| order.is_of(self.era))
    }

    /// Takes all orders out: at once, however large the table is, except every 2^32nd time.
    pub(super) fn clear(&mut self) {
        self.era = self.era.wrapping_add(1);
        if self.era == 0 {
            self.slots.fill(EMPTY);
        }
        self.old_reference_max = 0;
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
        fn the_table_agrees_with_a_map(steps in proptest::collection::vec((0..40_u64, any::<bool>(), 0..50_u8), 0..400)) {
            let mut table = OrderTable::new(16);
            let mut map = BTreeMap::new();
            for (reference, insert, clear) in steps {
                if clear == 0 {
                    table.clear();
                    map.clear();
                }
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
                    if let Some(slot) = found {
                        table.remove(slot);
                    }
                }
                let mut held: Vec<u64> = table.iter().map(|order| order.reference).collect();
                held.sort_unstable();
                prop_assert_eq!(&held, &map.keys().copied().collect::<Vec<_>>());
                for key in held {
                    prop_assert_eq!(table.find(key).map(|slot| table.get(slot).reference), Some(key));
                }
                prop_assert_eq!(table.count(), map.len());
            }
        }
    }
}
