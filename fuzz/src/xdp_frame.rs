//! Any bytes as a frame that AF_XDP received: none panic; what is taken lies behind the headers, and written anew reads the same.

use postern::net::xdp::frame::{HEADERS_BYTES, Path, read_udp, write_udp};

/// Takes any bytes.
///
/// # Panics
/// If what this file says does not hold.
pub fn take(bytes: &[u8]) {
    let Ok(udp) = read_udp(bytes) else { return };
    assert!(HEADERS_BYTES + udp.payload.len() <= bytes.len());
    assert_eq!(udp.payload, &bytes[HEADERS_BYTES..HEADERS_BYTES + udp.payload.len()]);
    let path = Path {
        source_mac: [2; 6],
        destination_mac: [4; 6],
        source: udp.source,
        destination: udp.destination,
        ttl: bytes[22],
        tos: bytes[15],
    };
    let mut frame = vec![0xA5; HEADERS_BYTES + udp.payload.len()];
    assert_eq!(write_udp(&mut frame, &path, udp.payload), frame.len());
    assert_eq!(read_udp(&frame), Ok(udp));
}
