//! The last messages of a MoldUDP64 session, kept to be sent again.

use std::collections::VecDeque;
use std::ops::Range;

/// Bytes of a block's length field (MoldUDP64 1.00, "Message Block").
const LENGTH_BYTES: usize = 2;

/// The last messages, as message blocks, the oldest dropped when there is no room for a new one. Bytes and messages are
/// bounded; allocates when it is made, and never after.
#[derive(Debug)]
pub struct MoldStore {
    /// Blocks one after the other; none is split, so the end of the room may stay unused.
    bytes: Vec<u8>,
    /// Where the next block goes.
    head: usize,
    /// Where each block begins, oldest first.
    places: VecDeque<usize>,
    messages_max: usize,
    /// The number of the next message.
    next_sequence: u64,
}

impl MoldStore {
    /// A store for so many messages and bytes, whichever is reached first, each block's two bytes of length counted.
    /// The first message is number 1. A store of 0 messages or bytes keeps nothing.
    pub fn new(messages_max: usize, bytes_max: usize) -> MoldStore {
        MoldStore {
            bytes: vec![0; bytes_max],
            head: 0,
            places: VecDeque::with_capacity(messages_max),
            messages_max,
            next_sequence: 1,
        }
    }

    /// Keeps the next message. One that is longer than the whole store empties it and is not kept.
    ///
    /// # Panics
    /// If the message is longer than 65,535 bytes: a bug of ours.
    #[inline]
    pub fn push(&mut self, message: &[u8]) {
        self.next_sequence += 1;
        let block = LENGTH_BYTES + message.len();
        if self.messages_max == 0 || block > self.bytes.len() {
            self.places.clear();
            self.head = 0;
            return;
        }
        if self.head + block > self.bytes.len() {
            // What lies between here and the end is older than what lies at the start.
            while self.places.front().is_some_and(|&place| place >= self.head) {
                self.places.pop_front();
            }
            self.head = 0;
        }
        let end = self.head + block;
        let is_hit = |place: &usize| (self.head..end).contains(place);
        while self.places.len() == self.messages_max || self.places.front().is_some_and(is_hit) {
            self.places.pop_front();
        }
        let length = u16::try_from(message.len()).expect("a message fits a packet");
        self.bytes[self.head..self.head + LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
        self.bytes[self.head + LENGTH_BYTES..end].copy_from_slice(message);
        self.places.push_back(self.head);
        self.head = end;
    }

    /// Numbers of the messages that are kept.
    pub fn kept(&self) -> Range<u64> {
        let count = u64::try_from(self.places.len()).expect("a length");
        self.next_sequence - count..self.next_sequence
    }

    /// The block, length field and message, of the message with this number.
    pub fn block(&self, sequence: u64) -> Option<&[u8]> {
        let index = usize::try_from(sequence.checked_sub(self.kept().start)?).ok()?;
        let place = *self.places.get(index)?;
        let length = u16::from_be_bytes([self.bytes[place], self.bytes[place + 1]]);
        Some(&self.bytes[place..place + LENGTH_BYTES + usize::from(length)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::prng::SplitMix;

    fn message(store: &MoldStore, sequence: u64) -> Option<&[u8]> {
        store.block(sequence).map(|block| &block[LENGTH_BYTES..])
    }

    #[test]
    fn the_oldest_goes_when_messages_or_bytes_are_full() {
        let mut store = MoldStore::new(3, 1_000);
        assert_eq!(store.kept(), 1..1);
        for text in [&b"a"[..], b"bb", b"ccc", b"dddd"] {
            store.push(text);
        }
        assert_eq!(store.kept(), 2..5);
        assert_eq!((message(&store, 1), message(&store, 5)), (None, None));
        assert_eq!(message(&store, 2), Some(&b"bb"[..]));
        assert_eq!(store.block(4), Some(&b"\0\x04dddd"[..]));
        let mut store = MoldStore::new(100, 12);
        for text in [&b"aaaa"[..], b"bbbb", b"c"] {
            store.push(text);
        }
        assert_eq!((store.kept(), message(&store, 2)), (2..4, Some(&b"bbbb"[..])));
    }

    #[test]
    fn a_message_longer_than_the_store_is_not_kept_but_counts() {
        for (messages, bytes) in [(4, 5), (0, 100), (4, 0)] {
            let mut store = MoldStore::new(messages, bytes);
            store.push(b"a");
            store.push(b"bbbb");
            assert_eq!((store.kept(), store.block(2)), (3..3, None));
            store.push(b"c");
            assert_eq!(store.block(3).is_some(), messages > 0 && bytes > 0);
        }
    }

    /// Against a list that keeps everything: the store has the newest of them, unchanged, and never fewer than surely fit.
    #[test]
    fn what_is_kept_is_what_was_pushed_last() {
        for seed in 0..40 {
            let mut random = SplitMix::new(seed);
            let (messages_max, bytes_max) = (1 + random.below(40), 60 + random.below(600));
            let size = |number| usize::try_from(number).expect("small");
            let mut store = MoldStore::new(size(messages_max), size(bytes_max));
            let mut all: Vec<Vec<u8>> = Vec::new();
            for _ in 0..2_000 {
                let fill = u8::try_from(random.below(256)).expect("a byte");
                let pushed = vec![fill; size(random.below(50))];
                store.push(&pushed);
                all.push(pushed);
                let kept = store.kept();
                assert_eq!(kept.end, u64::try_from(all.len()).expect("few") + 1);
                assert!(kept.end - kept.start >= 1);
                for sequence in kept.clone() {
                    let pushed = all[usize::try_from(sequence).expect("few") - 1].as_slice();
                    assert_eq!(message(&store, sequence), Some(pushed));
                }
                assert_eq!((store.block(kept.start - 1), store.block(kept.end)), (None, None));
                let used: usize =
                    kept.filter_map(|sequence| store.block(sequence)).map(<[u8]>::len).sum();
                assert!(used <= size(bytes_max) && store.places.len() <= size(messages_max));
                // Of room for at least two of the longest each, more than half is in use once it was full.
                let is_full = all.len() > 1_000 && store.places.len() < size(messages_max);
                assert!(!is_full || used + 2 * 51 >= size(bytes_max) / 2);
            }
        }
    }
}
