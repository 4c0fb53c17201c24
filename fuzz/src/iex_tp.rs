//! Any bytes as an IEX-TP segment: none panic, and the messages of one that is taken fill it.

use postern::feed::iex::tp::{HEADER_BYTES, Segment, parse};

/// Takes any bytes.
///
/// # Panics
/// If what this file says does not hold.
pub fn take(bytes: &[u8]) {
    match parse(bytes) {
        Ok(Segment::Data(header, messages)) => {
            assert_eq!(messages.count(), usize::from(header.count));
            let sizes: usize = messages.map(|message| message.len() + 2).sum();
            assert_eq!(sizes + HEADER_BYTES, bytes.len());
        }
        Ok(Segment::Heartbeat(header)) => {
            assert_eq!((header.count, bytes.len()), (0, HEADER_BYTES))
        }
        Err(_) => {}
    }
}
