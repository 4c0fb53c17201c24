//! Any bytes as an Ethernet frame: none panic, and a payload lies within its frame.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postern::net::parse_udp;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(udp) = parse_udp(bytes) {
        assert!(udp.payload.len() + 42 <= bytes.len());
    }
});
