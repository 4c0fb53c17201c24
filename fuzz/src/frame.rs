//! Any bytes as a frame of any link: none panic, and a payload lies within its frame, behind the headers of IPv4 and UDP.

use postern::net::{Link, parse_link_udp, parse_udp};

/// Takes any bytes.
///
/// # Panics
/// If what this file says does not hold.
pub fn take(bytes: &[u8]) {
    let links = [Link::Ethernet, Link::Raw, Link::Loopback, Link::LinuxCooked, Link::LinuxCooked2];
    for link in links {
        if let Ok(udp) = parse_link_udp(link, bytes) {
            assert!(udp.payload.len() + 28 <= bytes.len());
        }
    }
    assert_eq!(parse_udp(bytes), parse_link_udp(Link::Ethernet, bytes));
}
