//! A mirror of books fed with any messages of either stream: none panic.

use postern::client::BookMirror;
use postern::codec::market_data::MarketData;

/// Header and block of the longest message.
const MESSAGE_BYTES_MAX: usize = 80;

/// Takes any bytes.
///
/// # Panics
/// If what this file says does not hold.
pub fn take(bytes: &[u8]) {
    let mut mirror = BookMirror::new();
    for chunk in bytes.chunks(MESSAGE_BYTES_MAX) {
        let Some((&how, rest)) = chunk.split_first() else { continue };
        // The message is as long as its header says, so that most chunks hold one.
        let block =
            rest.first_chunk::<2>().map_or(0, |size| usize::from(u16::from_le_bytes(*size)));
        let Some(message) = rest.get(..8 + block) else { continue };
        let Ok(message) = MarketData::decode(message) else { continue };
        if how & 1 == 0 {
            mirror.on_message(i32::from(how >> 1), &message);
        } else {
            mirror.on_snapshot(&message);
        }
    }
    let known = mirror.instruments().filter(|id| mirror.book(*id).is_some()).count();
    assert!(known <= mirror.instruments().count());
}
