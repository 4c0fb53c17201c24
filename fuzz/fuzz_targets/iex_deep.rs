//! Any bytes as a message of DEEP: none panic, and what is taken is of a known type and not shorter than it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postern::feed::iex::deep::{decode, types};

fuzz_target!(|bytes: &[u8]| {
    if decode(bytes).is_ok() {
        let known = |(letter, least)| letter == bytes[0] && usize::from(least) <= bytes.len();
        assert!(types().any(known));
    }
});
