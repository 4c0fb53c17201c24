//! Which channel and line a destination is: a table that one look answers, and the counting of what it does not know.

use std::net::SocketAddrV4;

use crate::net::source::{Datagram, DatagramHandler, RxStamp};
use crate::net::xdp::frame::{Refused, read_udp};
use crate::types::ChannelId;

/// Slots of the smallest table.
const SLOTS_MIN: usize = 64;

/// A destination: four of them to a cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
struct Slot {
    /// Address and port; 0 where the slot is empty, which is no address of anybody.
    key: u64,
    channel: u32,
    line: u32,
}

/// Destinations by address and port: open addressing, at most half full, so that a look is nearly always one cache line.
#[derive(Debug)]
struct Flows {
    slots: Box<[Slot]>,
    count: usize,
}

fn key_of(to: SocketAddrV4) -> u64 {
    u64::from(to.ip().to_bits()) << 16 | u64::from(to.port())
}

impl Flows {
    fn new() -> Flows {
        Flows { slots: vec![Slot::default(); SLOTS_MIN].into_boxed_slice(), count: 0 }
    }

    /// The slot that has `key`, or the empty one where it belongs. There always is an empty one.
    #[inline]
    fn place(&self, key: u64) -> usize {
        let mask = self.slots.len() - 1;
        // The upper half of the product depends on all bits of the key (Knuth, The Art of Computer Programming, 6.4).
        let mixed = key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let mut place = usize::try_from(mixed).unwrap_or(0) & mask;
        while !matches!(self.slots[place].key, other if other == key || other == 0) {
            place = (place + 1) & mask;
        }
        place
    }

    /// Adds a destination, or changes whose it is.
    fn insert(&mut self, to: SocketAddrV4, channel: ChannelId, line: u8) {
        let key = key_of(to);
        let is_new = self.slots[self.place(key)].key == 0;
        self.count += usize::from(is_new);
        if self.count * 2 > self.slots.len() {
            let more = vec![Slot::default(); self.slots.len() * 2].into_boxed_slice();
            let old = std::mem::replace(&mut self.slots, more);
            for slot in old.iter().filter(|slot| slot.key != 0) {
                let place = self.place(slot.key);
                self.slots[place] = *slot;
            }
        }
        let place = self.place(key);
        self.slots[place] = Slot { key, channel: channel.0, line: u32::from(line) };
    }

    #[inline]
    fn find(&self, to: SocketAddrV4) -> Option<(ChannelId, u8)> {
        let key = key_of(to);
        let slot = &self.slots[self.place(key)];
        let [line, ..] = slot.line.to_le_bytes();
        (key != 0 && slot.key == key).then_some((ChannelId(slot.channel), line))
    }
}

/// What became of frames. Each is counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameCounts {
    /// Handed on.
    pub handed: u64,
    /// Nobody's: not subscribed to, or not any more.
    pub unsubscribed: u64,
    /// Refused: [`Refused::Cut`].
    pub cut: u64,
    /// Refused: [`Refused::NotUdp`].
    pub not_udp: u64,
    /// Refused: [`Refused::Fragment`].
    pub fragment: u64,
    /// Refused: [`Refused::BadLength`].
    pub bad_length: u64,
    /// Refused: [`Refused::BadChecksum`].
    pub bad_checksum: u64,
}

impl FrameCounts {
    /// Those that were refused, whatever for.
    pub const fn refused(&self) -> u64 {
        self.cut + self.not_udp + self.fragment + self.bad_length + self.bad_checksum
    }

    /// All of them.
    pub const fn total(&self) -> u64 {
        self.handed + self.unsubscribed + self.refused()
    }

    #[cold]
    fn refuse(&mut self, why: Refused) {
        *match why {
            Refused::Cut => &mut self.cut,
            Refused::NotUdp => &mut self.not_udp,
            Refused::Fragment => &mut self.fragment,
            Refused::BadLength => &mut self.bad_length,
            Refused::BadChecksum => &mut self.bad_checksum,
        } += 1;
    }
}

/// From frames to datagrams of channels: needs no interface, only bytes.
#[derive(Debug)]
pub struct Sorter {
    flows: Flows,
    counts: FrameCounts,
}

impl Default for Sorter {
    fn default() -> Sorter {
        Sorter::new()
    }
}

impl Sorter {
    /// One that knows no destination.
    pub fn new() -> Sorter {
        Sorter { flows: Flows::new(), counts: FrameCounts::default() }
    }

    /// From now on what is sent to `to` is line `line` of `channel`. Allocates.
    pub fn insert(&mut self, to: SocketAddrV4, channel: ChannelId, line: u8) {
        self.flows.insert(to, channel, line);
    }

    /// Hands on the datagram in a frame, or counts why not; any bytes will do. `true`: it was handed on. Reads the datagram once, for
    /// its checksum, and copies nothing.
    #[inline]
    pub fn take<H: DatagramHandler>(
        &mut self,
        frame: &[u8],
        stamp: RxStamp,
        handler: &mut H,
    ) -> bool {
        let udp = match read_udp(frame) {
            Ok(udp) => udp,
            Err(why) => {
                self.counts.refuse(why);
                return false;
            }
        };
        let Some((channel, line)) = self.flows.find(udp.destination) else {
            self.counts.unsubscribed += 1;
            return false;
        };
        self.counts.handed += 1;
        handler.on_datagram(Datagram { channel, line, stamp, payload: udp.payload });
        true
    }

    /// What became of frames so far.
    pub const fn counts(&self) -> FrameCounts {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::Ipv4Addr;

    use proptest::prelude::{ProptestConfig, any, prop, proptest};

    use super::*;
    use crate::net::source::RxClock;
    use crate::net::xdp::frame::{Path, write_udp};

    const NO_STAMP: RxStamp = RxStamp { ns: 0, clock: RxClock::None };

    #[derive(Default)]
    struct Seen(Vec<(u32, u8, Vec<u8>)>);

    impl DatagramHandler for Seen {
        fn on_datagram(&mut self, datagram: Datagram<'_>) {
            self.0.push((datagram.channel.0, datagram.line, datagram.payload.to_vec()));
        }
    }

    fn frame(to: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
        let path = Path {
            source_mac: [2; 6],
            destination_mac: [1, 0, 0x5E, 1, 2, 3],
            source: SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 4_000),
            destination: to,
            ttl: 1,
            tos: 0,
        };
        let mut frame = vec![0; 64 + payload.len()];
        let length = write_udp(&mut frame, &path, payload);
        frame.truncate(length);
        frame
    }

    fn group(last: u8, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::new(239, 1, 2, last), port)
    }

    #[test]
    fn groups_and_lines_come_out_of_one_ring_each_as_what_it_is() {
        let mut sorter = Sorter::new();
        sorter.insert(group(1, 5_000), ChannelId(7), 0);
        sorter.insert(group(2, 5_000), ChannelId(7), 1);
        sorter.insert(group(1, 5_001), ChannelId(8), 0);
        let mut seen = Seen::default();
        for (to, payload) in
            [(group(2, 5_000), "b"), (group(1, 5_000), "a"), (group(1, 5_001), "c")]
        {
            assert!(sorter.take(&frame(to, payload.as_bytes()), NO_STAMP, &mut seen));
        }
        for to in [group(3, 5_000), group(2, 5_001), group(0, 0)] {
            assert!(!sorter.take(&frame(to, b"nobody's"), NO_STAMP, &mut seen));
        }
        let expected = [(7, 1, b"b".to_vec()), (7, 0, b"a".to_vec()), (8, 0, b"c".to_vec())];
        assert_eq!(seen.0, expected);
        let counts = FrameCounts { handed: 3, unsubscribed: 3, ..FrameCounts::default() };
        assert_eq!((sorter.counts(), counts.total()), (counts, 6));
    }

    #[test]
    fn each_reason_has_its_count() {
        let mut sorter = Sorter::new();
        let to = group(1, 5_000);
        sorter.insert(to, ChannelId(1), 0);
        let mut seen = Seen::default();
        let mut changed = |at: usize, value: u8| {
            let mut changed = frame(to, b"payload");
            changed[at] = value;
            assert!(!sorter.take(&changed, NO_STAMP, &mut seen), "byte {at}");
            sorter.counts()
        };
        assert_eq!(changed(12, 0x81).not_udp, 1, "a VLAN tag");
        assert_eq!(changed(14, 0x46).not_udp, 2, "options");
        assert_eq!(changed(20, 0x20).fragment, 1, "a first fragment");
        assert_eq!(changed(38, 0xFF).bad_length, 1);
        assert_eq!(changed(44, b'x').bad_checksum, 1, "the payload is another");
        assert_eq!(changed(33, 9).bad_checksum, 2, "the group is another");
        assert!(!sorter.take(&frame(to, b"payload")[..40], NO_STAMP, &mut seen));
        assert_eq!((sorter.counts().cut, sorter.counts().refused()), (1, 7));
        assert_eq!((sorter.counts().total(), seen.0.len()), (7, 0));
    }

    #[test]
    fn as_many_destinations_as_an_interface_can_have_are_found() {
        let mut flows = Flows::new();
        let all: Vec<SocketAddrV4> =
            (0..4).flat_map(|last| (0..256).map(move |port| group(last, 20_000 + port))).collect();
        for (number, to) in (0..).zip(&all) {
            flows.insert(*to, ChannelId(number), 1);
            flows.insert(*to, ChannelId(number), 0);
        }
        assert_eq!((flows.count, flows.slots.len()), (1_024, 2_048));
        for (number, to) in (0..).zip(&all) {
            assert_eq!(flows.find(*to), Some((ChannelId(number), 0)), "{to}");
        }
        assert_eq!(flows.find(group(4, 20_000)), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_was_put_in_is_found_and_nothing_else(
            put in prop::collection::vec((any::<u32>(), 1_u16.., any::<u32>(), any::<u8>()), 0..300),
            looked in prop::collection::vec((any::<u32>(), any::<u16>()), 0..100),
        ) {
            let (mut flows, mut naive) = (Flows::new(), BTreeMap::new());
            for (ip, port, channel, line) in put {
                let to = SocketAddrV4::new(Ipv4Addr::from_bits(ip), port);
                flows.insert(to, ChannelId(channel), line);
                naive.insert(to, (ChannelId(channel), line));
            }
            let looked = looked.into_iter().map(|(ip, port)| SocketAddrV4::new(Ipv4Addr::from_bits(ip), port));
            for to in looked.chain(naive.keys().copied().collect::<Vec<_>>()) {
                assert_eq!(flows.find(to), naive.get(&to).copied(), "{to}");
            }
        }

        #[test]
        fn every_frame_is_counted_once_whatever_is_in_it(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..90), 0..40),
        ) {
            let mut sorter = Sorter::new();
            sorter.insert(group(1, 5_000), ChannelId(1), 0);
            let mut seen = Seen::default();
            let handed = frames.iter().filter(|frame| sorter.take(frame, NO_STAMP, &mut seen)).count();
            assert_eq!(handed, seen.0.len());
            assert_eq!(sorter.counts().total(), u64::try_from(frames.len()).expect("few"));
        }
    }
}
