//! Storage of orders: one slab with intrusive lists, and the table that finds an order by its owner's identifier.
//!
//! Allocated once. An order that has ended keeps its slot until the slot is needed, oldest first, so that a late cancel
//! can be told from one for an order that never was.

use crate::sim::order::{Order, OwnerId};
use crate::types::ClOrdId;

/// No slot.
pub const NIL: u32 = u32::MAX;

/// A slot's number as an index.
#[inline]
pub fn at(slot: u32) -> usize {
    #[allow(clippy::as_conversions, reason = "u32 to usize cannot fail on the targets there are")]
    {
        slot as usize
    }
}

/// First and last of an intrusive list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The first slot, or [`NIL`].
    pub head: u32,
    /// The last slot, or [`NIL`].
    pub tail: u32,
}

impl Ends {
    /// An empty list.
    pub const EMPTY: Ends = Ends { head: NIL, tail: NIL };
}

/// Which of a slot's two list memberships is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chain {
    /// The queue of its price level; once ended, the queue of ended orders; once free, the free list.
    Queue = 0,
    /// The open orders of its owner.
    Owner = 1,
}

impl Chain {
    #[inline]
    const fn index(self) -> usize {
        match self {
            Chain::Queue => 0,
            Chain::Owner => 1,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    order: Option<Order>,
    prev: [u32; 2],
    next: [u32; 2],
}

/// The orders of an exchange, open and lately ended.
#[derive(Debug)]
pub struct Slab {
    slots: Vec<Slot>,
    free: Ends,
    ended: Ends,
    table: IdTable,
}

impl Slab {
    /// A slab of `capacity` slots, 1 to 2^24.
    ///
    /// # Panics
    /// Outside that range.
    pub fn new(capacity: usize) -> Slab {
        assert!((1..=1 << 24).contains(&capacity), "a slab holds 1 to 2^24 orders, not {capacity}");
        let slot = Slot { order: None, prev: [NIL; 2], next: [NIL; 2] };
        let mut slab = Slab {
            slots: vec![slot; capacity],
            free: Ends::EMPTY,
            ended: Ends::EMPTY,
            table: IdTable::new(capacity * 2),
        };
        let count = u32::try_from(capacity).expect("at most 2^24, asserted above");
        let mut free = Ends::EMPTY;
        for slot in 0..count {
            slab.push_back(&mut free, Chain::Queue, slot);
        }
        slab.free = free;
        slab
    }

    /// The order in `slot`.
    ///
    /// # Panics
    /// If the slot is free.
    #[inline]
    pub fn order(&self, slot: u32) -> &Order {
        self.slots[at(slot)].order.as_ref().expect("lists and table name slots in use only")
    }

    /// The order in `slot`, to be changed.
    ///
    /// # Panics
    /// If the slot is free.
    #[inline]
    pub fn order_mut(&mut self, slot: u32) -> &mut Order {
        self.slots[at(slot)].order.as_mut().expect("lists and table name slots in use only")
    }

    /// The slot of the order that `owner` knows as `client_id`, open or lately ended.
    #[inline]
    pub fn find(&self, owner: OwnerId, client_id: ClOrdId) -> Option<u32> {
        self.table.get(owner, client_id)
    }

    /// Whether a slot is free or can be made so.
    #[inline]
    pub fn has_room(&self) -> bool {
        self.free.head != NIL || self.ended.head != NIL
    }

    /// Puts an order in a slot and its identifier in the table; `None` where every slot holds an open order.
    pub fn insert(&mut self, order: Order) -> Option<u32> {
        if self.free.head == NIL {
            self.evict_oldest()?;
        }
        let slot = self.free.head;
        let mut free = self.free;
        self.unlink(&mut free, Chain::Queue, slot);
        self.free = free;
        self.slots[at(slot)].order = Some(order);
        self.table.insert(order.owner, order.entry_id, slot);
        Some(slot)
    }

    /// Lets the order go by `client_id`; its first identifier stays known, one in between does not.
    pub fn rename(&mut self, slot: u32, client_id: ClOrdId) {
        let Order { owner, entry_id, client_id: old, .. } = *self.order(slot);
        if old != entry_id && old != client_id {
            self.table.remove(owner, old);
        }
        if client_id != entry_id && client_id != old {
            self.table.insert(owner, client_id, slot);
        }
        self.order_mut(slot).client_id = client_id;
    }

    /// Puts a slot that is in no price queue any more behind the ended ones.
    #[inline]
    pub fn end(&mut self, slot: u32) {
        let mut ended = self.ended;
        self.push_back(&mut ended, Chain::Queue, slot);
        self.ended = ended;
    }

    fn evict_oldest(&mut self) -> Option<()> {
        let slot = self.ended.head;
        if slot == NIL {
            return None;
        }
        let mut ended = self.ended;
        self.unlink(&mut ended, Chain::Queue, slot);
        self.ended = ended;
        let Order { owner, entry_id, client_id, .. } = *self.order(slot);
        self.table.remove(owner, entry_id);
        if client_id != entry_id {
            self.table.remove(owner, client_id);
        }
        self.slots[at(slot)].order = None;
        let mut free = self.free;
        self.push_back(&mut free, Chain::Queue, slot);
        self.free = free;
        Some(())
    }

    /// Puts `slot` last in a list.
    #[inline]
    pub fn push_back(&mut self, ends: &mut Ends, chain: Chain, slot: u32) {
        let c = chain.index();
        let entry = &mut self.slots[at(slot)];
        entry.prev[c] = ends.tail;
        entry.next[c] = NIL;
        match ends.tail {
            NIL => ends.head = slot,
            tail => self.slots[at(tail)].next[c] = slot,
        }
        ends.tail = slot;
    }

    /// Takes `slot`, which must be in this list, out of it.
    #[inline]
    pub fn unlink(&mut self, ends: &mut Ends, chain: Chain, slot: u32) {
        let c = chain.index();
        let Slot { prev, next, .. } = self.slots[at(slot)];
        match prev[c] {
            NIL => ends.head = next[c],
            before => self.slots[at(before)].next[c] = next[c],
        }
        match next[c] {
            NIL => ends.tail = prev[c],
            after => self.slots[at(after)].prev[c] = prev[c],
        }
    }

    /// The slot after `slot` in its list, or [`NIL`].
    #[inline]
    pub fn next(&self, chain: Chain, slot: u32) -> u32 {
        self.slots[at(slot)].next[chain.index()]
    }
}

/// Owner and identifier to slot: open addressing, linear probing, deletion by shifting back. Never grows.
#[derive(Debug)]
struct IdTable {
    entries: Vec<(u64, u32, u32)>,
    mask: usize,
}

impl IdTable {
    /// A table for `count` keys, at most half full.
    fn new(count: usize) -> IdTable {
        let size = (count * 2).next_power_of_two();
        IdTable { entries: vec![(0, 0, NIL); size], mask: size - 1 }
    }

    #[inline]
    fn home(&self, owner: OwnerId, id: ClOrdId) -> usize {
        // Fibonacci hashing: identifiers mostly count up, and the multiplication spreads them over the high bits.
        let key = id.0 ^ u64::from(owner.0).rotate_left(40);
        let hash = key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        usize::try_from(hash).expect("32 bits fit") & self.mask
    }

    #[inline]
    fn position(&self, owner: OwnerId, id: ClOrdId) -> Option<usize> {
        let mut index = self.home(owner, id);
        loop {
            match self.entries[index] {
                (_, _, NIL) => return None,
                (i, o, _) if i == id.0 && o == owner.0 => return Some(index),
                _ => index = (index + 1) & self.mask,
            }
        }
    }

    #[inline]
    fn get(&self, owner: OwnerId, id: ClOrdId) -> Option<u32> {
        self.position(owner, id).map(|index| self.entries[index].2)
    }

    fn insert(&mut self, owner: OwnerId, id: ClOrdId, slot: u32) {
        let mut index = self.home(owner, id);
        while self.entries[index].2 != NIL {
            index = (index + 1) & self.mask;
        }
        self.entries[index] = (id.0, owner.0, slot);
    }

    fn remove(&mut self, owner: OwnerId, id: ClOrdId) {
        let Some(mut hole) = self.position(owner, id) else { return };
        let mut index = hole;
        loop {
            index = (index + 1) & self.mask;
            let (i, o, slot) = self.entries[index];
            if slot == NIL {
                break;
            }
            // An entry may fill the hole only if its home does not lie after the hole.
            let home = self.home(OwnerId(o), ClOrdId(i));
            if (index.wrapping_sub(home) & self.mask) >= (index.wrapping_sub(hole) & self.mask) {
                self.entries[hole] = (i, o, slot);
                hole = index;
            }
        }
        self.entries[hole] = (0, 0, NIL);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_table_finds_what_was_put_in_and_not_removed() {
        let mut table = IdTable::new(64);
        let mut model = BTreeMap::new();
        let mut random = 1_u64;
        for _ in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (owner, id) = (OwnerId(u32::from(random >> 63 == 1)), ClOrdId((random >> 40) % 90));
            if model.remove(&(owner, id)).is_some() {
                table.remove(owner, id);
            } else if model.len() < 64 {
                let slot = u32::try_from(random >> 50).expect("14 bits");
                model.insert((owner, id), slot);
                table.insert(owner, id, slot);
            }
            for owner in [OwnerId(0), OwnerId(1)] {
                for id in (0..90).map(ClOrdId) {
                    assert_eq!(table.get(owner, id), model.get(&(owner, id)).copied());
                }
            }
        }
    }
}
