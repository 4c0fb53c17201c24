//! Any bytes as a MoldUDP64 packet: none panic, and the messages of one that is taken fill it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postern::feed::moldudp64::{HEADER_BYTES, Packet, parse};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Packet::Data(header, messages)) = parse(bytes) {
        assert_eq!(messages.count(), usize::from(header.count));
        let sizes: usize = messages.map(|message| message.len() + 2).sum();
        assert_eq!(sizes + HEADER_BYTES, bytes.len());
    }
});
