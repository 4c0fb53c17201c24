//! Packs messages into MoldUDP64 packets and sends them on line A and, if there is one, on line B.

use crate::net::PacketSink;
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

/// How a session is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoldConfig {
    /// Name of the session: ten letters or digits, padded with spaces.
    pub session: [u8; 10],
    /// Packets are no longer than this, 128 to 2,048 bytes.
    pub packet_bytes_max: usize,
    /// A heartbeat is sent after this much silence, in nanoseconds. The field's custom is a second.
    pub heartbeat_ns: u64,
}

impl Default for MoldConfig {
    /// Packets that fit an Ethernet frame of 1,500 bytes, a heartbeat after a second.
    fn default() -> MoldConfig {
        MoldConfig { session: *b"SIMULATION", packet_bytes_max: 1_400, heartbeat_ns: 1_000_000_000 }
    }
}

/// A MoldUDP64 transmitter. Allocates nothing after it is made.
#[derive(Debug)]
pub struct MoldOut<K> {
    config: MoldConfig,
    lines: [Option<K>; 2],
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
}

impl<K: PacketSink> MoldOut<K> {
    /// A transmitter whose first message is number 1.
    ///
    /// # Panics
    /// If the packet size is outside its range.
    pub fn new(config: MoldConfig, line_a: K, line_b: Option<K>, now: Nanos) -> MoldOut<K> {
        let limits = PACKET_BYTES_SMALLEST..=PACKET_BYTES_LARGEST;
        assert!(limits.contains(&config.packet_bytes_max), "a packet of {limits:?} bytes");
        MoldOut {
            config,
            lines: [Some(line_a), line_b],
            packet: Box::new([0; PACKET_BYTES_LARGEST]),
            bytes: HEADER_BYTES,
            count: 0,
            next_sequence: 1,
            sent_at: now,
            packet_count: 0,
            drop_count: 0,
            error_count: 0,
            made_count: 0,
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
    }

    /// Sends what was added, or a heartbeat when it is time for one, and what a line had no room for before. Returns
    /// whether a packet was made.
    pub fn flush(&mut self, now: Nanos) -> bool {
        let before = self.made_count;
        if self.count > 0 {
            self.close_packet(now);
        } else if now.since(self.sent_at) >= self.config.heartbeat_ns {
            self.send(0, now);
        }
        self.flush_lines();
        self.made_count != before
    }

    /// Sends what was added, and the end of the session.
    pub fn end_session(&mut self, now: Nanos) {
        self.flush(now);
        for _ in 0..END_OF_SESSION_PACKETS {
            self.send(END_OF_SESSION, now);
            self.flush_lines();
        }
    }

    /// The number of the next message.
    #[inline]
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence + u64::from(self.count)
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

    fn headers(line: Option<&Line>) -> Vec<(u64, u16, usize)> {
        let read = |packet: &Vec<u8>| {
            assert_eq!(&packet[..10], b"SIMULATION");
            let sequence = u64::from_be_bytes(packet[10..18].try_into().expect("8"));
            let count = u16::from_be_bytes(packet[18..20].try_into().expect("2"));
            (sequence, count, packet.len())
        };
        line.expect("a line").sent.iter().map(read).collect()
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
        mold.lines[0].as_mut().expect("a line").is_broken = true;
        for now in [5, 6] {
            mold.push(&[1; 12], Nanos(now));
            assert!(mold.flush(Nanos(now)));
        }
        assert_eq!(headers(mold.lines[1].as_ref()), [(1, 1, 34), (2, 1, 34)]);
        assert_eq!((mold.error_count(), mold.drop_count()), (2, 0));
    }
}
