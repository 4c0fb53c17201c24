//! A line that loses, duplicates, reorders, delays and corrupts packets, the same way for the same seed.
//!
//! Time is counted in packets, as a sink has no clock: a held packet waits for later ones to be sent. Where none come, it
//! waits for [`QUIET_FLUSHES`] flushes in a row, so nothing is held for ever by whoever goes on flushing; who will not
//! calls [`Impaired::release`].

use std::io;

use crate::net::PacketSink;
use crate::sim::mold_out::PACKET_BYTES_LARGEST;
use crate::sim::prng::SplitMix;
use crate::sim::slab::at;

/// So many flushes with no packet in between let out what is held.
pub const QUIET_FLUSHES: u32 = 64;
/// The largest [`Impairment::distance_max`]: it bounds the memory of a line.
pub const DISTANCE_LARGEST: u32 = 1_024;
/// Every packet.
pub const PPM_ALL: u32 = 1_000_000;

/// Bytes in a row whose bits are flipped, at most.
const CORRUPT_BYTES_MAX: u32 = 4;

/// What is done to a line. Rates are parts per million of its packets; all but the loss, of those that are not lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Impairment {
    /// Packets that never come out.
    pub loss_ppm: u32,
    /// Packets that come out twice, the second time up to `distance_max` packets later.
    pub duplicate_ppm: u32,
    /// Packets that let later ones go first.
    pub reorder_ppm: u32,
    /// Packets of which bits are flipped, or whose end is cut off. No checksum covers what is left, as if it had passed.
    pub corrupt_ppm: u32,
    /// Packets at which the line stalls: they and all behind them come out later, in their order.
    pub delay_ppm: u32,
    /// A delayed or reordered packet comes this many packets later at most, at least one. Up to 1,024.
    pub distance_max: u32,
}

impl Impairment {
    /// Whether packets pass as they are.
    pub fn is_none(&self) -> bool {
        let Impairment { loss_ppm, duplicate_ppm, reorder_ppm, corrupt_ppm, delay_ppm, .. } = *self;
        [loss_ppm, duplicate_ppm, reorder_ppm, corrupt_ppm, delay_ppm] == [0; 5]
    }

    /// Whether the numbers are inside their ranges.
    ///
    /// # Errors
    /// What is wrong, as a sentence's part.
    pub fn check(&self) -> Result<(), &'static str> {
        let moved = u64::from(self.reorder_ppm) + u64::from(self.delay_ppm);
        if [self.loss_ppm, self.duplicate_ppm, self.corrupt_ppm].iter().any(|&ppm| ppm > PPM_ALL) {
            Err("a rate is above all packets")
        } else if moved > u64::from(PPM_ALL) {
            Err("more than all packets are reordered or delayed")
        } else if self.distance_max > DISTANCE_LARGEST {
            Err("a distance is above 1,024 packets")
        } else if moved > 0 && self.distance_max == 0 {
            Err("packets are reordered or delayed by a distance of 0")
        } else {
            Ok(())
        }
    }
}

/// What was done to a line so far, in packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ImpairCounts {
    /// Given to the line.
    pub sent: u64,
    /// Never came out.
    pub lost: u64,
    /// Came out twice.
    pub duplicated: u64,
    /// Let later ones go first, or would have if there had been any.
    pub reordered: u64,
    /// Came out changed.
    pub corrupted: u64,
    /// Made the line stall; those behind them are not counted.
    pub delayed: u64,
    /// For which the sink had no room when they came out, even after a flush: lost too.
    pub refused: u64,
}

/// A held packet. In the order of the fields it comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    /// Comes out when this packet is sent.
    due: u64,
    /// After that packet, not before it: reordered ones and copies.
    is_after: bool,
    arrival: u64,
    slot: usize,
    bytes: usize,
}

/// A sink before which packets suffer. Allocates nothing after it is made; without impairment it costs one branch.
#[derive(Debug)]
pub struct Impaired<K> {
    sink: K,
    impairment: Impairment,
    random: SplitMix,
    counts: ImpairCounts,
    /// The first packet that finds the line moving again.
    stalled_until: u64,
    packet: Box<[u8; PACKET_BYTES_LARGEST]>,
    /// The last is the first to come out.
    held: Vec<Held>,
    slots: Vec<[u8; PACKET_BYTES_LARGEST]>,
    free: Vec<usize>,
    arrivals: u64,
    quiet_flushes: u32,
    /// What the sink said when it was flushed to make room; told at the next flush.
    error: Option<io::Error>,
}

impl<K: PacketSink> Impaired<K> {
    /// An impaired line before `sink`. What happens depends on `impairment`, `seed` and how many packets are sent alone.
    ///
    /// # Panics
    /// If [`Impairment::check`] refuses `impairment`.
    pub fn new(sink: K, impairment: Impairment, seed: u64) -> Impaired<K> {
        if let Err(fault) = impairment.check() {
            panic!("an impaired line: {fault}");
        }
        // A packet and its copy are held while at most so many later ones are sent.
        let slots = if impairment.is_none() { 0 } else { 2 * (at(impairment.distance_max) + 1) };
        Impaired {
            sink,
            impairment,
            random: SplitMix::new(seed),
            counts: ImpairCounts::default(),
            stalled_until: 0,
            packet: Box::new([0; PACKET_BYTES_LARGEST]),
            held: Vec::with_capacity(slots),
            slots: vec![[0; PACKET_BYTES_LARGEST]; slots],
            free: (0..slots).collect(),
            arrivals: 0,
            quiet_flushes: 0,
            error: None,
        }
    }

    /// What was done so far.
    pub fn counts(&self) -> ImpairCounts {
        self.counts
    }

    /// Packets, copies too, that have not come out yet.
    pub fn held_count(&self) -> usize {
        self.held.len()
    }

    /// The sink behind.
    pub fn sink(&self) -> &K {
        &self.sink
    }

    /// The sink behind, to be changed.
    pub fn sink_mut(&mut self) -> &mut K {
        &mut self.sink
    }

    /// Lets out all that is held, in order, without flushing the sink.
    pub fn release(&mut self) {
        self.stalled_until = 0;
        self.let_out(|_| true);
    }

    fn chance(&mut self, ppm: u32) -> bool {
        self.random.below(PPM_ALL) < ppm
    }

    /// Decides about the packet in `self.packet`, and sends and keeps accordingly.
    fn take(&mut self, mut bytes: usize) {
        let number = self.counts.sent;
        self.let_out(|held| held.due <= number && !held.is_after);
        if self.chance(self.impairment.loss_ppm) {
            self.counts.lost += 1;
        } else {
            if self.chance(self.impairment.corrupt_ppm) && bytes > 0 {
                self.counts.corrupted += 1;
                bytes = self.corrupt(bytes);
            }
            let (due, is_after) = self.place(number);
            if due <= number {
                give(&mut self.sink, &self.packet[..bytes], &mut self.counts, &mut self.error);
            } else {
                self.hold(due, is_after, bytes);
            }
            if self.chance(self.impairment.duplicate_ppm) {
                self.counts.duplicated += 1;
                let later = u64::from(self.random.below(self.impairment.distance_max + 1));
                self.hold((number + later).max(self.stalled_until), true, bytes);
            }
        }
        self.let_out(|held| held.due <= number);
    }

    /// When a packet comes out, and whether after the packet that is sent then.
    fn place(&mut self, number: u64) -> (u64, bool) {
        let Impairment { reorder_ppm, delay_ppm, distance_max, .. } = self.impairment;
        let drawn = self.random.below(PPM_ALL);
        if drawn < reorder_ppm {
            self.counts.reordered += 1;
            let due = number + 1 + u64::from(self.random.below(distance_max));
            return (due.max(self.stalled_until), true);
        }
        if drawn - reorder_ppm < delay_ppm {
            self.counts.delayed += 1;
            let until = number + 1 + u64::from(self.random.below(distance_max));
            // A stall is not drawn out by another: the first packet in it would wait too long.
            if self.stalled_until <= number {
                self.stalled_until = until;
            }
        }
        (number.max(self.stalled_until), false)
    }

    /// Flips bits of a few bytes in a row, or cuts the end off. Always changes the packet; returns its length from now on.
    fn corrupt(&mut self, bytes: usize) -> usize {
        let bound = u32::try_from(bytes).expect("a packet is short");
        let start = at(self.random.below(bound));
        if self.random.below(2) == 0 {
            return start;
        }
        let end = bytes.min(start + at(1 + self.random.below(CORRUPT_BYTES_MAX)));
        for byte in start..end {
            let mask = u8::try_from(1 + self.random.below(255)).expect("1 to 255");
            self.packet[byte] ^= mask;
        }
        bytes
    }

    fn hold(&mut self, due: u64, is_after: bool, bytes: usize) {
        let slot = self.free.pop().expect("as many slots as packets can be held");
        self.slots[slot][..bytes].copy_from_slice(&self.packet[..bytes]);
        let held = Held { due, is_after, arrival: self.arrivals, slot, bytes };
        self.arrivals += 1;
        let place = self.held.partition_point(|other| *other > held);
        self.held.insert(place, held);
    }

    /// Lets out the first of those held while `which` says so.
    fn let_out(&mut self, which: impl Fn(&Held) -> bool) {
        while let Some(&held) = self.held.last()
            && which(&held)
        {
            self.held.pop();
            let packet = &self.slots[held.slot][..held.bytes];
            give(&mut self.sink, packet, &mut self.counts, &mut self.error);
            self.free.push(held.slot);
        }
    }
}

/// Gives the sink a packet, after a flush if it has no room.
fn give<K: PacketSink>(
    sink: &mut K,
    packet: &[u8],
    counts: &mut ImpairCounts,
    error: &mut Option<io::Error>,
) {
    let send = |sink: &mut K| {
        sink.send_with(|room| {
            room[..packet.len()].copy_from_slice(packet);
            packet.len()
        })
    };
    if send(sink) {
        return;
    }
    if let Err(told) = sink.flush() {
        error.get_or_insert(told);
    }
    if !send(sink) {
        counts.refused += 1;
    }
}

impl<K: PacketSink> PacketSink for Impaired<K> {
    /// An impaired line always takes a packet, of up to 2,048 bytes; what its sink has no room for is counted as refused.
    fn send_with<F: FnOnce(&mut [u8]) -> usize>(&mut self, write: F) -> bool {
        self.quiet_flushes = 0;
        if self.impairment.is_none() {
            let is_taken = self.sink.send_with(write);
            self.counts.sent += u64::from(is_taken);
            return is_taken;
        }
        self.counts.sent += 1;
        let bytes = write(&mut self.packet[..]);
        assert!(bytes <= PACKET_BYTES_LARGEST, "a datagram of {bytes} bytes was not written here");
        self.take(bytes);
        true
    }

    /// Flushes the sink. The [`QUIET_FLUSHES`]th in a row lets out what is held.
    fn flush(&mut self) -> io::Result<()> {
        if !self.held.is_empty() {
            self.quiet_flushes += 1;
            if self.quiet_flushes >= QUIET_FLUSHES {
                self.release();
            }
        }
        let flushed = self.sink.flush();
        self.error.take().map_or(flushed, Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct Sink {
        queued: Vec<Vec<u8>>,
        out: Vec<Vec<u8>>,
        /// Packets taken between flushes; none: any number.
        room: Option<usize>,
        is_broken: bool,
    }

    impl PacketSink for Sink {
        fn send_with<F: FnOnce(&mut [u8]) -> usize>(&mut self, write: F) -> bool {
            if self.room == Some(self.queued.len()) {
                return false;
            }
            let mut packet = vec![0; PACKET_BYTES_LARGEST];
            let bytes = write(&mut packet);
            packet.truncate(bytes);
            self.queued.push(packet);
            true
        }

        fn flush(&mut self) -> io::Result<()> {
            if self.is_broken {
                self.queued.clear();
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            self.out.append(&mut self.queued);
            Ok(())
        }
    }

    fn impaired(impairment: Impairment, seed: u64) -> Impaired<Sink> {
        Impaired::new(Sink::default(), impairment, seed)
    }

    /// The packet of a number: its number, then 0 to 40 bytes of filling.
    fn packet(number: u32) -> Vec<u8> {
        let mut packet = number.to_be_bytes().to_vec();
        packet.resize(4 + usize::try_from(number % 41).expect("small"), 0xAB);
        packet
    }

    fn send(line: &mut Impaired<Sink>, packet: &[u8]) -> bool {
        line.send_with(|room| {
            room[..packet.len()].copy_from_slice(packet);
            packet.len()
        })
    }

    fn number_of(packet: &[u8]) -> u32 {
        u32::from_be_bytes(packet[..4].try_into().expect("4"))
    }

    /// What comes out of `count` packets, a flush each, and the line after.
    fn run(impairment: Impairment, seed: u64, count: u32) -> (Vec<Vec<u8>>, Impaired<Sink>) {
        let mut line = impaired(impairment, seed);
        for number in 0..count {
            assert!(send(&mut line, &packet(number)));
            line.flush().expect("the sink works");
        }
        line.release();
        line.flush().expect("the sink works");
        assert_eq!((line.held_count(), line.counts().refused), (0, 0));
        let out = std::mem::take(&mut line.sink_mut().out);
        (out, line)
    }

    fn numbers(out: &[Vec<u8>]) -> Vec<u32> {
        out.iter().map(|packet| number_of(packet)).collect()
    }

    const BAD: Impairment = Impairment {
        loss_ppm: 50_000,
        duplicate_ppm: 20_000,
        reorder_ppm: 30_000,
        corrupt_ppm: 0,
        delay_ppm: 10_000,
        distance_max: 7,
    };

    #[test]
    fn without_impairment_everything_passes_as_it_is() {
        let (out, line) = run(Impairment { distance_max: 9, ..Impairment::default() }, 3, 500);
        assert!(out.iter().eq((0..500).map(packet).collect::<Vec<_>>().iter()));
        assert_eq!(line.counts(), ImpairCounts { sent: 500, ..ImpairCounts::default() });
    }

    #[test]
    fn without_impairment_a_full_sink_says_so() {
        let mut line = impaired(Impairment::default(), 1);
        line.sink_mut().room = Some(1);
        assert!(send(&mut line, b"one"));
        assert!(!send(&mut line, b"two"));
        assert_eq!(line.counts().sent, 1);
    }

    #[test]
    fn the_same_seed_gives_the_same_line_and_another_seed_another() {
        let all = Impairment { corrupt_ppm: 30_000, ..BAD };
        let (one, line) = run(all, 5, 4_000);
        let (two, other) = run(all, 5, 4_000);
        assert_eq!((&one, line.counts()), (&two, other.counts()));
        assert_ne!(one, run(all, 6, 4_000).0);
    }

    #[test]
    fn every_packet_not_lost_comes_out_once_and_copies_come_on_top() {
        for seed in 0..20 {
            let (out, line) = run(BAD, seed, 5_000);
            let counts = line.counts();
            let mut times = vec![0_u64; 5_000];
            for packet_out in &out {
                let number = number_of(packet_out);
                assert_eq!(*packet_out, packet(number), "unchanged");
                times[usize::try_from(number).expect("small")] += 1;
            }
            let with = |n: u64| u64::try_from(times.iter().filter(|&&t| t == n).count());
            assert_eq!(with(0).expect("small"), counts.lost);
            assert_eq!(with(2).expect("small"), counts.duplicated);
            assert_eq!(with(1).expect("small"), 5_000 - counts.lost - counts.duplicated);
        }
    }

    #[test]
    fn each_kind_is_near_its_rate() {
        let impairment = Impairment { corrupt_ppm: 40_000, ..BAD };
        let (_, line) = run(impairment, 11, 100_000);
        let counts = line.counts();
        let near = |count: u64, ppm: u64, of: u64| {
            let expected = of * ppm / 1_000_000;
            // Six standard deviations of the binomial distribution, at most.
            assert!(count.abs_diff(expected).pow(2) < 36 * expected, "{count} for {expected}");
        };
        near(counts.lost, 50_000, counts.sent);
        let left = counts.sent - counts.lost;
        near(counts.duplicated, 20_000, left);
        near(counts.reordered, 30_000, left);
        near(counts.delayed, 10_000, left);
        near(counts.corrupted, 40_000, left);
    }

    #[test]
    fn nothing_comes_later_than_the_distance() {
        for (seed, distance_max) in [(1, 1), (2, 3), (3, 64)] {
            let impairment = Impairment {
                loss_ppm: 0,
                duplicate_ppm: 300_000,
                reorder_ppm: 400_000,
                delay_ppm: 300_000,
                distance_max,
                ..BAD
            };
            let mut line = impaired(impairment, seed);
            for number in 0..5_000_u32 {
                send(&mut line, &packet(number));
                line.flush().expect("the sink works");
                for packet in line.sink_mut().out.drain(..) {
                    assert!(number - number_of(&packet) <= distance_max);
                }
            }
        }
    }

    #[test]
    fn a_reordered_packet_lets_others_go_first_and_a_delayed_one_keeps_the_order() {
        let none = Impairment { distance_max: 5, ..Impairment::default() };
        let (out, _) = run(Impairment { reorder_ppm: 100_000, ..none }, 7, 2_000);
        assert!(!numbers(&out).is_sorted());
        let (out, line) = run(Impairment { delay_ppm: 100_000, ..none }, 7, 2_000);
        assert!(numbers(&out).iter().copied().eq(0..2_000));
        assert!(line.counts().delayed > 100);
        // Exactly one packet of distance: neighbours change places.
        let one = Impairment { reorder_ppm: PPM_ALL, distance_max: 1, ..none };
        let mut line = impaired(one, 1);
        for number in 0..3 {
            send(&mut line, &packet(number));
        }
        assert_eq!(numbers(&line.sink_mut().queued), [0, 1]);
    }

    #[test]
    fn a_stall_ends_with_everything_in_its_order() {
        let always = Impairment { delay_ppm: PPM_ALL, distance_max: 4, ..Impairment::default() };
        let mut line = impaired(always, 9);
        let mut bursts = 0;
        for number in 0..200 {
            let before = line.sink().queued.len();
            send(&mut line, &packet(number));
            bursts += usize::from(line.sink().queued.len() > before);
        }
        assert!(numbers(&line.sink().queued).is_sorted());
        assert!((40..200).contains(&bursts), "{bursts}");
    }

    #[test]
    fn a_quiet_line_lets_out_what_it_holds() {
        let always = Impairment { reorder_ppm: PPM_ALL, distance_max: 9, ..Impairment::default() };
        let mut line = impaired(always, 1);
        send(&mut line, b"last");
        for _ in 1..QUIET_FLUSHES {
            line.flush().expect("the sink works");
            assert_eq!((line.held_count(), line.sink().out.len()), (1, 0));
        }
        line.flush().expect("the sink works");
        assert_eq!((line.held_count(), line.sink().out.as_slice()), (0, &[b"last".to_vec()][..]));
        // A packet in between starts the count again.
        send(&mut line, b"a");
        for _ in 0..QUIET_FLUSHES / 2 {
            line.flush().expect("the sink works");
        }
        send(&mut line, b"b");
        line.flush().expect("the sink works");
        assert!(line.held_count() > 0);
    }

    #[test]
    fn a_corrupted_packet_is_always_another_and_never_longer() {
        let always = Impairment { corrupt_ppm: PPM_ALL, ..Impairment::default() };
        let mut line = impaired(always, 21);
        for number in 0..3_000 {
            let sent = packet(number);
            send(&mut line, &sent);
            let out = line.sink_mut().queued.pop().expect("a packet");
            assert!(out != sent && out.len() <= sent.len());
        }
        send(&mut line, b"");
        assert_eq!(line.sink_mut().queued.pop().as_deref(), Some(&b""[..]));
        assert_eq!(line.counts().corrupted, 3_000);
        let mut whole = vec![1; PACKET_BYTES_LARGEST];
        whole[0] = 9;
        assert!(send(&mut line, &whole));
    }

    #[test]
    fn a_sink_without_room_is_flushed_first_and_then_refuses() {
        let twice = Impairment { duplicate_ppm: PPM_ALL, ..Impairment::default() };
        let mut line = impaired(twice, 1);
        line.sink_mut().room = Some(1);
        for number in 0..4 {
            assert!(send(&mut line, &packet(number)));
        }
        line.flush().expect("the sink works");
        assert_eq!(numbers(&line.sink().out), [0, 0, 1, 1, 2, 2, 3, 3]);
        line.sink_mut().room = Some(0);
        assert!(send(&mut line, &packet(4)));
        assert_eq!(line.counts().refused, 2);
        (line.sink_mut().room, line.sink_mut().is_broken) = (Some(1), true);
        assert!(send(&mut line, &packet(5)));
        assert!(line.flush().is_err(), "of the flush that made room");
        line.sink_mut().is_broken = false;
        line.flush().expect("told once");
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        let good = Impairment { reorder_ppm: 500_000, delay_ppm: 500_000, ..BAD };
        good.check().expect("half and half");
        for bad in [
            Impairment { loss_ppm: PPM_ALL + 1, ..BAD },
            Impairment { duplicate_ppm: PPM_ALL + 1, ..BAD },
            Impairment { corrupt_ppm: PPM_ALL + 1, ..BAD },
            Impairment { delay_ppm: 500_001, ..good },
            Impairment { delay_ppm: u32::MAX, reorder_ppm: u32::MAX, ..good },
            Impairment { distance_max: DISTANCE_LARGEST + 1, ..good },
            Impairment { distance_max: 0, ..good },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }

    #[test]
    #[should_panic(expected = "an impaired line: a rate is above all packets")]
    fn a_line_is_not_made_of_numbers_out_of_range() {
        impaired(Impairment { loss_ppm: PPM_ALL + 1, ..BAD }, 1);
    }
}
