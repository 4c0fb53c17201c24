//! `postern book`: the book of an instrument as a running daemon has it, from the snapshots it publishes.
//!
//! The daemon's hot path is not asked: this reads the stream of snapshots as any strategy that comes late does, and waits
//! for the instrument's turn. A shared memory stream first brings a new reader what was written after the last one left,
//! however long ago that was: so this reads the stream to its end first, then lets the snapshot pass that the daemon may
//! have had in hand, and believes only what was taken after that.

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use comfy_table::Table;
use serde::Serialize;

use crate::client::MirroredBook;
use crate::cmd::output::Output;
use crate::cmd::run::EXIT_CONFIG;
use crate::cmd::{complain, configured};
use crate::codec::market_data::{MarketData, MarketDataSnapshotFullRefresh};
use crate::config::Config;
use crate::mirror::Assembly;
use crate::runtime::Clock;
use crate::transport::{
    AeronConfig, Client, DriverMode, Fragment, Inbound, StreamEvent, TransportDown, TransportError,
};
use crate::types::{BookState, InstrumentId, Nanos, Side, Symbol};

/// Messages taken in one poll.
const MESSAGES_PER_POLL: usize = 256;

/// Polls in a row that bring nothing before the stream is taken to be read to its end: one may have met nothing but the
/// padding at the end of a term.
const EMPTY_POLLS: u32 = 2;

/// Shows the book of an instrument as a running postern has it.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  postern book AAPL --config /etc/postern/postern.toml
  postern book AAPL --config postern.toml --output json | jq .bids[0]

It reads market_data.snapshot_channel, on which every instrument has its turn in market_data.snapshot_interval_ms, and
shows as many levels as market_data.depth says, as they are after the command began. transact_time is when the book changed
last, in seconds since 1970 (UTC); last_msg_seq_num_processed is the RptSeq of the instrument's stream of market data up to
which the book goes. It must be able to read aeron.directory: run it as the daemon's user.
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
    /// Give up after so many seconds beyond the time in which every instrument has its turn twice
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
    NoPublisher { seconds: u64 },
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
            BookError::NoPublisher { seconds } => write!(
                f,
                "nobody published snapshots in {seconds} s: is the daemon running, and with this configuration?"
            ),
            BookError::NoSnapshot { symbol, seconds } => write!(
                f,
                "no snapshot of {symbol} was taken in {seconds} s: what came was older, or of others; does the daemon run \
                 with this configuration?"
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

/// How far a [`Watch`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nobody publishes.
    Alone,
    /// What is there was written before we looked; so many polls in a row brought nothing.
    Draining(u32),
    /// What comes is new, but the snapshot it belongs to may have been taken before.
    Passing,
    /// A snapshot that begins now was taken after we looked: the daemon takes one when it is done with the one before.
    Reading,
}

/// Waits for a snapshot of an instrument that was taken after it looked.
struct Watch {
    instrument: InstrumentId,
    stage: Stage,
    assembly: Assembly,
}

impl Watch {
    fn new(instrument: InstrumentId) -> Watch {
        Watch { instrument, stage: Stage::Alone, assembly: Assembly::default() }
    }

    /// A publisher came or went: what the next one wrote may be as old as what the last one did.
    fn on_event(&mut self, event: StreamEvent) {
        self.assembly.clear();
        match event {
            StreamEvent::SourceUp(_) => self.stage = Stage::Draining(0),
            // Another may be there still.
            StreamEvent::SourceDown(_) if self.stage == Stage::Alone => {}
            StreamEvent::SourceDown(_) => self.stage = Stage::Draining(0),
        }
    }

    /// A poll ended that brought so many messages.
    fn on_poll(&mut self, count: usize) {
        if let Stage::Draining(empty) = self.stage {
            self.stage = match count {
                0 if empty + 1 >= EMPTY_POLLS => Stage::Passing,
                0 => Stage::Draining(empty + 1),
                _ => Stage::Draining(0),
            };
        }
    }

    /// Takes a message of the stream; the book, if it completes one that is new enough, with the message that completed it.
    fn on_message(
        &mut self,
        message: &MarketData,
    ) -> Option<(MirroredBook, MarketDataSnapshotFullRefresh)> {
        let MarketData::MarketDataSnapshotFullRefresh(message) = message else { return None };
        match self.stage {
            Stage::Alone | Stage::Draining(_) => None,
            Stage::Passing => {
                if message.md_entry_position_no >= message.tot_num_reports {
                    self.stage = Stage::Reading;
                }
                None
            }
            Stage::Reading if message.security_id != self.instrument => None,
            Stage::Reading => match self.assembly.add(message) {
                Ok(Some(snapshot)) => Some((snapshot.book.clone(), *message)),
                // What does not fit is a part of one whose beginning was lost.
                Ok(None) | Err(_) => None,
            },
        }
    }
}

fn show(args: &BookArgs, config: &Config) -> Result<(), BookError> {
    let instrument = config.instruments.iter().find(|other| other.symbol == args.symbol);
    let id = instrument.ok_or(BookError::NotConfigured(args.symbol))?.id;
    if !config.market_data.has_snapshots() {
        return Err(BookError::NoSnapshots);
    }
    let snapshots = &config.market_data.snapshots;
    // One round may pass for the snapshot that was in hand.
    let patience = Duration::from_secs(u64::from(args.patience_s))
        + 2 * Duration::from_millis(u64::from(config.market_data.snapshot_interval_ms));
    let mut client = Client::connect(&AeronConfig {
        mode: DriverMode::External,
        driver_timeout_ms: u64::from(config.aeron.driver_timeout_ms),
        ..AeronConfig::in_directory(&config.aeron.directory)
    })
    .map_err(BookError::NoDriver)?;
    let mut stream = client
        .add_subscription(&snapshots.channel, snapshots.stream_id)
        .map_err(BookError::NoDriver)?;
    let (mut watch, clock) = (Watch::new(id), Clock::start());
    let give_up = clock.now().plus(Nanos::of(patience));
    let found = loop {
        let now = clock.now();
        client.service(now).map_err(BookError::DriverGone)?;
        while let Some(event) = stream.next_event() {
            watch.on_event(event);
        }
        let mut found = None;
        let mut take = |fragment: Fragment<'_>| {
            // What cannot be decoded is of a newer daemon, and no snapshot.
            if let Ok(message) = MarketData::decode(fragment.bytes) {
                found = watch.on_message(&message).or(found.take());
            }
        };
        let count = stream.poll(MESSAGES_PER_POLL, &mut take).map_err(BookError::DriverGone)?;
        watch.on_poll(count);
        if let Some(found) = found {
            break found;
        }
        if now > give_up {
            let (symbol, seconds) = (args.symbol, patience.as_secs());
            return Err(match watch.stage {
                Stage::Alone => BookError::NoPublisher { seconds },
                Stage::Draining(_) | Stage::Passing | Stage::Reading => {
                    BookError::NoSnapshot { symbol, seconds }
                }
            });
        }
        if count == 0 {
            std::thread::park_timeout(Duration::from_millis(1));
        }
    };
    let (book, last) = found;
    print(args.output, &BookReport::of(args.symbol, &book, &last)).map_err(BookError::Output)
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
    /// When it changed last: seconds since 1970 and nine digits, UTC.
    transact_time: String,
    /// The `RptSeq` of the instrument's stream of market data up to which it goes.
    last_msg_seq_num_processed: u64,
    bids: Vec<LevelLine>,
    asks: Vec<LevelLine>,
}

impl BookReport {
    /// `last` completed the snapshot: all its messages say the same of the whole book.
    fn of(symbol: Symbol, book: &MirroredBook, last: &MarketDataSnapshotFullRefresh) -> BookReport {
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
            status: char::from(last.security_trading_status.wire()),
            transact_time: last.transact_time.to_string(),
            last_msg_seq_num_processed: last.last_msg_seq_num_processed,
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
            let BookReport { transact_time, last_msg_seq_num_processed: rpt_seq, .. } = book;
            writeln!(stdout, "changed last at {transact_time} UTC, up to RptSeq {rpt_seq}")?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{ChannelId, Price, TradingStatus, UtcNanos};

    const OURS: InstrumentId = InstrumentId(1);

    /// Messages of a snapshot with so many bids.
    fn snapshot(security_id: InstrumentId, rpt_seq: u64, levels: u16) -> Vec<MarketData> {
        let message = |position: u16| MarketDataSnapshotFullRefresh {
            rpt_seq: 0,
            last_msg_seq_num_processed: rpt_seq,
            transact_time: UtcNanos(rpt_seq),
            md_entry_px: Some(Price::from_units(i64::from(100 - position))),
            md_entry_size: rpt_seq,
            security_id,
            number_of_orders: 1,
            source_id: 1,
            channel_id: ChannelId(1),
            md_entry_position_no: position,
            tot_num_reports: levels,
            security_trading_status: TradingStatus::Trading,
            book_state: BookState::Current,
            md_entry_type: Side::Buy,
        };
        (1..=levels).map(|position| message(position).into()).collect()
    }

    /// One poll that brings these; the `RptSeq` of the book found by it.
    fn poll(watch: &mut Watch, messages: &[MarketData]) -> Option<u64> {
        let found = messages.iter().filter_map(|message| watch.on_message(message)).last();
        watch.on_poll(messages.len());
        found.map(|(book, last)| {
            assert_eq!(book.best(Side::Buy).map(|l| l.size), Some(last.last_msg_seq_num_processed));
            last.last_msg_seq_num_processed
        })
    }

    #[test]
    fn what_was_there_and_what_was_in_hand_is_never_shown() {
        for left_over in 0..5_usize {
            let mut watch = Watch::new(OURS);
            // Nothing was drained before a publisher is there.
            poll(&mut watch, &[]);
            poll(&mut watch, &[]);
            watch.on_event(StreamEvent::SourceUp(1));
            // Three old ones of three messages each, of which the last was in the publisher's hand when we looked.
            let old: Vec<_> = (1..=3).flat_map(|rpt_seq| snapshot(OURS, rpt_seq, 3)).collect();
            let (before, after) = old.split_at(old.len() - left_over.min(3));
            for part in before.chunks(2) {
                assert_eq!(poll(&mut watch, part), None);
                // One empty poll is no end: it may have been padding.
                assert_eq!(poll(&mut watch, &[]), None);
            }
            for _ in 0..EMPTY_POLLS {
                assert_eq!(poll(&mut watch, &[]), None);
            }
            assert_eq!(poll(&mut watch, after), None, "{left_over} left");
            if after.is_empty() {
                // Whatever comes first may have been in hand.
                assert_eq!(poll(&mut watch, &snapshot(InstrumentId(2), 4, 2)), None);
            }
            assert_eq!(poll(&mut watch, &snapshot(InstrumentId(2), 5, 2)), None, "another's");
            let new = snapshot(OURS, 6, 3);
            assert_eq!(poll(&mut watch, &new[..1]), None);
            assert_eq!(poll(&mut watch, &new[1..]), Some(6));
        }
    }

    #[test]
    fn another_publisher_is_drained_anew() {
        let mut watch = Watch::new(OURS);
        watch.on_event(StreamEvent::SourceUp(1));
        poll(&mut watch, &[]);
        poll(&mut watch, &[]);
        poll(&mut watch, &snapshot(OURS, 1, 1));
        assert_eq!(watch.stage, Stage::Reading);
        let begun = snapshot(OURS, 2, 2);
        assert_eq!(poll(&mut watch, &begun[..1]), None);
        watch.on_event(StreamEvent::SourceDown(1));
        watch.on_event(StreamEvent::SourceUp(2));
        assert_eq!(poll(&mut watch, &snapshot(OURS, 1, 1)), None, "its leftover");
        poll(&mut watch, &[]);
        poll(&mut watch, &[]);
        assert_eq!(poll(&mut watch, &snapshot(OURS, 7, 1)), None, "may have been in hand");
        assert_eq!(poll(&mut watch, &begun[1..]), None, "a part without its beginning");
        assert_eq!(poll(&mut watch, &snapshot(OURS, 8, 1)), Some(8));
    }
}
