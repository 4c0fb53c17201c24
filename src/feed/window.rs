//! Messages that came before those they follow, kept until the hole in front of them is filled.
//!
//! One place a message, found by its sequence number: whatever order copies come in, by whichever line, each number is
//! kept once, and what follows the hole is there to be taken in order. The same places serve the short wait for a packet
//! out of order and the long one for a retransmission or a snapshot.

use crate::types::Nanos;

/// Bytes of a cache line, of which a place is one or more.
const LINE_BYTES: usize = 64;

/// Bytes of a place in front of its message: when it came (8), its length (2), both in the machine's own order.
const HEAD_BYTES: usize = 10;

/// Bit of a place's length that says that with this message a packet began.
const BEGINS_PACKET: u16 = 1 << 15;

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
    /// Place after place.
    lines: Vec<[u8; LINE_BYTES]>,
    place_bytes: usize,
    places: usize,
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
    /// Room for `messages`, rounded up to a power of two of at least 64; or for none. Each has a place of `place_bytes`, all
    /// allocated and touched here.
    ///
    /// # Panics
    /// If a place is not a number of cache lines of 64 bytes, at least one.
    pub fn new(messages: usize, place_bytes: usize) -> Window {
        let place_lines = place_bytes / LINE_BYTES;
        assert!(place_lines > 0 && place_bytes.is_multiple_of(LINE_BYTES), "{place_bytes} bytes");
        let places = if messages == 0 { 0 } else { messages.next_power_of_two().max(64) };
        let mut lines = Vec::with_capacity(places * place_lines);
        // Written one by one: pages of zeros would be given by the kernel only when they are first written to.
        lines.resize_with(places * place_lines, || std::hint::black_box([0; LINE_BYTES]));
        let taken = vec![0; places / 64];
        Window { lines, place_bytes, places, taken, base: 1, highest: 1, count: 0, packets: 0 }
    }

    /// Messages there is room for.
    #[inline]
    pub fn capacity(&self) -> u64 {
        u64::try_from(self.places).unwrap_or(u64::MAX)
    }

    /// Bytes of a message that are kept; what is beyond is cut off. Places are chosen so that no message a decoder of the
    /// feed takes is cut, and one that is cut is read just as the whole of it would be.
    #[inline]
    pub const fn message_bytes(&self) -> usize {
        self.place_bytes - HEAD_BYTES
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
        let kept = &bytes[..bytes.len().min(self.message_bytes())];
        let length = u16::try_from(kept.len()).unwrap_or(0);
        let length = length | if begins_packet { BEGINS_PACKET } else { 0 };
        let place = self.place_mut(sequence);
        place[..8].copy_from_slice(&now.0.to_ne_bytes());
        place[8..HEAD_BYTES].copy_from_slice(&length.to_ne_bytes());
        place[HEAD_BYTES..][..kept.len()].copy_from_slice(kept);
        Kept::New
    }

    /// The message awaited, if it is kept; the next one is awaited then.
    pub fn take(&mut self) -> Option<&[u8]> {
        if self.count == 0 || !self.has(self.base) {
            return None;
        }
        let sequence = self.base;
        self.free(sequence);
        self.base += 1;
        let length = usize::from(self.length(sequence) & !BEGINS_PACKET);
        Some(&self.place_of(sequence)[HEAD_BYTES..][..length])
    }

    /// The bytes of the place of a number. Only where there are places.
    #[inline]
    fn place_of(&self, sequence: u64) -> &[u8] {
        &self.lines.as_flattened()[self.place(sequence) * self.place_bytes..][..self.place_bytes]
    }

    #[inline]
    fn place_mut(&mut self, sequence: u64) -> &mut [u8] {
        let at = self.place(sequence) * self.place_bytes;
        &mut self.lines.as_flattened_mut()[at..][..self.place_bytes]
    }

    fn length(&self, sequence: u64) -> u16 {
        let bytes = self.place_of(sequence)[8..].first_chunk();
        u16::from_ne_bytes(*bytes.expect("a place is longer"))
    }

    fn free(&mut self, sequence: u64) {
        let (word, bit) = self.bit(sequence);
        self.taken[word] &= !bit;
        self.count -= 1;
        self.packets -= u32::from(self.length(sequence) & BEGINS_PACKET != 0);
    }

    /// When the message came, if it is kept.
    pub fn arrived(&self, sequence: u64) -> Option<Nanos> {
        let bytes = || self.place_of(sequence).first_chunk().expect("a place is longer");
        self.has(sequence).then(|| Nanos(u64::from_ne_bytes(*bytes())))
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
    use crate::feed::iex::tp::IexTp;
    use crate::feed::itch50::LENGTHS;
    use crate::feed::moldudp64::MoldUdp64;
    use crate::feed::packet::Framing;
    use crate::sim::prng::SplitMix;
    use std::collections::BTreeMap;
    use std::collections::btree_map::Entry;

    const NOW: Nanos = Nanos(7);

    #[test]
    fn every_known_message_is_kept_whole() {
        let longest = LENGTHS.iter().map(|&length| usize::from(length)).max();
        let itch = Window::new(0, MoldUdp64::PLACE_BYTES).message_bytes();
        assert!(longest.is_some_and(|longest| longest < itch), "{longest:?}");
        // The longest of IEX is Auction Information.
        let iex = Window::new(0, IexTp::PLACE_BYTES).message_bytes();
        assert!(iex > 80, "{iex}");
    }

    #[test]
    fn a_message_is_kept_up_to_the_length_of_its_place() {
        for (place_bytes, longest) in [(64, 54), (128, 118)] {
            let mut window = Window::new(64, place_bytes);
            window.restart(62);
            let bytes: Vec<u8> = (0..longest + 1).collect();
            let lengths = [0, 1, longest - 1, longest, longest + 1].map(usize::from);
            // Around the last place and the first.
            for (sequence, length) in (62..).zip(lengths) {
                let now = Nanos(sequence);
                assert_eq!(window.keep(sequence, &bytes[..length], now, true), Kept::New);
            }
            for (sequence, length) in (62..).zip(lengths) {
                assert_eq!(window.arrived(sequence), Some(Nanos(sequence)));
                let kept = &bytes[..length.min(longest.into())];
                assert_eq!(window.take(), Some(kept), "{place_bytes} {length}");
            }
        }
    }

    #[test]
    fn what_follows_a_hole_is_taken_in_order_once_the_hole_is_filled() {
        let mut window = Window::new(64, 64);
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
        let mut window = Window::new(64, 64);
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
        let mut window = Window::new(64, 64);
        window.restart(u64::MAX - 3);
        assert_eq!(window.keep(u64::MAX - 1, b"x", NOW, true), Kept::New);
        assert_eq!(window.first_kept(0), Some(u64::MAX - 1));
        assert_eq!(window.first_missing(u64::MAX - 1), Some(u64::MAX));
        assert_eq!(window.first_kept(u64::MAX), None);
        assert_eq!(window.advance(u64::MAX), 1);
    }

    #[test]
    fn without_places_nothing_is_kept() {
        let mut window = Window::new(0, 64);
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
            let mut window = Window::new(128, 64);
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
