//! Any bytes as a MoldUDP64 packet: none panic, and the messages of one that is taken fill it.

use postern::feed::moldudp64::{HEADER_BYTES, Packet, parse};

/// Takes any bytes.
///
/// # Panics
/// If what this file says does not hold.
pub fn take(bytes: &[u8]) {
    if let Ok(Packet::Data(header, messages)) = parse(bytes) {
        assert_eq!(messages.count(), usize::from(header.count));
        let sizes: usize = messages.map(|message| message.len() + 2).sum();
        assert_eq!(sizes + HEADER_BYTES, bytes.len());
    }
}
