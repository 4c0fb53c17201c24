//! A mirror of the books of a gateway that runs as `postern run` on this machine: kept by its market data, checked against its
//! snapshots.
//!
//! `cargo run --release --example book_mirror -- --help`

#![allow(clippy::print_stdout, reason = "a program that talks to a person")]

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use postern::client::{BookMirror, Handler, Strategy, StrategyConfig, StreamName};
use postern::codec::market_data::MarketData;
use postern::transport::{AeronConfig, DriverMode};
use postern::types::{Nanos, Side};

/// Keeps a mirror of all books of a running gateway and compares it with each snapshot; fails on the first difference.
///
/// The defaults are those of examples/quickstart.toml.
#[derive(Debug, Parser)]
struct Arguments {
    /// The gateway's Aeron directory (aeron.directory).
    #[arg(long, default_value = "/dev/shm/postern-quickstart")]
    directory: PathBuf,
    /// Where market data comes from (market_data.channel) …
    #[arg(long, default_value = "aeron:ipc")]
    market_channel: String,
    /// … and its stream (market_data.stream_id).
    #[arg(long, default_value_t = 1002)]
    market_stream: i32,
    /// Where snapshots come from (market_data.snapshot_channel) …
    #[arg(long, default_value = "aeron:ipc")]
    snapshot_channel: String,
    /// … and their stream (market_data.snapshot_stream_id).
    #[arg(long, default_value_t = 1003)]
    snapshot_stream: i32,
    /// End after so many snapshots that were equal.
    #[arg(long, default_value_t = 5)]
    checks: u64,
    /// Give up after so many seconds.
    #[arg(long, default_value_t = 30)]
    patience_s: u64,
}

struct Watcher(BookMirror);

impl Handler for Watcher {
    fn on_market_data(&mut self, source: i32, message: &MarketData) {
        self.0.on_message(source, message);
    }

    fn on_snapshot(&mut self, message: &MarketData) {
        self.0.on_snapshot(message);
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("book_mirror: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let mut strategy = Strategy::connect(StrategyConfig {
        aeron: AeronConfig {
            mode: DriverMode::External,
            driver_timeout_ms: 10_000,
            ..AeronConfig::in_directory(&arguments.directory)
        },
        session: None,
        market_data: Some(StreamName::new(&arguments.market_channel, arguments.market_stream)),
        snapshots: Some(StreamName::new(&arguments.snapshot_channel, arguments.snapshot_stream)),
    })?;
    let mut watcher = Watcher(BookMirror::new());
    let give_up = strategy.time().0.plus(Nanos::of(Duration::from_secs(arguments.patience_s)));
    loop {
        let count = strategy.poll(&mut watcher)?;
        let counts = watcher.0.counts();
        if let Some(difference) = watcher.0.difference() {
            return Err(format!("the mirror is not the gateway's book: {difference}").into());
        }
        if counts.matched >= arguments.checks && watcher.0.is_known() {
            break;
        }
        if strategy.time().0 > give_up {
            return Err(format!("no end in time: {counts:?}").into());
        }
        if count == 0 {
            // A real strategy spins here, on a core of its own.
            std::thread::park_timeout(Duration::from_micros(50));
        }
    }
    report(&watcher.0);
    Ok(())
}

fn report(mirror: &BookMirror) {
    for instrument in mirror.instruments() {
        let symbol = mirror.symbol(instrument).unwrap_or(*b"?       ");
        let Some(book) = mirror.book(instrument) else { continue };
        let best = |side| match book.best(side) {
            Some(level) => format!("{} at {}", level.size, level.price),
            None => "none".to_owned(),
        };
        println!(
            "{}: bid {}, offer {}, {} and {} levels, {:?}",
            String::from_utf8_lossy(&symbol).trim_end(),
            best(Side::Buy),
            best(Side::Sell),
            book.levels(Side::Buy).len(),
            book.levels(Side::Sell).len(),
            book.state()
        );
    }
    let counts = mirror.counts();
    println!(
        "{} messages, {} holes, {} states left out; {} snapshots equal, {} different",
        counts.messages, counts.holes, counts.conflated, counts.matched, counts.differed
    );
}
