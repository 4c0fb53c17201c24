//! From a captured frame to the UDP payload in it. Pure and total.

use std::net::{Ipv4Addr, SocketAddrV4};

/// What a captured frame begins with (the registry of link types, tcpdump.org/linktypes.html).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Link {
    /// Ethernet: LINKTYPE_ETHERNET.
    Ethernet,
    /// The IP packet itself: LINKTYPE_RAW and LINKTYPE_IPV4.
    Raw,
    /// The address family in four bytes of either order, as BSD's loopback has it: LINKTYPE_NULL and LINKTYPE_LOOP.
    Loopback,
    /// What Linux writes for the device "any": LINKTYPE_LINUX_SLL.
    LinuxCooked,
    /// Its second version: LINKTYPE_LINUX_SLL2.
    LinuxCooked2,
}

impl Link {
    /// The link of that number in the registry; `None` for one that is not read.
    pub const fn from_number(number: u32) -> Option<Link> {
        match number {
            0 | 108 => Some(Link::Loopback),
            1 => Some(Link::Ethernet),
            12 | 101 | 228 => Some(Link::Raw), // 12 is what some systems write for 101
            113 => Some(Link::LinuxCooked),
            276 => Some(Link::LinuxCooked2),
            _ => None,
        }
    }
}

/// A UDP datagram in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpFrame<'a> {
    /// Where it was sent to.
    pub destination: SocketAddrV4,
    /// Its payload.
    pub payload: &'a [u8],
}

/// Why a frame is not a whole UDP datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameError {
    /// Shorter than its headers say, or than the capture kept of it.
    Cut,
    /// Not IPv4.
    NotIpv4,
    /// IPv4, but not UDP.
    NotUdp,
    /// A part of a datagram.
    Fragment,
    /// The lengths in its headers contradict each other.
    BadLength,
}

/// VLAN tags: IEEE 802.1Q, IEEE 802.1ad, and what stacked tags had before it.
const TAGS: [u16; 3] = [0x8100, 0x88A8, 0x9100];
const IPV4: u16 = 0x0800;
const UDP: u8 = 17;
/// The address family of IPv4, the same on every system that writes loopback captures.
const FAMILY_IPV4: u32 = 2;
const UDP_HEADER_BYTES: usize = 8;

/// The datagram in an Ethernet frame, behind at most two VLAN tags. Checksums are not looked at: captures taken where
/// they are sent often hold unfinished ones.
///
/// # Errors
/// A [`FrameError`] for any other frame; never panics.
#[inline]
pub fn parse_udp(frame: &[u8]) -> Result<UdpFrame<'_>, FrameError> {
    let (_addresses, mut rest) = frame.split_at_checked(12).ok_or(FrameError::Cut)?;
    let kind = take_u16(&mut rest)?;
    parse_typed(kind, rest)
}

/// As [`parse_udp`], of a frame of any link that is known.
///
/// # Errors
/// A [`FrameError`] for a frame without a whole UDP datagram; never panics.
pub fn parse_link_udp(link: Link, frame: &[u8]) -> Result<UdpFrame<'_>, FrameError> {
    match link {
        Link::Ethernet => parse_udp(frame),
        Link::Raw => parse_ipv4(frame),
        Link::Loopback => {
            let (&family, packet) = frame.split_first_chunk::<4>().ok_or(FrameError::Cut)?;
            let families = [u32::from_be_bytes(family), u32::from_le_bytes(family)];
            if !families.contains(&FAMILY_IPV4) {
                return Err(FrameError::NotIpv4);
            }
            parse_ipv4(packet)
        }
        // The protocol is the header's last field in the first version, and its first in the second.
        Link::LinuxCooked => {
            let (head, rest) = frame.split_first_chunk::<16>().ok_or(FrameError::Cut)?;
            parse_typed(u16::from_be_bytes([head[14], head[15]]), rest)
        }
        Link::LinuxCooked2 => {
            let (head, rest) = frame.split_first_chunk::<20>().ok_or(FrameError::Cut)?;
            parse_typed(u16::from_be_bytes([head[0], head[1]]), rest)
        }
    }
}

/// The datagram in what follows the type of an Ethernet frame.
#[inline]
fn parse_typed(mut kind: u16, mut rest: &[u8]) -> Result<UdpFrame<'_>, FrameError> {
    for _ in 0..2 {
        if TAGS.contains(&kind) {
            take_u16(&mut rest)?;
            kind = take_u16(&mut rest)?;
        }
    }
    if kind != IPV4 {
        return Err(FrameError::NotIpv4);
    }
    parse_ipv4(rest)
}

/// The datagram in an IPv4 packet, with or without options (RFC 791, 3.1).
fn parse_ipv4(packet: &[u8]) -> Result<UdpFrame<'_>, FrameError> {
    if packet.first().is_some_and(|first| first >> 4 != 4) {
        return Err(FrameError::NotIpv4);
    }
    let head = packet.first_chunk::<20>().ok_or(FrameError::Cut)?;
    if head[9] != UDP {
        return Err(FrameError::NotUdp);
    }
    if u16::from_be_bytes([head[6], head[7]]) & 0x3FFF != 0 {
        return Err(FrameError::Fragment);
    }
    let head_bytes = usize::from(head[0] & 0x0F) * 4;
    let total = usize::from(u16::from_be_bytes([head[2], head[3]]));
    if head_bytes < head.len() || total < head_bytes + UDP_HEADER_BYTES {
        return Err(FrameError::BadLength);
    }
    // What lies behind the total length is padding of short frames.
    let datagram =
        packet.get(..total).and_then(|packet| packet.get(head_bytes..)).ok_or(FrameError::Cut)?;
    let ports = datagram.first_chunk::<UDP_HEADER_BYTES>().ok_or(FrameError::Cut)?;
    let length = usize::from(u16::from_be_bytes([ports[4], ports[5]]));
    Ok(UdpFrame {
        destination: SocketAddrV4::new(
            Ipv4Addr::new(head[16], head[17], head[18], head[19]),
            u16::from_be_bytes([ports[2], ports[3]]),
        ),
        payload: datagram.get(UDP_HEADER_BYTES..length).ok_or(FrameError::BadLength)?,
    })
}

#[inline]
fn take_u16(rest: &mut &[u8]) -> Result<u16, FrameError> {
    let (&word, tail) = rest.split_first_chunk::<2>().ok_or(FrameError::Cut)?;
    *rest = tail;
    Ok(u16::from_be_bytes(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINKS: [Link; 5] =
        [Link::Ethernet, Link::Raw, Link::Loopback, Link::LinuxCooked, Link::LinuxCooked2];

    /// An IPv4 packet to 239.1.2.3:5000, with `options` in its header.
    fn packet(options: &[u8], payload: &[u8]) -> Vec<u8> {
        let udp = u16::try_from(payload.len() + 8).expect("short");
        let words = 5 + u8::try_from(options.len() / 4).expect("short");
        let [hi, lo] = (udp + u16::from(words) * 4).to_be_bytes();
        let mut packet = vec![0x40 | words, 0, hi, lo, 0, 0, 0x40, 0, 16, UDP, 0, 0];
        packet.extend_from_slice(&[10, 0, 0, 1, 239, 1, 2, 3]);
        packet.extend_from_slice(options);
        packet.extend_from_slice(&[0x30, 0x39, 0x13, 0x88]);
        packet.extend_from_slice(&udp.to_be_bytes());
        packet.extend_from_slice(&[0, 0]);
        packet.extend_from_slice(payload);
        packet
    }

    /// The head of a frame of `link` with `tags` VLAN tags, where it can have some.
    fn head(link: Link, tags: usize) -> Vec<u8> {
        let mut kinds: Vec<u8> = [0x81, 0x00, 0x03, 0xF5].repeat(tags);
        kinds.extend_from_slice(&[0x08, 0x00]);
        match link {
            Link::Ethernet => [&[0; 12], &kinds[..]].concat(),
            Link::Raw => Vec::new(),
            Link::Loopback => vec![2, 0, 0, 0],
            Link::LinuxCooked => [&[0; 14], &kinds[..]].concat(),
            Link::LinuxCooked2 => [&kinds[..2], &[0; 18], &kinds[2..]].concat(),
        }
    }

    /// An Ethernet frame to 239.1.2.3:5000 with `tags` VLAN tags.
    fn frame(tags: usize, payload: &[u8]) -> Vec<u8> {
        [head(Link::Ethernet, tags), packet(&[], payload)].concat()
    }

    #[test]
    fn payload_is_found_behind_up_to_two_tags_and_before_padding() {
        for link in LINKS {
            for tags in 0..3 {
                let mut bytes = [head(link, tags), packet(&[], b"payload")].concat();
                bytes.extend_from_slice(&[0; 9]);
                let udp = parse_link_udp(link, &bytes).expect("a datagram");
                assert_eq!(udp.payload, b"payload");
                assert_eq!(udp.destination.to_string(), "239.1.2.3:5000");
            }
        }
        assert_eq!(parse_udp(&frame(3, b"payload")), Err(FrameError::NotIpv4));
        let mut service = frame(2, b"payload");
        service[12..14].copy_from_slice(&[0x88, 0xA8]);
        assert_eq!(parse_udp(&service).map(|udp| udp.payload), Ok(&b"payload"[..]));
        service[12..14].copy_from_slice(&[0x91, 0x00]);
        assert_eq!(parse_udp(&service).map(|udp| udp.payload), Ok(&b"payload"[..]));
    }

    #[test]
    fn a_frame_cut_anywhere_is_refused() {
        for link in LINKS {
            let bytes = [head(link, 1), packet(&[1, 1, 1, 0], b"payload")].concat();
            for cut in 0..bytes.len() {
                let cut_off = parse_link_udp(link, &bytes[..cut]);
                assert_eq!(cut_off, Err(FrameError::Cut), "{link:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn fragments_and_other_protocols_are_told_apart() {
        for fragmented in [[0x20, 0], [0, 1], [0x1F, 0xFF]] {
            let mut fragment = frame(0, b"payload");
            fragment[20..22].copy_from_slice(&fragmented);
            assert_eq!(parse_udp(&fragment), Err(FrameError::Fragment));
        }
        let mut tcp = frame(0, b"payload");
        tcp[23] = 6;
        assert_eq!(parse_udp(&tcp), Err(FrameError::NotUdp));
        let mut arp = frame(0, b"payload");
        arp[13] = 0x06;
        assert_eq!(parse_udp(&arp), Err(FrameError::NotIpv4));
        let mut six = packet(&[], b"payload");
        six[0] = 0x60;
        assert_eq!(parse_link_udp(Link::Raw, &six), Err(FrameError::NotIpv4));
        let mut six = [head(Link::Loopback, 0), packet(&[], b"payload")].concat();
        six[0] = 30; // AF_INET6 of some
        assert_eq!(parse_link_udp(Link::Loopback, &six), Err(FrameError::NotIpv4));
    }

    #[test]
    fn options_are_passed_over_whatever_they_are() {
        for words in 0..=10 {
            let bytes = packet(&vec![0xFF; words * 4], b"payload");
            let udp = parse_link_udp(Link::Raw, &bytes).expect("a datagram");
            assert_eq!(udp.payload, b"payload");
        }
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        let lie = |at: usize, bytes: &[u8]| {
            let mut packet = packet(&[], b"payload");
            packet[at..at + bytes.len()].copy_from_slice(bytes);
            packet.extend_from_slice(&[0; 40]);
            parse_link_udp(Link::Raw, &packet).map(|udp| udp.payload.to_vec())
        };
        for words in 0..5 {
            assert_eq!(lie(0, &[0x40 | words]), Err(FrameError::BadLength), "{words} words");
        }
        assert_eq!(lie(0, &[0x4F]), Err(FrameError::BadLength), "a header longer than the packet");
        for total in 0..28 {
            assert_eq!(lie(2, &[0, total]), Err(FrameError::BadLength), "{total} in all");
        }
        assert_eq!(lie(2, &[0, 28]), Err(FrameError::BadLength), "in all less than UDP says");
        assert_eq!(lie(2, &[0, 200]), Err(FrameError::Cut), "more than there is");
        for udp in 0..8 {
            assert_eq!(lie(24, &[0, udp]), Err(FrameError::BadLength), "{udp} of UDP");
        }
        assert_eq!(lie(24, &[0, 16]), Err(FrameError::BadLength), "UDP beyond its packet");
        // Less than the packet holds is what RFC 768 allows: the rest is not of the datagram.
        assert_eq!(lie(24, &[0, 8]), Ok(Vec::new()));
        assert_eq!(lie(24, &[0, 11]), Ok(b"pay".to_vec()));
    }

    #[test]
    fn links_have_the_numbers_of_the_registry() {
        let numbers = [(0, Link::Loopback), (1, Link::Ethernet), (12, Link::Raw), (101, Link::Raw)];
        let others = [(108, Link::Loopback), (113, Link::LinuxCooked), (228, Link::Raw)];
        let known = [&numbers[..], &others[..], &[(276, Link::LinuxCooked2)]].concat();
        for number in 0..1_000 {
            let expected = known.iter().find(|known| known.0 == number).map(|known| known.1);
            assert_eq!(Link::from_number(number), expected, "{number}");
        }
    }
}
