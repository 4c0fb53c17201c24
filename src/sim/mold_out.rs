//! Packs messages into MoldUDP64 packets, sends them on line A and, if there is one, on line B, and keeps the last ones.

use crate::net::PacketSink;
use crate::sim::impair::{ImpairCounts, Impaired, Impairment};
use crate::sim::mold_store::MoldStore;
use crate::types::Nanos;

/// Bytes of the downstream packet header (MoldUDP64 1.00, "Header").
pub const HEADER_BYTES: usize = 20;
/// The largest packet: what every sink has room for.
pub const PACKET_BYTES_LARGEST: usize = 2_048;
/// The smallest limit of a packet's size that takes any message of the exchange.
pub const PACKET_BYTES_SMALLEST: usize = 128;

const END_OF_SESSION: u16 = 0xFFFF;
/// How often the end is told: a line may lose one.
const END_OF_SESSION_PACKETS: usize = 3;
/// Heartbeats after which a receiver on bad lines knows the number of the last message: all were hardly lost on both.
const HEARTBEATS_TELLING: u32 = 4;

/// How a session is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoldConfig {
    /// Name of the session: ten letters or digits, padded with spaces.
    pub session: [u8; 10],
    /// Packets are no longer than this, 128 to 2,048 bytes.
    pub packet_bytes_max: usize,
    /// A heartbeat is sent after this much silence, in nanoseconds. The field's custom is a second.
    pub heartbeat_ns: u64,
    /// Messages kept to be sent again, at most; the oldest goes first.
    pub kept_messages_max: usize,
    /// Bytes of those messages, with two more for each, at most.
    pub kept_bytes_max: usize,
    /// What is done to line A and to line B.
    pub impairments: [Impairment; 2],
    /// Seed of what is done to them: each line has numbers of its own.
    pub impairment_seed: u64,
}

impl Default for MoldConfig {
    /// Packets that fit an Ethernet frame of 1,500 bytes, a heartbeat after a second, nothing kept, good lines.
    fn default() -> MoldConfig {
        MoldConfig {
            session: *b"SIMULATION",
            packet_bytes_max: 1_400,
            heartbeat_ns: 1_000_000_000,
            kept_messages_max: 0,
            kept_bytes_max: 0,
            impairments: [Impairment::default(); 2],
            impairment_seed: 0,
        }
    }
}

/// A MoldUDP64 transmitter. Allocates nothing after it is made.
#[derive(Debug)]
pub struct MoldOut<K> {
    config: MoldConfig,
    lines: [Option<Impaired<K>>; 2],
    store: MoldStore,
    packet: Box<[u8; PACKET_BYTES_LARGEST]>,
    bytes: usize,
    count: u16,
    next_sequence: u64,
    sent_at: Nanos,
    packet_count: u64,
    drop_count: u64,
    error_count: u64,
    /// Packets made, whatever became of them.
    made_count: u64,
    /// Heartbeats since the last message.
    heartbeats: u32,
}

impl<K: PacketSink> MoldOut<K> {
    /// A transmitter whose first message is number 1.
    ///
    /// # Panics
    /// If the packet size is outside its range, or an impairment is none ([`Impairment::check`]).
    pub fn new(config: MoldConfig, line_a: K, line_b: Option<K>, now: Nanos) -> MoldOut<K> {
        let limits = PACKET_BYTES_SMALLEST..=PACKET_BYTES_LARGEST;
        assert!(limits.contains(&config.packet_bytes_max), "a packet of {limits:?} bytes");
        let [bad_a, bad_b] = config.impairments;
        // Any two seeds are far apart for this generator, except neighbours of its own step.
        let [seed_a, seed_b] = [config.impairment_seed, !config.impairment_seed];
        MoldOut {
            config,
            lines: [
                Some(Impaired::new(line_a, bad_a, seed_a)),
                line_b.map(|line| Impaired::new(line, bad_b, seed_b)),
            ],
            store: MoldStore::new(config.kept_messages_max, config.kept_bytes_max),
            packet: Box::new([0; PACKET_BYTES_LARGEST]),
            bytes: HEADER_BYTES,
            count: 0,
            next_sequence: 1,
            sent_at: now,
            packet_count: 0,
            drop_count: 0,
            error_count: 0,
            made_count: 0,
            heartbeats: 0,
        }
    }

    /// Adds a message; sends the packet before if it does not fit in any more.
    ///
    /// # Panics
    /// If the message is longer than any packet may be: a bug of ours.
    #[inline]
    pub fn push(&mut self, message: &[u8], now: Nanos) {
        let block = 2 + message.len();
        assert!(HEADER_BYTES + block <= self.config.packet_bytes_max, "a message fits a packet");
        if self.bytes + block > self.config.packet_bytes_max || self.count == END_OF_SESSION - 1 {
            self.close_packet(now);
        }
        let length = u16::try_from(message.len()).expect("shorter than a packet");
        let (at, end) = (self.bytes, self.bytes + block);
        self.packet[at..at + 2].copy_from_slice(&length.to_be_bytes());
        self.packet[at + 2..end].copy_from_slice(message);
        self.bytes = end;
        self.count += 1;
        if self.config.kept_messages_max > 0 {
            self.store.push(message);
        }
    }

    /// Sends what was added, or a heartbeat when it is time for one, and what a line had no room for before. Returns
    /// whether a packet was made.
    pub fn flush(&mut self, now: Nanos) -> bool {
        let before = self.made_count;
        if self.count > 0 {
            self.close_packet(now);
        } else if now.since(self.sent_at) >= self.config.heartbeat_ns {
            self.send(0, now);
            self.heartbeats = self.heartbeats.saturating_add(1);
        }
        self.flush_lines();
        self.made_count != before
    }

    /// Sends what was added, and the end of the session; a bad line lets out what it holds.
    pub fn end_session(&mut self, now: Nanos) {
        self.flush(now);
        for _ in 0..END_OF_SESSION_PACKETS {
            self.send(END_OF_SESSION, now);
            self.lines.iter_mut().flatten().for_each(Impaired::release);
            self.flush_lines();
        }
    }

    /// Whether whoever listens to both lines has the last message, or knows by a heartbeat that it has not: at once where
    /// the lines are good.
    pub fn is_told(&self) -> bool {
        let is_good = self.config.impairments.iter().all(Impairment::is_none);
        let is_held = self.lines.iter().flatten().any(|line| line.held_count() > 0);
        self.count == 0 && (is_good || (!is_held && self.heartbeats >= HEARTBEATS_TELLING))
    }

    /// The number of the next message.
    #[inline]
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence + u64::from(self.count)
    }

    /// The messages kept. Those of the packet that is not full yet are among them.
    pub fn store(&self) -> &MoldStore {
        &self.store
    }

    /// The number of the first message that has not been sent.
    #[inline]
    pub fn unsent_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// How the session is sent.
    pub fn config(&self) -> &MoldConfig {
        &self.config
    }

    /// What was done to both lines together.
    pub fn impair_counts(&self) -> ImpairCounts {
        let lines = self.lines.iter().flatten().map(Impaired::counts);
        lines.fold(ImpairCounts::default(), |sum, line| ImpairCounts {
            sent: sum.sent + line.sent,
            lost: sum.lost + line.lost,
            duplicated: sum.duplicated + line.duplicated,
            reordered: sum.reordered + line.reordered,
            corrupted: sum.corrupted + line.corrupted,
            delayed: sum.delayed + line.delayed,
            refused: sum.refused + line.refused,
        })
    }

    /// Packets sent, each line's counted.
    #[inline]
    pub fn packet_count(&self) -> u64 {
        self.packet_count
    }

    /// Packets a line had no room for even after a flush: the receiver sees a gap.
    #[inline]
    pub fn drop_count(&self) -> u64 {
        self.drop_count
    }

    /// Times a line failed; what it held then is lost, as on any network, and the receiver sees a gap.
    #[inline]
    pub fn error_count(&self) -> u64 {
        self.error_count
    }

    fn close_packet(&mut self, now: Nanos) {
        let count = self.count;
        self.send(count, now);
        self.next_sequence += u64::from(count);
        self.heartbeats = 0;
        self.count = 0;
        self.bytes = HEADER_BYTES;
    }

    /// MoldUDP64 1.00, "Downstream Packet": session, number of the first message, count, blocks.
    fn send(&mut self, count: u16, now: Nanos) {
        self.packet[..10].copy_from_slice(&self.config.session);
        self.packet[10..18].copy_from_slice(&self.next_sequence.to_be_bytes());
        self.packet[18..20].copy_from_slice(&count.to_be_bytes());
        let packet = &self.packet[..self.bytes];
        for line in self.lines.iter_mut().flatten() {
            let mut is_taken = send_on(line, packet);
            if !is_taken {
                self.error_count += u64::from(line.flush().is_err());
                is_taken = send_on(line, packet);
            }
            if is_taken {
                self.packet_count += 1;
            } else {
                self.drop_count += 1;
            }
        }
        self.made_count += 1;
        self.sent_at = now;
    }

    fn flush_lines(&mut self) {
        for line in self.lines.iter_mut().flatten() {
            self.error_count += u64::from(line.flush().is_err());
        }
    }
}

fn send_on(line: &mut impl PacketSink, packet: &[u8]) -> bool {
    line.send_with(|room| {
        room[..packet.len()].copy_from_slice(packet);
        packet.len()
    })
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// A line that takes `room` packets between flushes.
    #[derive(Debug, Default)]
    struct Line {
        room: usize,
        queued: Vec<Vec<u8>>,
        sent: Vec<Vec<u8>>,
        is_broken: bool,
    }

    impl PacketSink for Line {
        fn send_with<F: FnOnce(&mut [u8]) -> usize>(&mut self, write: F) -> bool {
            if self.queued.len() == self.room {
                return false;
            }
            let mut packet = vec![0; 2_048];
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
            self.sent.append(&mut self.queued);
            Ok(())
        }
    }

    fn mold(room: usize) -> MoldOut<Line> {
        let line = || Line { room, ..Line::default() };
        let config = MoldConfig { packet_bytes_max: 128, ..MoldConfig::default() };
        MoldOut::new(config, line(), Some(line()), Nanos(0))
    }

    fn headers(line: Option<&Impaired<Line>>) -> Vec<(u64, u16, usize)> {
        let read = |packet: &Vec<u8>| {
            assert_eq!(&packet[..10], b"SIMULATION");
            let sequence = u64::from_be_bytes(packet[10..18].try_into().expect("8"));
            let count = u16::from_be_bytes(packet[18..20].try_into().expect("2"));
            (sequence, count, packet.len())
        };
        line.expect("a line").sink().sent.iter().map(read).collect()
    }

    #[test]
    fn messages_share_packets_up_to_the_limit_and_both_lines_carry_the_same() {
        let mut mold = mold(1);
        for _ in 0..7 {
            mold.push(&[7; 34], Nanos(5));
        }
        mold.flush(Nanos(6));
        assert_eq!(headers(mold.lines[0].as_ref()), [(1, 3, 128), (4, 3, 128), (7, 1, 56)]);
        assert_eq!(headers(mold.lines[0].as_ref()), headers(mold.lines[1].as_ref()));
        assert_eq!((mold.next_sequence(), mold.drop_count(), mold.packet_count()), (8, 0, 6));
    }

    #[test]
    fn a_heartbeat_follows_a_second_of_silence_and_the_end_tells_the_next_number() {
        let mut mold = mold(1);
        mold.push(&[1; 12], Nanos(5));
        assert!(mold.flush(Nanos(5)));
        assert!(!mold.flush(Nanos(1_000_000_004)));
        assert!(mold.flush(Nanos(1_000_000_005)));
        assert!(!mold.flush(Nanos(1_000_000_006)));
        mold.end_session(Nanos(1_000_000_007));
        let expected = [(1, 1, 34), (2, 0, 20), (2, 0xFFFF, 20), (2, 0xFFFF, 20), (2, 0xFFFF, 20)];
        assert_eq!(headers(mold.lines[0].as_ref()), expected);
    }

    #[test]
    fn a_line_without_room_loses_packets_and_counts_them() {
        let mut mold = mold(0);
        mold.push(&[1; 12], Nanos(5));
        mold.flush(Nanos(5));
        assert_eq!((mold.drop_count(), mold.packet_count(), mold.next_sequence()), (2, 0, 2));
    }

    #[test]
    fn a_broken_line_is_counted_and_the_other_goes_on() {
        let mut mold = mold(1);
        mold.lines[0].as_mut().expect("a line").sink_mut().is_broken = true;
        for now in [5, 6] {
            mold.push(&[1; 12], Nanos(now));
            assert!(mold.flush(Nanos(now)));
        }
        assert_eq!(headers(mold.lines[1].as_ref()), [(1, 1, 34), (2, 1, 34)]);
        assert_eq!((mold.error_count(), mold.drop_count()), (2, 0));
    }

    #[test]
    fn what_was_pushed_is_kept_and_told_from_what_was_sent() {
        let line = Line { room: 9, ..Line::default() };
        let kept =
            MoldConfig { kept_messages_max: 2, kept_bytes_max: 100, ..MoldConfig::default() };
        let mut mold = MoldOut::new(kept, line, None, Nanos(0));
        mold.push(b"one", Nanos(5));
        mold.push(b"two", Nanos(5));
        mold.flush(Nanos(5));
        mold.push(b"three", Nanos(6));
        assert_eq!((mold.store().kept(), mold.unsent_sequence()), (2..4, 3));
        assert_eq!(mold.store().block(3), Some(&b"\0\x05three"[..]));
    }

    #[test]
    fn bad_lines_suffer_differently_and_have_told_the_end_after_some_heartbeats() {
        let bad = Impairment { loss_ppm: 300_000, ..Impairment::default() };
        let config = MoldConfig {
            heartbeat_ns: 10,
            impairments: [bad; 2],
            impairment_seed: 1,
            ..MoldConfig::default()
        };
        let line = || Line { room: 9, ..Line::default() };
        let mut mold = MoldOut::new(config, line(), Some(line()), Nanos(0));
        for now in 0..50 {
            mold.push(b"one", Nanos(now));
            assert!(!mold.is_told());
            mold.flush(Nanos(now));
            assert!(!mold.is_told());
        }
        let [a, b] = [0, 1].map(|index| headers(mold.lines[index].as_ref()));
        assert!(a.len() < 50 && b.len() < 50 && a != b);
        for beat in 1..=HEARTBEATS_TELLING {
            assert!(!mold.is_told());
            assert!(mold.flush(Nanos(50 + 10 * u64::from(beat))));
        }
        assert!(mold.is_told());
        let counts = mold.impair_counts();
        assert_eq!(counts.sent, 2 * (50 + u64::from(HEARTBEATS_TELLING)));
        let out: u64 =
            [0, 1].map(|i| headers(mold.lines[i].as_ref()).len()).map(count).iter().sum();
        assert_eq!(counts.sent, counts.lost + out);
    }

    fn count(length: usize) -> u64 {
        u64::try_from(length).expect("small")
    }

    #[test]
    fn the_end_of_the_session_lets_out_what_a_bad_line_holds() {
        let late = Impairment { reorder_ppm: 1_000_000, distance_max: 9, ..Impairment::default() };
        let config = MoldConfig { impairments: [late; 2], ..MoldConfig::default() };
        let line = Line { room: 9, ..Line::default() };
        let mut mold = MoldOut::new(config, line, None, Nanos(0));
        mold.push(b"one", Nanos(5));
        mold.end_session(Nanos(5));
        let mut sent = headers(mold.lines[0].as_ref());
        sent.sort_unstable();
        assert_eq!(sent, [(1, 1, 25), (2, 0xFFFF, 20), (2, 0xFFFF, 20), (2, 0xFFFF, 20)]);
    }
}
