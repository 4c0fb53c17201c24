//! Doubly linked lists over the slots of one table: a slot is in one list of a set at most. All operations take constant time.

use crate::runtime::prefetch;

/// No slot.
const NONE: u32 = u32::MAX;
/// In `list_of`: in no list.
const UNLINKED: u32 = u32::MAX;

/// A slot as an index.
#[inline(always)]
pub(super) fn at(slot: u32) -> usize {
    #[allow(
        clippy::as_conversions,
        reason = "u32 to usize cannot fail on the 64 bits we build for"
    )]
    {
        slot as usize
    }
}

/// A table's size or index as a slot.
///
/// # Panics
/// Beyond what the tables are bounded to.
pub(super) fn slot_of(index: usize) -> u32 {
    u32::try_from(index).expect("tables are bounded far below 2^32")
}

#[derive(Clone, Copy, Debug)]
struct Ends {
    front: u32,
    back: u32,
    count: u32,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    next: u32,
    previous: u32,
    list: u32,
}

/// `lists` lists over `slots` slots.
#[derive(Debug)]
pub(super) struct Lists {
    links: Box<[Link]>,
    ends: Box<[Ends]>,
}

impl Lists {
    pub(super) fn new(lists: usize, slots: usize) -> Lists {
        Lists {
            links: vec![Link { next: NONE, previous: NONE, list: UNLINKED }; slots].into(),
            ends: vec![Ends { front: NONE, back: NONE, count: 0 }; lists].into(),
        }
    }

    /// Appends `slot` to `list`.
    ///
    /// # Panics
    /// If it is in a list.
    #[inline]
    pub(super) fn push_back(&mut self, list: u32, slot: u32) {
        let ends = &mut self.ends[at(list)];
        let back = ends.back;
        let link = &mut self.links[at(slot)];
        assert!(link.list == UNLINKED, "slot {slot} is in list {}", link.list);
        *link = Link { next: NONE, previous: back, list };
        ends.back = slot;
        ends.count += 1;
        if back == NONE {
            ends.front = slot;
        } else {
            self.links[at(back)].next = slot;
        }
    }

    /// Moves the first slot of `from` to the end of `to`, which is another list, and returns it.
    #[inline(always)]
    pub(super) fn move_front(&mut self, from: u32, to: u32) -> Option<u32> {
        let ends = &mut self.ends[at(from)];
        let slot = ends.front;
        if slot == NONE {
            return None;
        }
        ends.count -= 1;
        let ends = &mut self.ends[at(to)];
        let back = ends.back;
        ends.back = slot;
        ends.count += 1;
        if back == NONE {
            ends.front = slot;
        } else {
            self.links[at(back)].next = slot;
        }
        let link = &mut self.links[at(slot)];
        let next = link.next;
        *link = Link { next: NONE, previous: back, list: to };
        let ends = &mut self.ends[at(from)];
        ends.front = next;
        if next == NONE {
            ends.back = NONE;
        } else {
            self.links[at(next)].previous = NONE;
        }
        Some(slot)
    }

    /// Takes `slot` out of the list it is in; returns whether it was in one.
    pub(super) fn remove(&mut self, slot: u32) -> bool {
        let Link { next, previous, list } = self.links[at(slot)];
        if list == UNLINKED {
            return false;
        }
        let ends = &mut self.ends[at(list)];
        ends.count -= 1;
        if previous == NONE {
            ends.front = next;
        }
        if next == NONE {
            ends.back = previous;
        }
        if previous != NONE {
            self.links[at(previous)].next = next;
        }
        if next != NONE {
            self.links[at(next)].previous = previous;
        }
        self.links[at(slot)] = Link { next: NONE, previous: NONE, list: UNLINKED };
        true
    }

    /// The first slot of `list`.
    #[inline]
    pub(super) fn front(&self, list: u32) -> Option<u32> {
        Some(self.ends[at(list)].front).filter(|&slot| slot != NONE)
    }

    /// The slot after `slot` in its list.
    #[inline]
    pub(super) fn after(&self, slot: u32) -> Option<u32> {
        Some(self.links[at(slot)].next).filter(|&slot| slot != NONE)
    }

    /// Asks for the memory of `slot`'s place.
    #[inline]
    pub(super) fn prefetch(&self, slot: u32) {
        prefetch(&self.links, at(slot));
    }

    /// Slots in `list`.
    #[inline]
    pub(super) fn count(&self, list: u32) -> u32 {
        self.ends[at(list)].count
    }

    /// Whether `slot` is in a list.
    #[inline]
    pub(super) fn is_linked(&self, slot: u32) -> bool {
        self.links[at(slot)].list != UNLINKED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(lists: &Lists, list: u32) -> Vec<u32> {
        std::iter::successors(lists.front(list), |&slot| lists.after(slot)).collect()
    }

    #[test]
    fn slots_move_between_lists_in_order() {
        let mut lists = Lists::new(2, 5);
        for slot in 0..5 {
            lists.push_back(0, slot);
        }
        assert!(lists.remove(2) && lists.remove(0) && lists.remove(4));
        assert!(!lists.remove(4));
        lists.push_back(1, 4);
        assert_eq!((all(&lists, 0), all(&lists, 1)), (vec![1, 3], vec![4]));
        assert_eq!((lists.count(0), lists.count(1)), (2, 1));
        assert!(lists.is_linked(4) && !lists.is_linked(2));
        assert!(lists.remove(1) && lists.remove(3));
        assert_eq!((lists.front(0), lists.count(0)), (None, 0));
        assert_eq!(lists.move_front(0, 1), None);
        lists.push_back(1, 0);
        assert_eq!(lists.move_front(1, 0), Some(4));
        assert_eq!((all(&lists, 0), all(&lists, 1)), (vec![4], vec![0]));
        assert_eq!((lists.move_front(1, 0), lists.move_front(1, 0)), (Some(0), None));
        assert_eq!((all(&lists, 0), lists.count(0), lists.count(1)), (vec![4, 0], 2, 0));
        lists.push_back(1, 1);
        assert!(lists.remove(0) && lists.remove(1) && lists.remove(4) && !lists.remove(4));
        assert_eq!((lists.front(0), lists.front(1)), (None, None));
    }

    #[test]
    #[should_panic(expected = "is in list")]
    fn a_slot_is_in_one_list() {
        let mut lists = Lists::new(2, 1);
        lists.push_back(0, 0);
        lists.push_back(1, 0);
    }
}
