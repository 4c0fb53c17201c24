//! `postern book`: the book of an instrument as a running daemon has it, from the snapshots it publishes.
//!
//! The daemon's hot path is not asked: this reads the stream of snapshots as any strategy that comes late does, and waits
//! for the instrument's turn.

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use comfy_table::Table;
use serde::Serialize;

use crate::client::{BookMirror, Handler, MirroredBook, Strategy, StrategyConfig, StreamName};
use crate::cmd::output::Output;
use crate::cmd::run::EXIT_CONFIG;
use crate::cmd::{complain, configured};
use crate::codec::market_data::MarketData;
use crate::config::Config;
use crate::transport::{AeronConfig, DriverMode, TransportDown, TransportError};
use crate::types::{BookState, Nanos, Side, Symbol, TradingStatus};

/// Shows the book of an instrument as a running postern has it.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  postern book AAPL --config /etc/postern/postern.toml
  postern book AAPL --config postern.toml --output json | jq .bids[0]

It reads market_data.snapshot_channel, on which every instrument has its turn in market_data.snapshot_interval_ms, and
shows as many levels as market_data.depth says. It must be able to read aeron.directory: run it as the daemon's user.
Exit status: 0 shown, 1 no daemon there or no snapshot in time, 2 wrong arguments, 78 bad configuration.")]
pub struct BookArgs {
    /// The instrument's symbol
    #[arg(value_parser = symbol)]
    symbol: Symbol,
    /// The daemon's configuration; without it the default one
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Give up after so many seconds beyond the time in which every instrument has its turn
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    patience_s: u32,
}

fn symbol(text: &str) -> Result<Symbol, &'static str> {
    Symbol::new(text).ok_or("not a symbol: 1 to 8 printable letters without spaces")
}

/// Why there is no book.
#[derive(Debug)]
enum BookError {
    NotConfigured(Symbol),
    NoSnapshots,
    NoDriver(TransportError),
    DriverGone(TransportDown),
    NoSnapshot { symbol: Symbol, seconds: u64 },
    Output(io::Error),
}

impl fmt::Display for BookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BookError::NotConfigured(symbol) => {
                write!(f, "{symbol} is no [[instrument]] of the configuration")
            }
            BookError::NoSnapshots => f.write_str(
                "the configuration has no snapshots: market_data.depth or snapshot_interval_ms is 0",
            ),
            BookError::NoDriver(error) => {
                write!(f, "{error}: is the daemon running, and with this configuration?")
            }
            BookError::DriverGone(error) => write!(f, "{error}"),
            BookError::NoSnapshot { symbol, seconds } => write!(
                f,
                "no snapshot of {symbol} in {seconds} s: is the daemon running, and with this configuration?"
            ),
            BookError::Output(error) => write!(f, "standard output: {error}"),
        }
    }
}

/// Shows what `args` ask for; what is wrong goes to standard error.
pub fn run(args: &BookArgs) -> ExitCode {
    let config = match configured(args.config.as_deref()) {
        Ok(config) => config,
        Err(errors) => {
            complain(&errors);
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    match show(args, &config) {
        Ok(()) => ExitCode::SUCCESS,
        // A reader that went away, as `head` does, has read what it wanted.
        Err(BookError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&format!("postern book: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Keeps the books of the snapshots alone.
struct Watcher(BookMirror);

impl Handler for Watcher {
    fn on_snapshot(&mut self, message: &MarketData) {
        self.0.on_snapshot(message);
    }
}

fn show(args: &BookArgs, config: &Config) -> Result<(), BookError> {
    let instrument = config.instruments.iter().find(|other| other.symbol == args.symbol);
    let id = instrument.ok_or(BookError::NotConfigured(args.symbol))?.id;
    if !config.market_data.has_snapshots() {
        return Err(BookError::NoSnapshots);
    }
    let snapshots = &config.market_data.snapshots;
    let patience = Duration::from_secs(u64::from(args.patience_s))
        + Duration::from_millis(u64::from(config.market_data.snapshot_interval_ms));
    let mut strategy = Strategy::connect(StrategyConfig {
        aeron: AeronConfig {
            mode: DriverMode::External,
            driver_timeout_ms: u64::from(config.aeron.driver_timeout_ms),
            ..AeronConfig::in_directory(&config.aeron.directory)
        },
        session: None,
        market_data: None,
        snapshots: Some(StreamName::new(&snapshots.channel, snapshots.stream_id)),
    })
    .map_err(BookError::NoDriver)?;
    let mut watcher = Watcher(BookMirror::new());
    let give_up = strategy.time().0.plus(Nanos::of(patience));
    loop {
        let count = strategy.poll(&mut watcher).map_err(BookError::DriverGone)?;
        if let Some(book) = watcher.0.book(id) {
            let line = BookReport::of(args.symbol, book, watcher.0.status(id));
            return print(args.output, &line).map_err(BookError::Output);
        }
        if strategy.time().0 > give_up {
            let (symbol, seconds) = (args.symbol, patience.as_secs());
            return Err(BookError::NoSnapshot { symbol, seconds });
        }
        if count == 0 {
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
}

/// One price level, as it is printed.
#[derive(Debug, Serialize)]
struct LevelLine {
    price: String,
    qty: u64,
    /// 0 where the exchange tells of levels only.
    orders: u32,
}

/// A book, as it is printed.
#[derive(Debug, Serialize)]
struct BookReport {
    symbol: String,
    /// Whether it may differ from the exchange's; it has no levels then.
    stale: bool,
    /// The letter of the trading status, as strategies are told it.
    status: char,
    bids: Vec<LevelLine>,
    asks: Vec<LevelLine>,
}

impl BookReport {
    fn of(symbol: Symbol, book: &MirroredBook, status: Option<TradingStatus>) -> BookReport {
        let levels = |side| {
            let levels = book.levels(side).iter().map(|level| LevelLine {
                price: level.price.to_string(),
                qty: level.size,
                orders: level.orders,
            });
            levels.collect()
        };
        BookReport {
            symbol: symbol.to_string(),
            stale: book.state() == BookState::Stale,
            status: char::from(status.unwrap_or(TradingStatus::Unknown).wire()),
            bids: levels(Side::Buy),
            asks: levels(Side::Sell),
        }
    }
}

fn print(output: Output, book: &BookReport) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match output {
        Output::Json => {
            serde_json::to_writer(&mut stdout, book)?;
            writeln!(stdout)?;
        }
        Output::Text => {
            let state =
                if book.stale { "stale: it may be wrong, and shows nothing" } else { "current" };
            writeln!(stdout, "{}: {state}, status {}", book.symbol, book.status)?;
            let mut table = Table::new();
            table.set_header(["orders", "bid qty", "bid", "ask", "ask qty", "orders"]);
            let cells = |level: Option<&LevelLine>| match level {
                Some(level) => {
                    [level.orders.to_string(), level.qty.to_string(), level.price.clone()]
                }
                None => [const { String::new() }; 3],
            };
            for place in 0..book.bids.len().max(book.asks.len()) {
                let mut asks = cells(book.asks.get(place));
                asks.reverse();
                table.add_row(cells(book.bids.get(place)).into_iter().chain(asks));
            }
            writeln!(stdout, "{table}")?;
        }
    }
    stdout.flush()
}
