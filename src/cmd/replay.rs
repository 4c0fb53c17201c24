//! `postern replay`: a captured feed through decoder and book, as fast as possible.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use comfy_table::Table;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::cmd::output::Output;
use crate::feed::arbiter::Join;
use crate::feed::book::{BookIndex, Books, BooksConfig, digest_of};
use crate::feed::channel::{Channel, ChannelCounts, ChannelSettings, NoSink};
use crate::feed::itch50::TYPES;
use crate::feed::moldudp64::{self, Session};
use crate::net::capture::Capture;
use crate::net::{CaptureSource, Datagram, DatagramHandler, Pace, PacketSource, Polled};
use crate::runtime::Clock;
use crate::types::{ChannelId, Nanos, Price};

/// Reads a captured feed through decoder and book, as fast as possible, and prints what is in it.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  postern replay day.pcap                   what is in a capture, and the best bid and offer it ends with
  postern replay day.pcap.gz --output json  the same for scripts
  postern replay 01302020.NASDAQ_ITCH50.gz  the exchange's own file of a day
  postern replay day.pcap --output json | jq -r .digest
                                            one number to compare two runs by

The file is pcap (either byte order, microseconds or nanoseconds; Ethernet, VLAN, IPv4, UDP; ITCH 5.0 over MoldUDP64)
or BinaryFILE (ITCH 5.0 messages behind their lengths), each also as gzip. Destinations that carry the same session are
taken as lines of one channel. The exit status is not 0 if a part of the file could not be read; `complete` is false in
the JSON if it breaks off.")]
pub struct ReplayArgs {
    /// The capture.
    pub file: PathBuf,
    /// How to print the result.
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
    /// The most orders that can be open at once on a channel: 64 to 128 bytes of memory each. Fewer are made room for
    /// where the capture cannot hold as many.
    #[arg(long, default_value_t = 4_000_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    pub orders_max: u32,
    /// The most symbols of a channel.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u16).range(1..=65_534))]
    pub symbols_max: u16,
}

/// Best bid and offer a book ended with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BookLine {
    /// Best bid as a decimal number.
    pub bid_price: Option<String>,
    /// Shares at the best bid.
    pub bid_qty: Option<u64>,
    /// Best offer as a decimal number.
    pub ask_price: Option<String>,
    /// Shares at the best offer.
    pub ask_qty: Option<u64>,
    /// Orders in the book.
    pub orders: u32,
}

/// What a replay found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReplayReport {
    /// Datagrams.
    pub packets: u64,
    /// Messages.
    pub messages: u64,
    /// Well-formed messages by ITCH letter.
    pub messages_by_type: BTreeMap<char, u64>,
    /// Gaps in the sequence.
    pub gaps: u64,
    /// Datagrams and messages refused, and messages that did not fit their book.
    pub errors: u64,
    /// Whether the file was read to its end; if not, all of the above counts what comes before the place it breaks at.
    pub complete: bool,
    /// Time from the first datagram handed out until the last one was applied.
    pub elapsed_ns: u64,
    /// The books by symbol.
    pub books: BTreeMap<String, BookLine>,
    /// Digest of all orders in all books, 16 hexadecimal digits.
    pub digest: String,
}

/// Datagrams handed out between two looks at the progress bar.
const BURST: u32 = 4_096;

/// Replays `args.file` and prints what it found to standard output; what is wrong goes to standard error.
pub fn run(args: &ReplayArgs) -> ExitCode {
    let capture = match crate::feed::capture::open(&args.file) {
        Ok(capture) => capture,
        Err(error) => return complain(&[error.to_string()]),
    };
    let mut complaints = Vec::new();
    if let Some(defect) = capture.defect() {
        complaints.push(format!("{defect}; what comes before it was replayed"));
    } else if capture.is_empty() {
        complaints.push(format!("{}: no UDP datagram in it", args.file.display()));
    }
    let (report, totals) = replay(capture, args);
    if totals.packet_errors + totals.message_errors > 0 {
        complaints.push(format!(
            "{}: {} datagrams are not MoldUDP64 and {} messages are not ITCH 5.0",
            args.file.display(),
            totals.packet_errors,
            totals.message_errors
        ));
    }
    let printed = match args.output {
        Output::Json => print_json(&report),
        Output::Text => print_text(&report),
    };
    if let Err(error) = printed {
        complaints.push(format!("standard output: {error}"));
    }
    if complaints.is_empty() { ExitCode::SUCCESS } else { complain(&complaints) }
}

fn complain(complaints: &[String]) -> ExitCode {
    let mut stderr = io::stderr().lock();
    for complaint in complaints {
        // Nothing is left to tell it to if this fails.
        let _ = writeln!(stderr, "postern replay: {complaint}");
    }
    ExitCode::FAILURE
}

/// Plays `capture` through decoder and book and says what that gave.
pub fn replay(capture: Capture, args: &ReplayArgs) -> (ReplayReport, ChannelCounts) {
    let clock = Clock::start();
    let (mut channels, routes) = channels(&capture, args);
    let bar = progress(&capture);
    let complete = capture.defect().is_none();
    let mut source = CaptureSource::new(capture, Pace::Unpaced);
    for (flow, channel) in routes {
        // Subscribing to a capture does not fail.
        let _ = source.subscribe(flow, channel, 0);
    }
    let start = clock.now();
    while let Ok(Polled::Got(count)) = source.poll(BURST, &mut channels) {
        bar.inc(u64::from(count));
    }
    let elapsed_ns = clock.now().since(start);
    bar.finish_and_clear();
    report(&channels.0, complete, elapsed_ns)
}

fn progress(capture: &Capture) -> ProgressBar {
    let length = u64::try_from(capture.len()).unwrap_or(u64::MAX);
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    if !io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let style = "{bar:40} {human_pos} of {human_len} datagrams, {per_sec}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    bar
}

struct Channels(Vec<Channel>);

impl DatagramHandler for Channels {
    #[inline]
    fn on_datagram(&mut self, datagram: Datagram<'_>) {
        let place = usize::try_from(datagram.channel.0).unwrap_or(usize::MAX);
        if let Some(channel) = self.0.get_mut(place) {
            // A replay has no silence: time stands still.
            channel.on_datagram(datagram.payload, Nanos(0), &mut NoSink);
        }
    }
}

type Routes = Vec<(std::net::SocketAddrV4, ChannelId)>;

/// A channel for each session there is, and which destination belongs to which.
fn channels(capture: &Capture, args: &ReplayArgs) -> (Channels, Routes) {
    let mut sessions: Vec<(Option<Session>, usize)> = Vec::new();
    let mut routes = Vec::new();
    for &flow in capture.flows() {
        let session = capture
            .first_to(flow)
            .and_then(|payload| moldudp64::parse(payload).ok())
            .map(|packet| packet.header().session);
        let bytes: usize =
            capture.iter().filter(|&(to, _, _)| to == flow).map(|(_, _, p)| p.len()).sum();
        let place = match sessions.iter().position(|&(known, _)| known == session) {
            Some(place) => place,
            None => {
                sessions.push((session, 0));
                sessions.len() - 1
            }
        };
        sessions[place].1 += bytes;
        routes.push((flow, ChannelId(u32::try_from(place).unwrap_or(u32::MAX))));
    }
    let channels = sessions.iter().map(|&(_, bytes)| Channel::new(&settings(args, bytes), &[]));
    (Channels(channels.collect()), routes)
}

/// Room for as many orders as `bytes` of payload can add: an add is 36 bytes behind two of length. (A replace is shorter,
/// but takes an order away.)
fn settings(args: &ReplayArgs, bytes: usize) -> ChannelSettings {
    let orders_max = usize::try_from(args.orders_max).unwrap_or(usize::MAX);
    ChannelSettings {
        join: Join::First,
        stale_after_ns: u64::MAX,
        books: BooksConfig {
            orders_max: (bytes / 38 + 1).min(orders_max),
            levels_max: 4_096,
            books_max: usize::from(args.symbols_max),
            follow_all_symbols: true,
        },
    }
}

fn report(channels: &[Channel], complete: bool, elapsed_ns: u64) -> (ReplayReport, ChannelCounts) {
    let mut totals = ChannelCounts::default();
    let mut gaps = 0;
    let mut books = BTreeMap::new();
    for channel in channels {
        let counts = channel.counts();
        totals.packets += counts.packets;
        totals.messages += counts.messages;
        totals.packet_errors += counts.packet_errors;
        totals.message_errors += counts.message_errors;
        totals.misfits += counts.misfits;
        for (total, count) in totals.by_type.iter_mut().zip(counts.by_type) {
            *total += count;
        }
        gaps += channel.arbiter().counts().gaps;
        for index in channel.books().indices() {
            let symbol = channel.books().symbol(index).to_string();
            // Two channels with the same symbol are two venues' books: the later ones get a number.
            let same = |n: &usize| match n {
                0 => symbol.clone(),
                n => format!("{symbol}/{}", n + 1),
            };
            let name = (0..).map(|n| same(&n)).find(|name| !books.contains_key(name));
            books.insert(name.unwrap_or_default(), line(channel.books(), index));
        }
    }
    let messages_by_type = TYPES
        .iter()
        .map(|&(letter, _)| (char::from(letter), totals.by_type[usize::from(letter)]))
        .filter(|&(_, count)| count > 0)
        .collect();
    let report = ReplayReport {
        packets: totals.packets,
        messages: totals.messages,
        messages_by_type,
        gaps,
        errors: totals.packet_errors + totals.message_errors + totals.misfits,
        complete,
        elapsed_ns,
        books,
        digest: format!("{:016x}", digest_of(channels.iter().map(Channel::books))),
    };
    (report, totals)
}

fn line(books: &Books, index: BookIndex) -> BookLine {
    let best = books.best(index);
    let price = |side: Option<(Price, u64)>| side.map(|(price, _)| price.to_string());
    let shares = |side: Option<(Price, u64)>| side.map(|(_, shares)| shares);
    BookLine {
        bid_price: price(best.bid),
        bid_qty: shares(best.bid),
        ask_price: price(best.ask),
        ask_qty: shares(best.ask),
        orders: books.order_count(index),
    }
}

fn print_json(report: &ReplayReport) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    serde_json::to_writer(&mut stdout, report)?;
    writeln!(stdout)?;
    stdout.flush()
}

/// Most books that are worth a line each on a screen.
const BOOKS_PRINTED: usize = 40;

fn print_text(report: &ReplayReport) -> io::Result<()> {
    let each = report.elapsed_ns.checked_div(report.messages).unwrap_or(0);
    let mut totals = Table::new();
    totals.set_header(["packets", "messages", "gaps", "errors", "time", "a message"]);
    totals.add_row([
        report.packets.to_string(),
        report.messages.to_string(),
        report.gaps.to_string(),
        report.errors.to_string(),
        format!("{} us", report.elapsed_ns / 1_000),
        format!("{each} ns"),
    ]);
    let mut types = Table::new();
    types.set_header(report.messages_by_type.keys().map(char::to_string));
    types.add_row(report.messages_by_type.values().map(u64::to_string));
    let mut books = Table::new();
    books.set_header(["symbol", "bid qty", "bid", "ask", "ask qty", "orders"]);
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let number = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let standing = || report.books.iter().filter(|(_, book)| book.orders > 0);
    for (symbol, book) in standing().take(BOOKS_PRINTED) {
        books.add_row([
            symbol.clone(),
            number(book.bid_qty),
            text(&book.bid_price),
            text(&book.ask_price),
            number(book.ask_qty),
            book.orders.to_string(),
        ]);
    }
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{totals}\n{types}\n{books}")?;
    let more = standing().count().saturating_sub(BOOKS_PRINTED);
    if more > 0 {
        writeln!(stdout, "and {more} more books; --output json has all of them")?;
    }
    writeln!(stdout, "digest {}", report.digest)?;
    stdout.flush()
}
