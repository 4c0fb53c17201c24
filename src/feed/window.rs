//! Messages that came before those they follow, kept until the hole in front of them is filled.
//!
//! One place a message, found by its sequence number: whatever order copies come in, by whichever line, each number is
//! kept once, and what follows the hole is there to be taken in order. The same places serve the short wait for a packet
//! out of order and the long one for a retransmission or a snapshot.

use crate::types::Nanos;

/// Bytes of a message that are kept. No message of ITCH 5.0 is longer than 50, so one that is cut here is refused by the
/// decoder just as the whole of it would be: by its type, or because its length is not its type's.
pub const KEPT_BYTES: usize = 54;

/// Bit of [`Place::length`] that says that with this message a packet began.
const BEGINS_PACKET: u16 = 1 << 15;

/// One message: 64 bytes, a cache line.
#[derive(Clone, Copy, Debug)]
struct Place {
    arrived: Nanos,
    length: u16,
    bytes: [u8; KEPT_BYTES],
}

const _: () = assert!(size_of::<Place>() == 64, "a place is a cache line");

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is kept.
    New,
    /// It was there already, or came before what is awaited.
    Had,
    /// It is too far ahead.
    NoRoom,
}

/// Messages ahead of the next one, up to as many as there are places.
#[derive(Clone, Debug)]
pub struct Window {
    places: Vec<Place>,
    /// A bit for each place that is taken.
    taken: Vec<u64>,
    /// The number that is awaited: every message kept is at or beyond it, and nearer than there are places.
    base: u64,
    /// One past the highest number kept since the last restart.
    highest: u64,
    count: u64,
    packets: u32,
}

impl Window {
    /// Room for `messages`, rounded up to a power of two of at least 64; or for none. 64 bytes each, all allocated and
    /// touched here.
    pub fn new(messages: usize) -> Window {
        let size = if messages == 0 { 0 } else { messages.next_power_of_two().max(64) };
        let empty = Place { arrived: Nanos(0), length: 0, bytes: [0; KEPT_BYTES] };
        let mut places = Vec::with_capacity(size);
        // Written one by one: pages of zeros would be given by the kernel only when they are first written to.
        places.resize_with(size, || std::hint::black_box(empty));
        Window { places, taken: vec![0; size / 64], base: 1, highest: 1, count: 0, packets: 0 }
    }

    /// Messages there is room for.
    #[inline]
    pub fn capacity(&self) -> u64 {
        u64::try_from(self.places.len()).unwrap_or(u64::MAX)
    }

    /// Whether no message is kept.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Packets of which a message is kept that none had brought before.
    #[inline]
    pub const fn packets(&self) -> u32 {
        self.packets
    }

    /// The number that is awaited.
    #[inline]
    pub const fn base(&self) -> u64 {
        self.base
    }

    /// One past the highest number kept; the number awaited where none is.
    pub fn end(&self) -> u64 {
        self.highest.max(self.base)
    }

    /// Word and bit of a number. Only where there are places.
    #[inline]
    fn bit(&self, sequence: u64) -> (usize, u64) {
        let place = self.place(sequence);
        (place / 64, 1 << (place % 64))
    }

    #[inline]
    fn place(&self, sequence: u64) -> usize {
        usize::try_from(sequence & (self.capacity() - 1)).expect("below the count of places")
    }

    /// Whether `sequence` is one that a place stands for now.
    #[inline]
    fn is_within(&self, sequence: u64) -> bool {
        sequence >= self.base && sequence - self.base < self.capacity()
    }

    /// Whether the message is kept.
    #[inline]
    pub fn has(&self, sequence: u64) -> bool {
        if !self.is_within(sequence) {
            return false;
        }
        let (word, bit) = self.bit(sequence);
        self.taken[word] & bit != 0
    }

    /// Keeps a copy of a message; `begins_packet` marks the first of a packet that is new.
    pub fn keep(&mut self, sequence: u64, bytes: &[u8], now: Nanos, begins_packet: bool) -> Kept {
        if sequence < self.base {
            return Kept::Had;
        }
        if !self.is_within(sequence) {
            return Kept::NoRoom;
        }
        let (word, bit) = self.bit(sequence);
        if self.taken[word] & bit != 0 {
            return Kept::Had;
        }
        self.taken[word] |= bit;
        self.count += 1;
        self.highest = self.highest.max(sequence.saturating_add(1));
        self.packets += u32::from(begins_packet);
        let place = self.place(sequence);
        let kept = &bytes[..bytes.len().min(KEPT_BYTES)];
        let place = &mut self.places[place];
        place.arrived = now;
        place.length = u16::try_from(kept.len()).unwrap_or(0);
        place.length |= if begins_packet { BEGINS_PACKET } else { 0 };
        place.bytes[..kept.len()].copy_from_slice(kept);
        Kept::New
    }

    /// The message awaited, if it is kept; the next one is awaited then.
    pub fn take(&mut self) -> Option<&[u8]> {
        if self.count == 0 || !self.has(self.base) {
            return None;
        }
        let place = self.place(self.base);
        self.free(self.base);
        self.base += 1;
        let place = &self.places[place];
        Some(&place.bytes[..usize::from(place.length & !BEGINS_PACKET)])
    }

    fn free(&mut self, sequence: u64) {
        let (word, bit) = self.bit(sequence);
        self.taken[word] &= !bit;
        self.count -= 1;
        let place = self.place(sequence);
        self.packets -= u32::from(self.places[place].length & BEGINS_PACKET != 0);
    }

    /// When the message came, if it is kept.
    pub fn arrived(&self, sequence: u64) -> Option<Nanos> {
        self.has(sequence).then(|| self.places[self.place(sequence)].arrived)
    }

    /// The next number from `sequence` on that is kept.
    pub fn first_kept(&self, sequence: u64) -> Option<u64> {
        self.find(sequence, |taken| taken)
    }

    /// The next number from `sequence` on that is not kept though there is a place for it.
    pub fn first_missing(&self, sequence: u64) -> Option<u64> {
        self.find(sequence, |taken| !taken)
    }

    /// How many of the numbers awaited before `sequence` are not kept. 64 numbers a step.
    pub fn missing_before(&self, sequence: u64) -> u64 {
        let (mut at, mut kept) = (self.base, 0);
        let end = sequence.min(self.base.saturating_add(self.capacity()));
        while at < end {
            let (word, bit) = self.bit(at);
            let count = (end - at).min(u64::from(64 - bit.trailing_zeros()));
            let mask = (u64::MAX >> (64 - count)) << bit.trailing_zeros();
            kept += u64::from((self.taken[word] & mask).count_ones());
            at = at.saturating_add(count);
        }
        sequence.saturating_sub(self.base) - kept
    }

    /// The next number from `sequence` on whose bit is set in what `look` makes of its word. 64 numbers a step.
    fn find(&self, sequence: u64, look: impl Fn(u64) -> u64) -> Option<u64> {
        let mut at = sequence.max(self.base);
        while self.is_within(at) {
            let (word, bit) = self.bit(at);
            // Those from `at` on, in the low bits.
            let bits = look(self.taken[word]) >> bit.trailing_zeros();
            if bits != 0 {
                at = at.checked_add(u64::from(bits.trailing_zeros()))?;
                return self.is_within(at).then_some(at);
            }
            at = at.checked_add(u64::from(64 - bit.trailing_zeros()))?;
        }
        None
    }

    /// Awaits `sequence`, which is at or beyond what was awaited, and forgets what came before it; returns how many
    /// messages those were.
    ///
    /// # Panics
    /// If it lies before: what was let go does not come back.
    #[inline]
    pub fn advance(&mut self, sequence: u64) -> u64 {
        assert!(sequence >= self.base, "{sequence} is before {}", self.base);
        if self.count == 0 {
            self.base = sequence;
            return 0;
        }
        self.forget_before(sequence)
    }

    #[cold]
    fn forget_before(&mut self, sequence: u64) -> u64 {
        let before = self.count;
        while let Some(kept) = self.first_kept(self.base).filter(|&kept| kept < sequence) {
            self.free(kept);
            self.base = kept + 1;
        }
        self.base = sequence;
        before - self.count
    }

    /// Forgets everything and awaits `sequence`.
    pub fn restart(&mut self, sequence: u64) {
        self.taken.fill(0);
        (self.base, self.highest, self.count, self.packets) = (sequence, sequence, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::itch50::LENGTHS;
    use crate::sim::prng::SplitMix;
    use std::collections::BTreeMap;
    use std::collections::btree_map::Entry;

    const NOW: Nanos = Nanos(7);

    #[test]
    fn every_known_message_is_kept_whole() {
        let longest = LENGTHS.iter().map(|&length| usize::from(length)).max();
        assert!(longest.is_some_and(|longest| longest < KEPT_BYTES), "{longest:?}");
    }

    #[test]
    fn what_follows_a_hole_is_taken_in_order_once_the_hole_is_filled() {
        let mut window = Window::new(64);
        window.restart(10);
        assert_eq!(window.keep(12, b"twelve", NOW, true), Kept::New);
        assert_eq!(window.keep(11, b"eleven", NOW, true), Kept::New);
        assert_eq!(window.keep(12, b"other", NOW, true), Kept::Had);
        assert_eq!(window.keep(9, b"nine", NOW, true), Kept::Had);
        assert_eq!(window.take(), None);
        assert_eq!((window.first_kept(10), window.first_missing(10)), (Some(11), Some(10)));
        assert_eq!((window.first_missing(11), window.packets()), (Some(13), 2));
        assert_eq!(window.keep(10, b"ten", NOW, false), Kept::New);
        for expected in [b"ten".as_slice(), b"eleven", b"twelve"] {
            assert_eq!(window.take(), Some(expected));
        }
        assert_eq!(window.take(), None);
        assert_eq!((window.base(), window.packets()), (13, 0));
        assert!(window.is_empty());
    }

    #[test]
    fn the_last_place_is_had_and_the_one_beyond_is_not() {
        let mut window = Window::new(64);
        window.restart(5);
        assert_eq!(window.keep(68, b"x", NOW, true), Kept::New);
        assert_eq!(window.keep(69, b"x", NOW, true), Kept::NoRoom);
        assert_eq!(window.first_kept(0), Some(68));
        assert_eq!(window.first_kept(69), None);
        assert_eq!(window.first_missing(68), None);
        assert_eq!(window.advance(69), 1);
        assert_eq!(window.keep(69, b"x", NOW, true), Kept::New);
    }

    #[test]
    fn numbers_at_the_very_end_do_not_wrap() {
        let mut window = Window::new(64);
        window.restart(u64::MAX - 3);
        assert_eq!(window.keep(u64::MAX - 1, b"x", NOW, true), Kept::New);
        assert_eq!(window.first_kept(0), Some(u64::MAX - 1));
        assert_eq!(window.first_missing(u64::MAX - 1), Some(u64::MAX));
        assert_eq!(window.first_kept(u64::MAX), None);
        assert_eq!(window.advance(u64::MAX), 1);
    }

    #[test]
    fn without_places_nothing_is_kept() {
        let mut window = Window::new(0);
        assert_eq!(window.keep(1, b"x", NOW, true), Kept::NoRoom);
        assert_eq!(window.take(), None);
        assert_eq!((window.first_kept(1), window.first_missing(1)), (None, None));
        assert!(!window.has(1));
        assert_eq!(window.advance(9), 0);
    }

    /// The same made of a map.
    struct Plain {
        base: u64,
        kept: BTreeMap<u64, (u8, bool)>,
    }

    impl Plain {
        fn packets(&self) -> usize {
            self.kept.values().filter(|(_, begins)| *begins).count()
        }

        fn missing(&self, from: u64, capacity: u64) -> Option<u64> {
            (from.max(self.base)..self.base + capacity).find(|n| !self.kept.contains_key(n))
        }
    }

    #[test]
    fn it_does_what_a_map_does() {
        for seed in 0..50 {
            let mut random = SplitMix::new(seed);
            let mut window = Window::new(128);
            let mut plain = Plain { base: 1, kept: BTreeMap::new() };
            for step in 0..2_000 {
                let near = plain.base + u64::from(random.below(140));
                let byte = random.next_u64().to_le_bytes()[0];
                match random.below(16) {
                    0 => {
                        let dropped = plain.kept.range(..near).count();
                        plain.kept = plain.kept.split_off(&near);
                        plain.base = near;
                        assert_eq!(window.advance(near), u64::try_from(dropped).expect("few"));
                    }
                    1..=5 => {
                        let expected = plain.kept.remove(&plain.base).map(|(byte, _)| vec![byte]);
                        plain.base += u64::from(expected.is_some());
                        assert_eq!(window.take().map(<[u8]>::to_vec), expected, "{seed} {step}");
                    }
                    _ => {
                        let begins = byte.is_multiple_of(2);
                        let expected = match plain.kept.entry(near) {
                            _ if near - plain.base >= 128 => Kept::NoRoom,
                            Entry::Occupied(_) => Kept::Had,
                            Entry::Vacant(place) => {
                                place.insert((byte, begins));
                                Kept::New
                            }
                        };
                        assert_eq!(window.keep(near, &[byte], NOW, begins), expected);
                    }
                }
                assert_eq!(window.base(), plain.base);
                let first = plain.kept.range(near..).next().map(|(&number, _)| number);
                assert_eq!(window.first_kept(near), first, "seed {seed} step {step}");
                assert_eq!(window.first_missing(near), plain.missing(near, 128));
                assert_eq!(usize::try_from(window.packets()), Ok(plain.packets()));
                assert_eq!(window.is_empty(), plain.kept.is_empty());
                let missing = (plain.base..near).filter(|n| !plain.kept.contains_key(n)).count();
                assert_eq!(usize::try_from(window.missing_before(near)), Ok(missing));
                let last =
                    plain.kept.last_key_value().map_or(plain.base, |(&number, _)| number + 1);
                assert_eq!(window.end(), last);
            }
        }
    }
}
