//! From an Ethernet frame to the UDP payload in it. Pure and total.

use std::net::{Ipv4Addr, SocketAddrV4};

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
}

const VLAN: u16 = 0x8100; // IEEE 802.1Q
const SERVICE_VLAN: u16 = 0x88A8; // IEEE 802.1ad
const IPV4: u16 = 0x0800;
const UDP: u8 = 17;

/// The datagram in an Ethernet frame, behind at most two VLAN tags. Checksums are not looked at: captures taken where
/// they are sent often hold unfinished ones.
///
/// # Errors
/// A [`FrameError`] for any other frame; never panics.
#[inline]
pub fn parse_udp(frame: &[u8]) -> Result<UdpFrame<'_>, FrameError> {
    let (addresses, mut rest) = frame.split_at_checked(12).ok_or(FrameError::Cut)?;
    debug_assert_eq!(addresses.len(), 12);
    let mut kind = take_u16(&mut rest)?;
    for _ in 0..2 {
        if kind == VLAN || kind == SERVICE_VLAN {
            take_u16(&mut rest)?;
            kind = take_u16(&mut rest)?;
        }
    }
    if kind != IPV4 {
        return Err(FrameError::NotIpv4);
    }
    parse_ipv4(rest)
}

/// The datagram in an IPv4 packet.
fn parse_ipv4(packet: &[u8]) -> Result<UdpFrame<'_>, FrameError> {
    let head = packet.first_chunk::<20>().ok_or(FrameError::Cut)?;
    if head[0] >> 4 != 4 {
        return Err(FrameError::NotIpv4);
    }
    let head_bytes = usize::from(head[0] & 0x0F) * 4;
    let total = usize::from(u16::from_be_bytes([head[2], head[3]]));
    if head[9] != UDP {
        return Err(FrameError::NotUdp);
    }
    if u16::from_be_bytes([head[6], head[7]]) & 0x3FFF != 0 {
        return Err(FrameError::Fragment);
    }
    // What lies behind the total length is padding of short frames.
    let datagram =
        packet.get(..total).and_then(|packet| packet.get(head_bytes..)).ok_or(FrameError::Cut)?;
    let ports = datagram.first_chunk::<8>().ok_or(FrameError::Cut)?;
    let length = usize::from(u16::from_be_bytes([ports[4], ports[5]]));
    Ok(UdpFrame {
        destination: SocketAddrV4::new(
            Ipv4Addr::new(head[16], head[17], head[18], head[19]),
            u16::from_be_bytes([ports[2], ports[3]]),
        ),
        payload: datagram.get(8..length).ok_or(FrameError::Cut)?,
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

    /// A frame to 239.1.2.3:5000 with `tags` VLAN tags.
    fn frame(tags: usize, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 12];
        for _ in 0..tags {
            frame.extend_from_slice(&[0x81, 0x00, 0x03, 0xF5]);
        }
        frame.extend_from_slice(&[0x08, 0x00]);
        let udp = u16::try_from(payload.len() + 8).expect("short");
        let [hi, lo] = (udp + 20).to_be_bytes();
        frame.extend_from_slice(&[0x45, 0, hi, lo, 0, 0, 0x40, 0, 16, UDP, 0, 0]);
        frame.extend_from_slice(&[10, 0, 0, 1, 239, 1, 2, 3]);
        frame.extend_from_slice(&[0x30, 0x39, 0x13, 0x88]);
        frame.extend_from_slice(&udp.to_be_bytes());
        frame.extend_from_slice(&[0, 0]);
        frame.extend_from_slice(payload);
        frame
    }

    #[test]
    fn payload_is_found_behind_up_to_two_tags_and_before_padding() {
        for tags in 0..3 {
            let mut bytes = frame(tags, b"payload");
            bytes.extend_from_slice(&[0; 9]);
            let udp = parse_udp(&bytes).expect("a datagram");
            assert_eq!(udp.payload, b"payload");
            assert_eq!(udp.destination.to_string(), "239.1.2.3:5000");
        }
        assert_eq!(parse_udp(&frame(3, b"payload")), Err(FrameError::NotIpv4));
    }

    #[test]
    fn a_frame_cut_anywhere_is_refused() {
        let bytes = frame(1, b"payload");
        for cut in 0..bytes.len() {
            assert_eq!(parse_udp(&bytes[..cut]), Err(FrameError::Cut), "cut at {cut}");
        }
    }

    #[test]
    fn fragments_and_other_protocols_are_told_apart() {
        let mut fragment = frame(0, b"payload");
        fragment[20] = 0x20; // more fragments
        assert_eq!(parse_udp(&fragment), Err(FrameError::Fragment));
        let mut tcp = frame(0, b"payload");
        tcp[23] = 6;
        assert_eq!(parse_udp(&tcp), Err(FrameError::NotUdp));
        let mut arp = frame(0, b"payload");
        arp[13] = 0x06;
        assert_eq!(parse_udp(&arp), Err(FrameError::NotIpv4));
    }
}
