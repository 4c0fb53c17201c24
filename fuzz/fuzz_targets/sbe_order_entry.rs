//! `src/sbe_order_entry.rs` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| postern_fuzz::sbe_order_entry::take(bytes));
