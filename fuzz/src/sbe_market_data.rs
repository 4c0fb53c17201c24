//! Any bytes as a message of the schema `market_data`: none panic, and what is taken is written back to the same bytes.

use postern::codec::market_data::MarketData;

/// Takes any bytes.
///
/// # Panics
/// If what this file says does not hold.
pub fn take(bytes: &[u8]) {
    if let Ok(message) = MarketData::decode(bytes) {
        let mut again = vec![0; bytes.len()];
        let length = message.encode(&mut again);
        assert_eq!(length, bytes.len());
        assert_eq!(MarketData::decode(&again), Ok(message));
    }
}
