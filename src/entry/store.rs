//! The last reports of one session, kept to be sent when the stream has room, and again when they are asked for.

use crate::types::SeqNum;

/// Bytes of the longest report.
pub const REPORT_BYTES_MAX: usize = 120;

/// A fixed number of the last reports, by sequence number. Allocated at start; never grows.
#[derive(Debug)]
pub struct ReportStore {
    slots: Box<[Slot]>,
    /// Number of the next report to be stored.
    next: u32,
    /// Number of the next report to be sent.
    unsent: u32,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    bytes: [u8; REPORT_BYTES_MAX],
    length: u8,
}

impl ReportStore {
    /// A store of the last `capacity` reports, a power of two.
    ///
    /// # Panics
    /// If `capacity` is not a power of two.
    pub fn new(capacity: u32) -> ReportStore {
        assert!(capacity.is_power_of_two(), "capacity {capacity} is a power of two");
        let capacity = usize::try_from(capacity).expect("usize has 32 bits at least");
        let slots = vec![Slot { bytes: [0; REPORT_BYTES_MAX], length: 0 }; capacity];
        ReportStore {
            slots: slots.into_boxed_slice(),
            next: SeqNum::FIRST.0,
            unsent: SeqNum::FIRST.0,
        }
    }

    /// Forgets all: a new negotiation begins at number 1.
    pub fn clear(&mut self) {
        self.next = SeqNum::FIRST.0;
        self.unsent = SeqNum::FIRST.0;
    }

    /// Whether a report stored now would overwrite one that was never sent.
    #[inline]
    pub fn is_full(&self) -> bool {
        usize::try_from(self.next - self.unsent).is_ok_and(|waiting| waiting >= self.slots.len())
    }

    /// Whether every report was sent.
    #[inline]
    pub fn is_flushed(&self) -> bool {
        self.next == self.unsent
    }

    /// Stores the report numbered `number`, `length` bytes that `write` fills in. What it overwrites is gone.
    ///
    /// # Panics
    /// If `number` is not the one after the last, or `length` is above `REPORT_BYTES_MAX`.
    #[inline]
    pub fn push(&mut self, number: SeqNum, length: usize, write: impl FnOnce(&mut [u8])) {
        assert_eq!(number.0, self.next, "reports are stored in order");
        if self.is_full() {
            self.unsent += 1;
        }
        let slot = self.slot_mut(number.0);
        slot.length = u8::try_from(length).expect("a report is at most 120 bytes");
        write(&mut slot.bytes[..length]);
        self.next += 1;
    }

    /// The oldest report not yet sent.
    #[inline]
    pub fn peek_unsent(&self) -> Option<&[u8]> {
        if self.is_flushed() { None } else { Some(self.slot(self.unsent)) }
    }

    /// The report that [`ReportStore::peek_unsent`] gave was sent.
    #[inline]
    pub fn mark_sent(&mut self) {
        assert!(self.unsent < self.next, "{} was stored before it is sent", self.unsent);
        self.unsent += 1;
    }

    /// Sends again from `number` on: what is kept from there counts as unsent.
    pub fn rewind(&mut self, number: SeqNum) {
        let kept = u32::try_from(self.slots.len()).expect("capacity was a u32");
        let oldest = self.next.saturating_sub(kept).max(SeqNum::FIRST.0);
        self.unsent = self.unsent.min(number.0.max(oldest));
    }

    #[inline]
    fn index(&self, number: u32) -> usize {
        // The capacity is a power of two, so the remainder is a mask.
        usize::try_from(number).expect("usize has 32 bits at least") & (self.slots.len() - 1)
    }

    #[inline]
    fn slot(&self, number: u32) -> &[u8] {
        let slot = &self.slots[self.index(number)];
        &slot.bytes[..usize::from(slot.length)]
    }

    #[inline]
    fn slot_mut(&mut self, number: u32) -> &mut Slot {
        let index = self.index(number);
        &mut self.slots[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(store: &mut ReportStore, number: u32) {
        store.push(SeqNum(number), 4, |slot| slot.copy_from_slice(&number.to_le_bytes()));
    }

    fn drain(store: &mut ReportStore) -> Vec<u32> {
        let mut sent = Vec::new();
        while let Some(bytes) = store.peek_unsent() {
            sent.push(u32::from_le_bytes(bytes.try_into().expect("four bytes")));
            store.mark_sent();
        }
        sent
    }

    #[test]
    fn reports_come_out_once_in_order() {
        let mut store = ReportStore::new(4);
        for number in 1..=3 {
            push(&mut store, number);
        }
        assert_eq!(drain(&mut store), [1, 2, 3]);
        assert!(store.is_flushed());
        push(&mut store, 4);
        assert_eq!(drain(&mut store), [4]);
    }

    #[test]
    fn a_full_store_says_so_and_drops_the_oldest() {
        let mut store = ReportStore::new(4);
        for number in 1..=4 {
            assert!(!store.is_full());
            push(&mut store, number);
        }
        assert!(store.is_full());
        push(&mut store, 5);
        assert_eq!(drain(&mut store), [2, 3, 4, 5]);
    }

    #[test]
    fn sent_reports_are_sent_again_as_far_as_they_are_kept() {
        let mut store = ReportStore::new(4);
        for number in 1..=6 {
            push(&mut store, number);
            drain(&mut store);
        }
        store.rewind(SeqNum(4));
        assert_eq!(drain(&mut store), [4, 5, 6]);
        store.rewind(SeqNum(1));
        assert_eq!(drain(&mut store), [3, 4, 5, 6], "1 and 2 are overwritten");
    }
}
