//! Any bytes as a message of the schema `order_entry`: none panic, and what is taken is written back to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postern::codec::order_entry::OrderEntry;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(message) = OrderEntry::decode(bytes) {
        let mut again = vec![0; bytes.len()];
        let length = message.encode(&mut again);
        assert_eq!(length, bytes.len());
        assert_eq!(OrderEntry::decode(&again), Ok(message));
    }
});
