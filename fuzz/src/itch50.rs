//! Any bytes as an ITCH 5.0 message: none panic, and what is taken has the length of its type.

use postern::feed::itch50::{LENGTHS, decode};

/// Takes any bytes.
///
/// # Panics
/// If what this file says does not hold.
pub fn take(bytes: &[u8]) {
    if decode(bytes).is_ok() {
        assert_eq!(bytes.len(), usize::from(LENGTHS[usize::from(bytes[0])]));
    }
}
