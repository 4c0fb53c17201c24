//! Any bytes as a re-request and as packets of a SoupBinTCP client: none panic, and packets lie one behind the other.

use postern::sim::rerequest::{REQUEST_BYTES, Request};
use postern::sim::soup::{CLIENT_PACKET_BYTES_MAX, ClientPacket, next_packet};

/// Takes any bytes.
///
/// # Panics
/// If what this file says does not hold.
pub fn take(bytes: &[u8]) {
    assert_eq!(Request::decode(bytes).is_some(), bytes.len() == REQUEST_BYTES);
    let mut rest = bytes;
    while let Ok(Some((packet, length))) = next_packet(rest) {
        assert!((3..=CLIENT_PACKET_BYTES_MAX).contains(&length));
        if let ClientPacket::Login(login) = packet {
            let _ = login.sequence();
        }
        rest = &rest[length..];
    }
}
