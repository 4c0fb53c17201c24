//! What a replay found, for people and for programs.

use std::collections::BTreeMap;
use std::io::{self, Write};

use comfy_table::Table;
use serde::Serialize;

use crate::cmd::replay::wire::WireReport;
use crate::feed::book::Misfit;

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
    /// Orders in the book; of IEX, which tells of none, its price levels.
    pub orders: u32,
    /// Whether it may differ from the exchange's.
    pub stale: bool,
    /// What made it stale: `orders_full`, `levels_full` or `symbols_full` for want of room; `unknown_order`,
    /// `duplicate_order`, `excess_shares`, `zero_shares` or `wrong_security` for a message that did not fit; `gap` or `bad_message`
    /// for one of its channel that was lost or malformed.
    pub stale_reason: Option<&'static str>,
}

/// The word for what made a book stale.
pub(super) const fn reason(misfit: Misfit) -> &'static str {
    match misfit {
        Misfit::UnknownOrder => "unknown_order",
        Misfit::DuplicateOrder => "duplicate_order",
        Misfit::TooManyShares => "excess_shares",
        Misfit::ZeroShares => "zero_shares",
        Misfit::WrongSecurity => "wrong_security",
        Misfit::OrdersFull => "orders_full",
        Misfit::BooksFull => SYMBOLS_FULL,
        Misfit::LevelFull => LEVELS_FULL,
    }
}

/// That of a security that has no book.
pub(super) const SYMBOLS_FULL: &str = "symbols_full";
/// That of a book with more levels than there is room for (IEX), or more shares at a price (ITCH).
pub(super) const LEVELS_FULL: &str = "levels_full";

/// That of all books of a channel that lost messages.
pub(super) const GAP: &str = "gap";
/// That of all books of a channel with a message that is malformed.
pub(super) const BAD_MESSAGE: &str = "bad_message";

/// What a replay found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReplayReport {
    /// Datagrams.
    pub packets: u64,
    /// Messages.
    pub messages: u64,
    /// Well-formed messages by letter.
    pub messages_by_type: BTreeMap<char, u64>,
    /// Gaps in the sequence; packets out of order are none.
    pub gaps: u64,
    /// Datagrams left out, since they are of a session that another had followed.
    pub late_sessions: u64,
    /// Datagrams and messages refused, and messages that did not fit their book.
    pub errors: u64,
    /// Whether the file was read to its end; if not, all of the above counts what comes before the place it breaks at.
    pub complete: bool,
    /// Time from the first datagram handed out until the last one was applied.
    pub elapsed_ns: u64,
    /// Frames of a capture that hold no datagram, by why, where there are any: `cut`, `fragments` of datagrams,
    /// contradictory `lengths`, and `flows` beyond as many destinations as are read; `not_ipv4`, `not_udp`, and other
    /// `links`.
    pub frames_skipped: BTreeMap<&'static str, u64>,
    /// Symbols that were asked for and that no message named.
    pub symbols_absent: Vec<String>,
    /// Books that may differ from the exchange's.
    pub stale_books: u64,
    /// Securities that have no book for want of room (`--symbols-max`); the first 256 of a channel are among the books. Of
    /// IEX it is not known how many they are: messages about them.
    pub symbols_without_book: u64,
    /// The books by symbol.
    pub books: BTreeMap<String, BookLine>,
    /// Digest of all orders in all books, 16 hexadecimal digits.
    pub digest: String,
}

pub(super) fn print_json(report: &impl Serialize) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    serde_json::to_writer(&mut stdout, report)?;
    writeln!(stdout)?;
    stdout.flush()
}

/// Most books that are worth a line each on a screen.
const BOOKS_PRINTED: usize = 40;

pub(super) fn print_text(report: &ReplayReport) -> io::Result<()> {
    let each = report.elapsed_ns.checked_div(report.messages).unwrap_or(0);
    let mut totals = Table::new();
    totals.set_header([
        "packets",
        "messages",
        "gaps",
        "errors",
        "stale books",
        "without book",
        "time",
        "a message",
    ]);
    totals.add_row([
        report.packets.to_string(),
        report.messages.to_string(),
        report.gaps.to_string(),
        report.errors.to_string(),
        report.stale_books.to_string(),
        report.symbols_without_book.to_string(),
        format!("{} us", report.elapsed_ns / 1_000),
        format!("{each} ns"),
    ]);
    let mut types = Table::new();
    types.set_header(report.messages_by_type.keys().map(char::to_string));
    types.add_row(report.messages_by_type.values().map(u64::to_string));
    let mut books = Table::new();
    books.set_header(["symbol", "bid qty", "bid", "ask", "ask qty", "orders", "stale"]);
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let number = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let standing = || report.books.iter().filter(|(_, book)| book.orders > 0 || book.stale);
    // What is wrong is not to be overlooked below all that is not.
    let stale_first = standing().filter(|(_, book)| book.stale);
    let stale_first = stale_first.chain(standing().filter(|(_, book)| !book.stale));
    for (symbol, book) in stale_first.take(BOOKS_PRINTED) {
        books.add_row([
            symbol.clone(),
            number(book.bid_qty),
            text(&book.bid_price),
            text(&book.ask_price),
            number(book.ask_qty),
            book.orders.to_string(),
            book.stale_reason.unwrap_or("-").to_owned(),
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

/// A table of what became of each line.
pub(super) fn print_wire(report: &WireReport) -> io::Result<()> {
    let mut totals = Table::new();
    totals.set_header(["packets", "bytes", "time", "latest after it was due"]);
    totals.add_row([
        report.packets.to_string(),
        report.bytes.to_string(),
        format!("{} us", report.elapsed_ns / 1_000),
        format!("{} us", report.late_ns_max / 1_000),
    ]);
    let mut lines = Table::new();
    lines.set_header([
        "to",
        "packets",
        "lost",
        "twice",
        "reordered",
        "stalls",
        "damaged",
        "sent",
        "refused",
    ]);
    for line in &report.lines {
        let counts = [
            line.packets,
            line.lost,
            line.duplicated,
            line.reordered,
            line.delayed,
            line.corrupted,
            line.sent,
            line.errors,
        ];
        let cells = std::iter::once(line.to.clone()).chain(counts.map(|count| count.to_string()));
        lines.add_row(cells);
    }
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{totals}\n{lines}")?;
    stdout.flush()
}
