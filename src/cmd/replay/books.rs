//! A replay into a feed agent of this process: what its books come to, and how long each message took.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::BufWriter;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::cmd::replay::cut::{Before, Rounds, Window};
use crate::cmd::replay::file::AnyRecording;
use crate::cmd::replay::report::{BookLine, ReplayReport};
use crate::cmd::replay::stopwatch::{Measured, Stopwatch};
use crate::cmd::replay::{Progress, ReplayArgs, wait_until};
use crate::feed::arbiter::Join;
use crate::feed::book::{BookIndex, Books, BooksConfig, digest_of};
use crate::feed::channel::{Channel, ChannelCounts, ChannelSettings};
use crate::feed::itch50::TYPES;
use crate::feed::moldudp64::{self, Session};
use crate::feed::{ChannelConfig, FeedAgent, FeedConfig, InstrumentConfig};
use crate::net::capture::Capture;
use crate::net::{PacketSource, Player, Recording};
use crate::ring::{Backing, RingConfig, ring};
use crate::runtime::{Agent, Clock};
use crate::telemetry::Registry;
use crate::transport::memory::{MemoryPublication, stream};
use crate::types::{ChannelId, InstrumentId, Price, Symbol, UtcNanos};

/// Datagrams handed out between two looks at the clock, the progress bar and the signals.
const BURST: u32 = 4_096;

type Source = Measured<Player<Rounds<Window<AnyRecording>>>>;

/// What a replay came to.
#[derive(Debug)]
pub struct Outcome {
    /// What is printed.
    pub report: ReplayReport,
    /// What all channels took in.
    pub totals: ChannelCounts,
    /// What went wrong on the way.
    pub complaints: Vec<String>,
}

/// Plays `recording` through a feed agent until its end or until `is_stopped`, and writes latencies to `hlog`.
pub fn replay(
    recording: AnyRecording,
    args: &ReplayArgs,
    is_stopped: &AtomicBool,
    hlog: Option<File>,
) -> Outcome {
    let clock = Clock::start();
    let mut complaints = Vec::new();
    let plan = Plan::of(&recording, args);
    let config = plan.config(args);
    let window = Window::new(recording, args.from, args.until, Before::AtOnce);
    let mut player = Player::new(Rounds::new(window), args.speed.0, args.rounds);
    for &(flow, channel, line) in &plan.routes {
        // Subscribing to a recording does not fail.
        let _ = player.subscribe(flow, channel, line);
    }
    let stopwatch = hlog.is_some().then(|| Stopwatch::new(clock, config.channels.len()));
    let source = Measured::new(player, stopwatch);
    let (feed_risk, _risk) =
        ring(&RingConfig { name: "feed_risk", slots: 64, backing: Backing::Heap })
            .expect("a small ring on the heap");
    let (out, _strategies) = stream(64, 128);
    let registry = Registry::new();
    let cell = Arc::new(OnceLock::new());
    let mut agent = FeedAgent::new(&config, source, out, feed_risk, &registry, clock, cell);

    let progress = Progress::begin();
    let started = clock.now();
    let mut now = started;
    while !is_stopped.load(Ordering::Relaxed) {
        let work = agent.poll(now);
        if work.is_err() || agent.is_over() {
            break;
        }
        let played = agent.source().source();
        progress.set(played.recording().progress());
        if work == Ok(0)
            && let Some(due) = played.next_due()
        {
            wait_until(due, clock);
        }
        now = clock.now();
    }
    let elapsed_ns = clock.now().since(started);
    progress.end();
    if let (Some(file), Some(stopwatch)) = (hlog, agent.source().stopwatch())
        && let Err(error) = stopwatch.write(BufWriter::new(file), started, elapsed_ns)
    {
        let name = args.hlog.as_deref().unwrap_or(&args.file).display();
        complaints.push(format!("{name}: cannot be written: {error}"));
    }
    let played = agent.source().source();
    let recording = played.recording().inner().inner();
    if let Some(defect) = recording.defect() {
        complaints.push(format!("{defect}; what comes before it was replayed"));
    } else if played.handed_count() == 0 && !is_stopped.load(Ordering::Relaxed) {
        complaints.push(format!("{}: no UDP datagram to replay in it", args.file.display()));
    }
    let complete = recording.defect().is_none() && agent.is_over();
    let (report, totals) = report(&agent, complete, elapsed_ns);
    Outcome { report, totals, complaints }
}

/// Which destination is which line of which channel.
struct Plan {
    routes: Vec<(std::net::SocketAddrV4, ChannelId, u8)>,
    /// The most bytes of payload by channel.
    bytes: Vec<u64>,
}

impl Plan {
    fn of(recording: &AnyRecording, args: &ReplayArgs) -> Plan {
        match recording {
            AnyRecording::Capture(recording) => Plan::of_capture(recording.capture()),
            AnyRecording::File(file) => Plan {
                routes: file_route(recording),
                bytes: vec![file.bytes_max().min(38 * u64::from(args.orders_max))],
            },
        }
    }

    /// A channel for each session there is.
    fn of_capture(capture: &Capture) -> Plan {
        let mut sessions: Vec<(Option<Session>, u64, u8)> = Vec::new();
        let mut routes = Vec::new();
        for &flow in capture.flows() {
            let session = capture
                .first_to(flow)
                .and_then(|payload| moldudp64::parse(payload).ok())
                .map(|packet| packet.header().session);
            let bytes: usize =
                capture.iter().filter(|&(to, _, _)| to == flow).map(|(_, _, p)| p.len()).sum();
            let place = match sessions.iter().position(|&(known, _, _)| known == session) {
                Some(place) => place,
                None => {
                    sessions.push((session, 0, 0));
                    sessions.len() - 1
                }
            };
            let (_, all_bytes, lines) = &mut sessions[place];
            *all_bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
            let channel = ChannelId(u32::try_from(place).unwrap_or(u32::MAX));
            routes.push((flow, channel, *lines));
            *lines = lines.saturating_add(1);
        }
        Plan { routes, bytes: sessions.iter().map(|&(_, bytes, _)| bytes).collect() }
    }

    fn config(&self, args: &ReplayArgs) -> FeedConfig {
        let ids = || (0..self.bytes.len()).filter_map(|place| u32::try_from(place).ok());
        let channels = ids().zip(&self.bytes).map(|(id, &bytes)| ChannelConfig {
            id: ChannelId(id),
            settings: settings(args, bytes),
            midnight: UtcNanos(0),
        });
        let mut instruments = Vec::new();
        // A symbol that is named twice has one book.
        let symbols: BTreeSet<Symbol> = args.symbols.iter().copied().collect();
        for channel in ids().map(ChannelId) {
            for &symbol in &symbols {
                let id = u32::try_from(instruments.len()).unwrap_or(u32::MAX);
                let (tick, lot) = (Price::from_itch4(1), 1);
                instruments.push(InstrumentConfig {
                    id: InstrumentId(id),
                    symbol,
                    channel,
                    tick,
                    lot,
                });
            }
        }
        FeedConfig {
            channels: channels.collect(),
            instruments,
            poll_budget: BURST,
            status_interval_ns: u64::MAX,
        }
    }
}

fn file_route(recording: &AnyRecording) -> Vec<(std::net::SocketAddrV4, ChannelId, u8)> {
    recording.flows().iter().map(|&flow| (flow, ChannelId(0), 0)).collect()
}

/// Room for as many orders as `bytes` of payload can add: an add is 36 bytes behind two of length. (A replace is shorter,
/// but takes an order away.)
fn settings(args: &ReplayArgs, bytes: u64) -> ChannelSettings {
    let orders = usize::try_from(bytes / 38 + 1).unwrap_or(usize::MAX);
    let orders_max = usize::try_from(args.orders_max).unwrap_or(usize::MAX);
    ChannelSettings {
        join: Join::First,
        // What is replayed has no silence.
        stale_after_ns: u64::MAX,
        books: BooksConfig {
            orders_max: orders.min(orders_max),
            levels_max: 4_096,
            books_max: usize::from(args.symbols_max).max(args.symbols.len()),
            follow_all_symbols: args.symbols.is_empty(),
        },
    }
}

fn report(
    agent: &FeedAgent<Source, MemoryPublication>,
    complete: bool,
    elapsed_ns: u64,
) -> (ReplayReport, ChannelCounts) {
    let mut totals = ChannelCounts::default();
    let mut gaps = 0;
    let mut books = BTreeMap::new();
    for (_, channel) in agent.channels() {
        add_counts(&mut totals, channel.counts());
        gaps += channel.arbiter().counts().gaps;
        add_books(&mut books, channel);
    }
    // Those of the recording, however they were handed on.
    totals.packets = agent.source().source().handed_count();
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
        digest: format!("{:016x}", digest_of(agent.books().map(|(_, books)| books))),
    };
    (report, totals)
}

fn add_counts(totals: &mut ChannelCounts, counts: &ChannelCounts) {
    totals.messages += counts.messages;
    totals.packet_errors += counts.packet_errors;
    totals.message_errors += counts.message_errors;
    totals.misfits += counts.misfits;
    for (total, count) in totals.by_type.iter_mut().zip(counts.by_type) {
        *total += count;
    }
}

fn add_books(books: &mut BTreeMap<String, BookLine>, channel: &Channel) {
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
