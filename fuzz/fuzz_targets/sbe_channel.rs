//! `src/sbe_channel.rs` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| postern_fuzz::sbe_channel::take(bytes));
