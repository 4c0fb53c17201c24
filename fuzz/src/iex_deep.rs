//! Any bytes as a message of DEEP: none panic, and what is taken is of a known type and not shorter than it.

use postern::feed::iex::deep::{decode, types};

/// Takes any bytes.
///
/// # Panics
/// If what this file says does not hold.
pub fn take(bytes: &[u8]) {
    if decode(bytes).is_ok() {
        let known = |(letter, least)| letter == bytes[0] && usize::from(least) <= bytes.len();
        assert!(types().any(known));
    }
}
