//! Any bytes as a message of the schema `market_data`: none panic, and what is taken is written back to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postern::codec::market_data::MarketData;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(message) = MarketData::decode(bytes) {
        let mut again = vec![0; bytes.len()];
        let length = message.encode(&mut again);
        assert_eq!(length, bytes.len());
        assert_eq!(MarketData::decode(&again), Ok(message));
    }
});
