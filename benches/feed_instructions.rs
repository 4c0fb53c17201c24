//! Goes over a generated day in one way, for `scripts/instructions` to count the instructions of under callgrind.
//!
//! `feed_instructions walk` (or another of [`CASES`]) does that one once, over a day large enough that its beginning and end
//! do not show. Without a name it does all of them over some thousands of messages, as `cargo test --benches` has it.
//!
//! It is built from `postern` or, in a fraction of the time, from the few modules of it that it needs: see
//! `benches/instructions/`.

#![allow(clippy::as_conversions, reason = "a length and an enum, for a sum")]
#![allow(clippy::print_stdout, reason = "which day it was and what it came to")]

#[path = "support/feed.rs"]
mod feed;

use std::hint::black_box;
use std::process::ExitCode;

/// How to go over the day's bytes, with how many securities it has; returns what it came to.
type Case = fn(&[u8], u16) -> u64;

/// The functions of the same names in `feed` are what is counted.
const CASES: [(&str, Case); 5] = [
    ("walk", |bytes, _| feed::walk(bytes)),
    ("decode_messages", |bytes, _| feed::decode_messages(bytes)),
    ("decode_events", |bytes, _| feed::decode_events(bytes)),
    ("book_one_at_a_time", |bytes, symbols| {
        let mut books = feed::books(symbols);
        assert_eq!(feed::book_one_at_a_time(bytes, &mut books), 0, "a generated day fits");
        books.digest()
    }),
    ("book_look_ahead", |bytes, symbols| {
        let mut books = feed::books(symbols);
        assert_eq!(feed::book_look_ahead(bytes, &mut books), 0, "a generated day fits");
        books.digest()
    }),
];

/// Goes over a day in the way of that name; says which day it was and what it came to.
fn run(name: &str, case: Case, messages: u64, symbols: u16) -> u64 {
    let bytes = feed::day(messages, symbols);
    let result = case(black_box(&bytes), symbols);
    println!("{name}: {messages} messages, {symbols} symbols, seed {}: {result:016x}", feed::SEED);
    result
}

fn main() -> ExitCode {
    // Cargo adds options of its own.
    let Some(asked) = std::env::args().skip(1).find(|argument| !argument.starts_with("--")) else {
        let results = CASES.map(|(name, case)| run(name, case, 5_000, 50));
        assert_eq!(results[3], results[4], "the same books either way");
        return ExitCode::SUCCESS;
    };
    let Some((name, case)) = CASES.into_iter().find(|(name, _)| *name == asked) else {
        println!("no such case: {asked}; there are {:?}", CASES.map(|(name, _)| name));
        return ExitCode::FAILURE;
    };
    run(name, case, 200_000, 500);
    ExitCode::SUCCESS
}
