//! The bytes of a UDP datagram in an Ethernet frame, written and read where the kernel does neither. Pure and total.
//!
//! Checksums are sums of 16-bit words with the carry added back in, whatever the order of their bytes (RFC 1071, section 2):
//! so they are added up eight bytes at a time as the machine has them, and put in order once, at the end.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};

/// What stands before the payload: 14 bytes of Ethernet II, 20 of IPv4, 8 of UDP.
pub const HEADERS_BYTES: usize = ETHERNET_BYTES + IPV4_BYTES + UDP_BYTES;

/// The most a UDP datagram over IPv4 holds: RFC 768's and RFC 791's lengths have 16 bits.
pub const PAYLOAD_BYTES_MAX: usize = 0xFFFF - IPV4_BYTES - UDP_BYTES;

const ETHERNET_BYTES: usize = 14;
const IPV4_BYTES: usize = 20;
const UDP_BYTES: usize = 8;

/// The type of a frame that holds IPv4 (IEEE 802 Numbers, IANA).
const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
/// Version 4, and a header of five words: no options (RFC 791, section 3.1).
const VERSION_AND_WORDS: u8 = 0x45;
const DONT_FRAGMENT: u16 = 0x4000;
/// More fragments, and the offset of this one.
const FRAGMENT_BITS: u16 = 0x3FFF;
const UDP: u8 = 17;

/// All that two frames of the same flow have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    /// The sending interface's hardware address.
    pub source_mac: [u8; 6],
    /// The next hop's, or the group's: [`multicast_mac`].
    pub destination_mac: [u8; 6],
    /// Where it comes from.
    pub source: SocketAddrV4,
    /// Where it goes to.
    pub destination: SocketAddrV4,
    /// How many routers may pass it on.
    pub ttl: u8,
    /// Type of service: DSCP in the upper six bits, ECN in the lower two.
    pub tos: u8,
}

/// Writes a whole frame, with both checksums, at the start of `frame` and returns its length in bytes. It forbids fragmenting,
/// and its identification is therefore 0 (RFC 6864, section 4.1). Short frames are not padded: that is the driver's business.
///
/// Some 9 ns for 100 bytes of payload.
///
/// # Panics
/// If `payload` is longer than [`PAYLOAD_BYTES_MAX`], or `frame` shorter than [`HEADERS_BYTES`] and `payload`.
#[inline]
pub fn write_udp(frame: &mut [u8], path: &Path, payload: &[u8]) -> usize {
    let bytes = HEADERS_BYTES + payload.len();
    assert!(payload.len() <= PAYLOAD_BYTES_MAX, "{} bytes are no UDP datagram", payload.len());
    assert!(bytes <= frame.len(), "{bytes} bytes into a frame of {}", frame.len());
    let udp_bytes = low_u16(UDP_BYTES + payload.len());
    let ip_bytes = low_u16(IPV4_BYTES + UDP_BYTES + payload.len());
    let (from, to) = (path.source.ip(), path.destination.ip());

    let addresses = word_sum(*from) + word_sum(*to);
    let fixed = u64::from(u16::from_be_bytes([VERSION_AND_WORDS, path.tos]))
        + u64::from(DONT_FRAGMENT)
        + u64::from(u16::from_be_bytes([path.ttl, UDP]));
    let ip_checksum = !fold(addresses + fixed + u64::from(ip_bytes));

    let ports = u64::from(path.source.port()) + u64::from(path.destination.port());
    let pseudo = addresses + u64::from(UDP) + u64::from(udp_bytes);
    let udp_sum = fold(pseudo + ports + u64::from(udp_bytes) + u64::from(byte_sum(payload)));
    // A checksum of 0 would say that there is none (RFC 768).
    let udp_checksum = if udp_sum == 0xFFFF { 0xFFFF } else { !udp_sum };

    // In place: a header put together elsewhere would be read back before its bytes have left the store buffer.
    let Some((head, rest)) = frame.split_first_chunk_mut::<HEADERS_BYTES>() else { return 0 };
    head[0..6].copy_from_slice(&path.destination_mac);
    head[6..12].copy_from_slice(&path.source_mac);
    head[12..14].copy_from_slice(&ETHERTYPE_IPV4);
    head[14] = VERSION_AND_WORDS;
    head[15] = path.tos;
    head[16..18].copy_from_slice(&ip_bytes.to_be_bytes());
    head[18..20].copy_from_slice(&[0, 0]);
    head[20..22].copy_from_slice(&DONT_FRAGMENT.to_be_bytes());
    head[22] = path.ttl;
    head[23] = UDP;
    head[24..26].copy_from_slice(&ip_checksum.to_be_bytes());
    head[26..30].copy_from_slice(&from.octets());
    head[30..34].copy_from_slice(&to.octets());
    head[34..36].copy_from_slice(&path.source.port().to_be_bytes());
    head[36..38].copy_from_slice(&path.destination.port().to_be_bytes());
    head[38..40].copy_from_slice(&udp_bytes.to_be_bytes());
    head[40..42].copy_from_slice(&udp_checksum.to_be_bytes());
    rest[..payload.len()].copy_from_slice(payload);
    bytes
}

/// A UDP datagram in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceivedUdp<'a> {
    /// Where it came from.
    pub source: SocketAddrV4,
    /// Where it was sent to.
    pub destination: SocketAddrV4,
    /// What it holds.
    pub payload: &'a [u8],
}

/// Why a frame is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refused {
    /// It ends before its headers, or before the length they give.
    Cut,
    /// It is not UDP over IPv4 without options and without VLAN tags.
    NotUdp,
    /// It is a part of a datagram.
    Fragment,
    /// The lengths in its headers contradict each other.
    BadLength,
    /// The checksum of its IPv4 header or of its datagram is wrong.
    BadChecksum,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refused::Cut => "the frame is shorter than its headers say",
            Refused::NotUdp => "the frame holds no plain UDP over IPv4",
            Refused::Fragment => "the frame holds a fragment of a datagram",
            Refused::BadLength => "the lengths of IPv4 and UDP contradict each other",
            Refused::BadChecksum => "the checksum of IPv4 or UDP is wrong",
        })
    }
}

impl std::error::Error for Refused {}

/// The datagram in a frame as an XDP program hands it over: Ethernet II without VLAN tags, IPv4 without options, UDP. What lies
/// behind the lengths of IPv4 or UDP is left out, as the kernel does: padding of a short frame, or options of UDP.
///
/// # Errors
/// A [`Refused`] for any other frame, to be counted; never panics.
#[inline]
pub fn read_udp(frame: &[u8]) -> Result<ReceivedUdp<'_>, Refused> {
    read_whole(frame).ok_or_else(|| refusal(frame))
}

/// The datagram, if nothing at all is wrong with the frame; why not is [`refusal`]'s to tell.
#[inline]
fn read_whole(frame: &[u8]) -> Option<ReceivedUdp<'_>> {
    let headers = frame.first_chunk::<HEADERS_BYTES>()?;
    let (head, rest) = headers[ETHERNET_BYTES..].split_first_chunk::<IPV4_BYTES>()?;
    let udp = rest.first_chunk::<UDP_BYTES>()?;
    let total = usize::from(u16::from_be_bytes([head[2], head[3]]));
    let udp_bytes = usize::from(u16::from_be_bytes([udp[4], udp[5]]));
    let is_plain = headers[12..ETHERNET_BYTES] == ETHERTYPE_IPV4
        && head[0] == VERSION_AND_WORDS
        && head[9] == UDP
        && u16::from_be_bytes([head[6], head[7]]) & FRAGMENT_BITS == 0
        && ETHERNET_BYTES + total <= frame.len()
        && IPV4_BYTES + udp_bytes <= total
        && udp_bytes >= UDP_BYTES;
    if !is_plain {
        return None;
    }
    let segment = frame.get(ETHERNET_BYTES + IPV4_BYTES..)?.get(..udp_bytes)?;
    // Of words as the machine reads them: the sum of swapped words is the swapped sum (RFC 1071, section 2).
    let (words, _) = head.as_chunks::<4>();
    let word = |at: usize| u64::from(u32::from_ne_bytes(words[at]));
    let addresses = word(3) + word(4);
    if fold(addresses + word(0) + word(1) + word(2)) != 0xFFFF {
        return None;
    }
    let length = u16::from_ne_bytes([udp[4], udp[5]]);
    let pseudo = addresses + u64::from(u16::from_ne_bytes([0, UDP])) + u64::from(length);
    if !is_right(u16::from_ne_bytes([udp[6], udp[7]]), pseudo, segment) {
        return None;
    }
    let port = |high: usize| u16::from_be_bytes([udp[high], udp[high + 1]]);
    let address = |at: usize| Ipv4Addr::new(head[at], head[at + 1], head[at + 2], head[at + 3]);
    Some(ReceivedUdp {
        source: SocketAddrV4::new(address(12), port(0)),
        destination: SocketAddrV4::new(address(16), port(2)),
        payload: segment.get(UDP_BYTES..)?,
    })
}

/// What is wrong with a frame that holds no datagram for us.
#[cold]
fn refusal(frame: &[u8]) -> Refused {
    let Some((ethernet, packet)) = frame.split_first_chunk::<ETHERNET_BYTES>() else {
        return Refused::Cut;
    };
    if ethernet[12..] != ETHERTYPE_IPV4 {
        return Refused::NotUdp;
    }
    let Some(head) = packet.first_chunk::<IPV4_BYTES>() else { return Refused::Cut };
    if head[0] != VERSION_AND_WORDS || head[9] != UDP {
        return Refused::NotUdp;
    }
    if u16::from_be_bytes([head[6], head[7]]) & FRAGMENT_BITS != 0 {
        return Refused::Fragment;
    }
    let total = usize::from(u16::from_be_bytes([head[2], head[3]]));
    if total < IPV4_BYTES + UDP_BYTES {
        return Refused::BadLength;
    }
    let Some(segment) = packet.get(IPV4_BYTES..total) else { return Refused::Cut };
    let lengths = segment.first_chunk::<UDP_BYTES>().map(|udp| [udp[4], udp[5]]);
    let udp_bytes = usize::from(lengths.map_or(0, u16::from_be_bytes));
    if udp_bytes < UDP_BYTES || udp_bytes > segment.len() {
        return Refused::BadLength;
    }
    Refused::BadChecksum
}

/// Whether the `checksum` of a segment whose pseudo header adds up to `pseudo`, both as the machine reads them, is right, not there,
/// or left for an interface to fill in.
///
/// A kernel that hands a frame to an interface that claims to do checksums leaves there the sum over the pseudo header alone, folded
/// and not inverted, for the interface to begin from. A virtual pair (veth) passes the frame on like that: it never was on
/// a wire, so there was nothing that could have damaged it. Exactly that sum is taken, and nothing near it.
#[inline]
fn is_right(checksum: u16, pseudo: u64, segment: &[u8]) -> bool {
    fold(pseudo + word_sum_of(segment)) == 0xFFFF || checksum == 0 || checksum == fold(pseudo)
}

/// The sum of the words of a segment, of at least eight bytes, as the machine reads them; not folded.
#[inline]
fn word_sum_of(segment: &[u8]) -> u64 {
    let halves = |word: u64| (word & 0xFFFF_FFFF).wrapping_add(word >> 32);
    let (eights, rest) = segment.as_chunks::<8>();
    let sum = eights.iter().fold(0_u64, |sum, eight| {
        // Halves, so that no carry is lost; 2^16 bytes leave the sum far below 2^64.
        sum.wrapping_add(halves(u64::from_ne_bytes(*eight)))
    });
    match segment.last_chunk::<8>() {
        // What is left are the last of the last eight bytes. Zeros behind them change nothing.
        Some(last) if !rest.is_empty() => {
            let rest = u64::from_le_bytes(*last) >> (64 - 8 * rest.len());
            sum.wrapping_add(halves(u64::from_ne_bytes(rest.to_le_bytes())))
        }
        _ => sum,
    }
}

/// The hardware address of a multicast group: the low 23 bits of it behind 01-00-5E (RFC 1112, section 6.4).
#[inline]
pub const fn multicast_mac(group: Ipv4Addr) -> [u8; 6] {
    let [_, second, third, fourth] = group.octets();
    [0x01, 0x00, 0x5E, second & 0x7F, third, fourth]
}

/// The sum of an address's two words.
#[inline]
fn word_sum(address: Ipv4Addr) -> u64 {
    let bits = address.to_bits();
    u64::from(bits >> 16) + u64::from(bits & 0xFFFF)
}

/// The sum of the big-endian words in `bytes`, folded; an odd byte at the end has a zero behind it (RFC 1071, section 4.1).
#[inline]
fn byte_sum(bytes: &[u8]) -> u16 {
    let (eights, rest) = bytes.as_chunks::<8>();
    let mut sum = 0_u64;
    for eight in eights {
        // Halves, so that no carry is lost; 2^16 bytes leave the sum far below 2^64.
        let word = u64::from_ne_bytes(*eight);
        sum = sum.wrapping_add((word & 0xFFFF_FFFF).wrapping_add(word >> 32));
    }
    let (twos, odd) = rest.as_chunks::<2>();
    for two in twos {
        sum = sum.wrapping_add(u64::from(u16::from_ne_bytes(*two)));
    }
    if let [last] = odd {
        sum = sum.wrapping_add(u64::from(u16::from_ne_bytes([*last, 0])));
    }
    u16::from_be_bytes(fold(sum).to_ne_bytes())
}

/// A sum below 2^48 with its carries added back in: 0 only of 0.
#[inline]
fn fold(sum: u64) -> u16 {
    let sum = (sum & 0xFFFF).wrapping_add((sum >> 16) & 0xFFFF).wrapping_add(sum >> 32);
    let sum = (sum & 0xFFFF).wrapping_add(sum >> 16);
    let sum = (sum & 0xFFFF).wrapping_add(sum >> 16);
    let [low, high, ..] = sum.to_le_bytes();
    u16::from_le_bytes([low, high])
}

/// A length that is known to fit.
#[inline]
fn low_u16(length: usize) -> u16 {
    let [low, high, ..] = length.to_le_bytes();
    u16::from_le_bytes([low, high])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, any, prop, proptest};

    use super::*;

    /// RFC 1071, section 4.1, word by word.
    fn naive_sum(bytes: &[u8]) -> u16 {
        let mut sum = 0_u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) * 256 + u32::from(pair.get(1).copied().unwrap_or(0));
            if sum > 0xFFFF {
                sum -= 0xFFFF;
            }
        }
        u16::try_from(sum).expect("folded")
    }

    #[test]
    fn the_example_of_rfc_1071_adds_up() {
        // Section 3: 00 01 f2 03 f4 f5 f6 f7 is ddf2 with its two carries.
        assert_eq!(byte_sum(&[0x00, 0x01, 0xF2, 0x03, 0xF4, 0xF5, 0xF6, 0xF7]), 0xDDF2);
    }

    #[test]
    fn sums_of_every_length_and_alignment_are_the_naive_ones() {
        let mut state = 1_u64;
        let bytes: Vec<u8> = (0..2_200)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                state.to_be_bytes()[0]
            })
            .collect();
        for start in 0..9 {
            for length in 0..2_100 {
                let part = &bytes[start..start + length];
                assert_eq!(byte_sum(part), naive_sum(part), "{length} bytes from {start}");
            }
        }
    }

    #[test]
    fn sums_of_extremes_are_the_naive_ones() {
        for length in [0, 1, 2, 7, 8, 9, 1_472, PAYLOAD_BYTES_MAX, 0xFFFF] {
            for byte in [0x00, 0x01, 0xFF] {
                let bytes = vec![byte; length];
                assert_eq!(byte_sum(&bytes), naive_sum(&bytes), "{length} times {byte}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn any_bytes_add_up(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            assert_eq!(byte_sum(&bytes), naive_sum(&bytes));
        }

        #[test]
        fn any_sum_folds_to_its_rest(sum in 0..1_u64 << 48) {
            let rest = u64::from(fold(sum));
            assert_eq!(rest % 0xFFFF, sum % 0xFFFF);
            assert_eq!(rest == 0, sum == 0);
        }
    }

    #[test]
    fn groups_have_their_hardware_addresses() {
        for (group, mac) in [
            ([224, 0, 0, 1], [0x01, 0x00, 0x5E, 0, 0, 1]),
            ([239, 255, 1, 2], [0x01, 0x00, 0x5E, 0x7F, 1, 2]),
            ([239, 127, 1, 2], [0x01, 0x00, 0x5E, 0x7F, 1, 2]),
        ] {
            assert_eq!(multicast_mac(Ipv4Addr::from(group)), mac);
        }
    }
}
