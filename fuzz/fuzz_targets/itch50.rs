//! Any bytes as an ITCH 5.0 message: none panic, and what is taken has the length of its type.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postern::feed::itch50::{LENGTHS, decode};

fuzz_target!(|bytes: &[u8]| {
    if decode(bytes).is_ok() {
        assert_eq!(bytes.len(), usize::from(LENGTHS[usize::from(bytes[0])]));
    }
});
