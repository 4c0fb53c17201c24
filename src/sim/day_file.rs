//! Messages to files: as BinaryFILE, or in MoldUDP64 packets in a pcap file. Both stream.

use std::cell::RefCell;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::rc::Rc;

use crate::net::PacketSink;
use crate::sim::mold_out::{MoldConfig, MoldOut, PACKET_BYTES_LARGEST};
use crate::types::{Nanos, UtcNanos};

/// Where the packets of a file are sent to.
pub const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 1, 1, 1), 26_400);
/// Messages within this time of each other share a packet where they fit.
const PACKET_NS: u64 = 20_000;

/// A file of messages, each behind its length: two bytes, big-endian.
#[derive(Debug)]
pub struct BinaryFile<W> {
    out: W,
}

impl<W: Write> BinaryFile<W> {
    /// Writes to `out`, which should be buffered.
    pub const fn new(out: W) -> BinaryFile<W> {
        BinaryFile { out }
    }

    /// The next message.
    ///
    /// # Errors
    /// What writing gives; a message longer than 65,535 bytes is invalid input.
    #[inline]
    pub fn push(&mut self, message: &[u8]) -> io::Result<()> {
        let length = u16::try_from(message.len())
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        self.out.write_all(&length.to_be_bytes())?;
        self.out.write_all(message)
    }

    /// Writes what is still buffered.
    ///
    /// # Errors
    /// What writing gives.
    pub fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A pcap file of the packets of one MoldUDP64 session, with heartbeats where nothing is sent for a second, and its end.
#[derive(Debug)]
pub struct PcapFile<W> {
    mold: MoldOut<Records<W>>,
    records: Rc<RefCell<State<W>>>,
    /// Time of the packet's first message and of its last, nanoseconds since midnight.
    first_ns: u64,
    last_ns: u64,
    is_empty: bool,
}

/// Ethernet, IPv4 and UDP before the payload.
const FRAME_HEAD_BYTES: usize = 14 + 20 + 8;
const HEARTBEAT_NS: u64 = 1_000_000_000;

#[derive(Debug)]
struct State<W> {
    out: W,
    midnight: UtcNanos,
    /// When the packet is sent.
    now_ns: u64,
    frame: Box<[u8; FRAME_HEAD_BYTES + PACKET_BYTES_LARGEST]>,
    /// What went wrong; nothing more is written then.
    error: Option<io::Error>,
}

/// The sink that makes a record of each packet.
#[derive(Debug)]
struct Records<W>(Rc<RefCell<State<W>>>);

impl<W: Write> PcapFile<W> {
    /// Writes to `out`, which should be buffered, packets of `session` stamped from `midnight` on.
    ///
    /// # Errors
    /// What writing gives.
    pub fn new(mut out: W, midnight: UtcNanos, session: [u8; 10]) -> io::Result<PcapFile<W>> {
        // Magic of nanoseconds, version 2.4, no time zone, no accuracy, whole frames, Ethernet; little-endian.
        for word in [0xA1B2_3C4D_u32, 0x0004_0002, 0, 0, 65_535, 1] {
            out.write_all(&word.to_le_bytes())?;
        }
        let frame = Box::new([0; FRAME_HEAD_BYTES + PACKET_BYTES_LARGEST]);
        let state = State { out, midnight, now_ns: 0, frame, error: None };
        let records = Rc::new(RefCell::new(state));
        let config = MoldConfig { session, heartbeat_ns: HEARTBEAT_NS, ..MoldConfig::default() };
        let mold = MoldOut::new(config, Records(Rc::clone(&records)), None, Nanos(0));
        Ok(PcapFile { mold, records, first_ns: 0, last_ns: 0, is_empty: true })
    }

    /// The next message, sent at `time_ns` since midnight, which never goes back. Messages that come close together share a
    /// packet; a packet is sent at the time of its last message.
    ///
    /// # Errors
    /// What writing gave.
    #[inline]
    pub fn push(&mut self, message: &[u8], time_ns: u64) -> io::Result<()> {
        if self.is_empty {
            // The session begins with its first message.
            self.is_empty = false;
            (self.first_ns, self.last_ns) = (time_ns, time_ns);
        } else if time_ns - self.first_ns >= PACKET_NS {
            self.send_until(time_ns)?;
            self.first_ns = time_ns;
        }
        // Where the message does not fit, the packet before it is sent: at the time of its own last one.
        self.records.borrow_mut().now_ns = self.last_ns;
        self.mold.push(message, Nanos(self.last_ns));
        self.last_ns = time_ns;
        Ok(())
    }

    /// Sends what was pushed, and the heartbeats that are due before `until_ns`.
    fn send_until(&mut self, until_ns: u64) -> io::Result<()> {
        let mut at = self.last_ns;
        self.records.borrow_mut().now_ns = at;
        self.mold.flush(Nanos(at));
        while until_ns - at > HEARTBEAT_NS {
            at += HEARTBEAT_NS;
            self.records.borrow_mut().now_ns = at;
            self.mold.flush(Nanos(at));
        }
        self.check()
    }

    fn check(&self) -> io::Result<()> {
        self.records.borrow_mut().error.take().map_or(Ok(()), Err)
    }

    /// Sends what is left and the end of the session, and writes what is still buffered.
    ///
    /// # Errors
    /// What writing gives.
    pub fn finish(mut self) -> io::Result<()> {
        self.records.borrow_mut().now_ns = self.last_ns;
        self.mold.end_session(Nanos(self.last_ns));
        self.check()?;
        self.records.borrow_mut().out.flush()
    }
}

impl<W: Write> PacketSink for Records<W> {
    fn send_with<F: FnOnce(&mut [u8]) -> usize>(&mut self, write: F) -> bool {
        let mut state = self.0.borrow_mut();
        let length = write(&mut state.frame[FRAME_HEAD_BYTES..]);
        if state.error.is_none() {
            state.error = state.record(length).err();
        }
        true
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W: Write> State<W> {
    /// Writes the frame whose payload of `length` bytes is in place.
    fn record(&mut self, length: usize) -> io::Result<()> {
        let udp = u16::try_from(8 + length).expect("a packet is shorter than that");
        let ip = udp + 20;
        let [a, b] = GROUP.port().to_be_bytes();
        let group = GROUP.ip().octets();
        // The multicast address of the group (RFC 1112, section 6.4), from a locally administered one.
        let ethernet =
            [0x01, 0x00, 0x5E, group[1] & 0x7F, group[2], group[3], 2, 0, 0, 0, 0, 1, 8, 0];
        let [ip_high, ip_low] = ip.to_be_bytes();
        let [g0, g1, g2, g3] = group;
        // No options, may not be fragmented, 16 hops, UDP, from an address of documentation (RFC 5737).
        let mut head =
            [0x45, 0, ip_high, ip_low, 0, 0, 0x40, 0, 16, 17, 0, 0, 192, 0, 2, 1, g0, g1, g2, g3];
        let [sum_high, sum_low] = checksum(&head).to_be_bytes();
        (head[10], head[11]) = (sum_high, sum_low);
        let [length_high, length_low] = udp.to_be_bytes();
        // No checksum: 0 says so.
        let datagram = [a, b, a, b, length_high, length_low, 0, 0];
        self.frame[..14].copy_from_slice(&ethernet);
        self.frame[14..34].copy_from_slice(&head);
        self.frame[34..42].copy_from_slice(&datagram);

        let utc = self.midnight.0 + self.now_ns;
        let bytes = u32::from(ip) + 14;
        let word = |value: u64| u32::try_from(value).expect("a time before 2106");
        for word in [word(utc / 1_000_000_000), word(utc % 1_000_000_000), bytes, bytes] {
            self.out.write_all(&word.to_le_bytes())?;
        }
        self.out.write_all(&self.frame[..FRAME_HEAD_BYTES + length])
    }
}

/// The checksum of an IPv4 header (RFC 791, section 3.1) in which its own field is 0.
fn checksum(head: &[u8; 20]) -> u16 {
    let words = head.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xFFFF) + (sum >> 16);
    !u16::try_from((folded & 0xFFFF) + (folded >> 16)).expect("folded into 16 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_and_its_checksum_sum_to_all_ones() {
        // A header whose checksum is known.
        let head = [
            0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0, 0, 0xC0, 0xA8, 0, 1, 0xC0, 0xA8, 0,
            0xC7,
        ];
        assert_eq!(checksum(&head), 0xB861);
    }
}
