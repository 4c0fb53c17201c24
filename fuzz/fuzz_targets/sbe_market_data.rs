//! `src/sbe_market_data.rs` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| postern_fuzz::sbe_market_data::take(bytes));
