//! A replay into a feed agent of this process: what its books come to, and how long each message took.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufWriter};
use std::net::SocketAddrV4;
use std::sync::atomic::{self, AtomicBool};
use std::sync::{Arc, OnceLock};

use crate::cmd::replay::cut::{Before, Rounds, Window};
use crate::cmd::replay::file::AnyRecording;
use crate::cmd::replay::frames;
use crate::cmd::replay::protocol::{Choice, Found};
use crate::cmd::replay::report::{
    BAD_MESSAGE, BookLine, GAP, LEVELS_FULL, ReplayReport, SYMBOLS_FULL, reason,
};
use crate::cmd::replay::seen::Seen;
use crate::cmd::replay::stopwatch::{Measured, Stopwatch};
use crate::cmd::replay::{Progress, ReplayArgs, wait_until};
use crate::cmd::whole_file::WholeFile;
use crate::feed::arbiter::{Arbiter, Join, Ordering};
use crate::feed::book::{Best, BooksConfig};
use crate::feed::channel::{ChannelCounts, ChannelSettings, QUEUED_MESSAGES_AT_ONCE};
use crate::feed::faults::MisfitCounts;
use crate::feed::iex::tp::StreamId;
use crate::feed::iex::{self, Feed, IexChannel, IexSettings};
use crate::feed::moldudp64::{self, Session};
use crate::feed::packet::Framing;
use crate::feed::recovery::RecoverySettings;
use crate::feed::{ChannelConfig, ChannelRecovery, FeedAgent, FeedConfig, InstrumentConfig};
use crate::net::capture::Capture;
use crate::net::{PacketSource, Player, Recording};
use crate::ring::{Backing, RingConfig, ring};
use crate::runtime::{Agent, Clock};
use crate::telemetry::Registry;
use crate::transport::memory::{MemoryPublication, stream};
use crate::types::{ChannelId, InstrumentId, Nanos, Price, Symbol, UtcNanos};

/// Datagrams handed out between two looks at the clock, the progress bar and the signals.
const BURST: u32 = 4_096;

type Source = Measured<Player<Rounds<Window<Seen<AnyRecording>>>>>;

/// What a replay came to.
#[derive(Debug)]
pub struct Outcome {
    /// What is printed.
    pub report: ReplayReport,
    /// What all channels took in.
    pub totals: ChannelCounts,
    /// What did not fit the books, by why.
    pub misfits: MisfitCounts,
    /// What never came.
    pub lost: Lost,
    /// What its datagrams and its messages are.
    pub protocol: (&'static str, &'static str),
    /// What is worth to be told and is no fault.
    pub remarks: Vec<String>,
    /// What went wrong on the way.
    pub complaints: Vec<String>,
}

/// Messages that the recording does not have, though it has later ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Gaps in the sequence that nothing filled.
    pub gaps: u64,
    /// Messages missing in them.
    pub messages: u64,
}

/// Plays what was chosen of `recording` through a feed agent until its end or until `is_stopped`, and writes latencies to `hlog`.
pub fn replay(
    recording: AnyRecording,
    choice: Choice,
    args: &ReplayArgs,
    is_stopped: &AtomicBool,
    hlog: Option<WholeFile>,
) -> Outcome {
    let clock = Clock::start();
    let mut complaints = Vec::new();
    let protocol = match choice {
        Choice::Itch(_) => ("MoldUDP64", "ITCH 5.0"),
        Choice::Iex(_) => ("IEX-TP of DEEP 1.0 or TOPS 1.6", "of DEEP 1.0 or TOPS 1.6"),
    };
    let plan = Plan::of(&recording, &choice, args);
    let config = plan.config(args);
    let seen = Seen::new(recording, &args.symbols);
    let window = Window::new(seen, args.from, args.until, Before::AtOnce);
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
    let agent = FeedAgent::new(&config, source, out, feed_risk, &registry, clock, cell);
    let mut agent = agent.with_recovery(config.channels.iter().map(|_| waiting()).collect());

    let progress = Progress::begin();
    let started = clock.now();
    let mut now = started;
    while !is_stopped.load(atomic::Ordering::Relaxed) {
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
    if agent.is_over() {
        // Nothing comes any more: what waits behind a hole is taken, and the hole is a gap. This only fails where a source
        // does, and one that is over does not.
        let _ = agent.poll(Nanos(u64::MAX));
    }
    let elapsed_ns = clock.now().since(started);
    progress.end();
    if let (Some(file), Some(stopwatch)) = (hlog, agent.source().stopwatch())
        && let Err(error) = write_log(stopwatch, file, started, elapsed_ns)
    {
        let name = args.hlog.as_deref().unwrap_or(&args.file).display();
        complaints.push(format!("{name}: cannot be written: {error}"));
    }
    let played = agent.source().source();
    let seen = played.recording().inner().inner();
    let recording = seen.inner();
    if let Some(defect) = recording.defect() {
        complaints.push(format!("{defect}; what comes before it was replayed"));
    } else if played.handed_count() == 0 && !is_stopped.load(atomic::Ordering::Relaxed) {
        complaints.push(format!("{}: no UDP datagram to replay in it", args.file.display()));
    }
    let complete = recording.defect().is_none() && agent.is_over();
    let mut remarks = Vec::new();
    frames::tell(recording.skipped(), args, &mut remarks, &mut complaints);
    seen.tell(args, agent.is_over(), &mut remarks, &mut complaints);
    let (report, totals) = report(&agent, complete, elapsed_ns);
    let (misfits, lost) = (misfits(&agent), lost(&agent));
    Outcome { report, totals, misfits, lost, protocol, remarks, complaints }
}

/// Writes what a stopwatch took: all of it, or the file stays what it was.
fn write_log(
    stopwatch: &Stopwatch,
    mut file: WholeFile,
    started: Nanos,
    elapsed_ns: u64,
) -> io::Result<()> {
    stopwatch.write(BufWriter::new(&mut file), started, elapsed_ns)?;
    file.finish()
}

/// What a channel is planned to be.
enum Planned {
    /// ITCH, with at most so many bytes of payload.
    Itch(u64),
    /// IEX.
    Iex(Feed, StreamId),
}

/// Which destination is which line of which channel.
struct Plan {
    routes: Vec<(SocketAddrV4, ChannelId, u8)>,
    channels: Vec<Planned>,
}

impl Plan {
    fn of(recording: &AnyRecording, choice: &Choice, args: &ReplayArgs) -> Plan {
        match (recording, choice) {
            (AnyRecording::Capture(recording), Choice::Itch(flows)) => {
                Plan::of_capture(recording.capture(), flows)
            }
            (AnyRecording::File(file), Choice::Itch(_)) => {
                let bytes = file.bytes_max().min(38 * u64::from(args.orders_max));
                Plan { routes: file_route(recording), channels: vec![Planned::Itch(bytes)] }
            }
            (_, Choice::Iex(flows)) => Plan::of_iex(flows),
        }
    }

    /// A channel for each session there is.
    fn of_capture(capture: &Capture, flows: &[SocketAddrV4]) -> Plan {
        let mut sessions: Vec<(Option<Session>, u64, u8)> = Vec::new();
        let mut routes = Vec::new();
        for &flow in flows {
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
            routes.push((flow, channel_id(place), *lines));
            *lines = lines.saturating_add(1);
        }
        let channels = sessions.iter().map(|&(_, bytes, _)| Planned::Itch(bytes));
        Plan { routes, channels: channels.collect() }
    }

    /// A channel for each stream of each feed. What is none of them goes to the first, which counts it as refused.
    fn of_iex(flows: &[(SocketAddrV4, Found)]) -> Plan {
        let mut streams: Vec<(Feed, StreamId)> = Vec::new();
        let mut routes = Vec::new();
        for &(flow, found) in flows {
            let place = match found {
                Found::Iex(feed, stream) => {
                    let known = streams.iter().position(|&known| known == (feed, stream));
                    known.unwrap_or_else(|| {
                        streams.push((feed, stream));
                        streams.len() - 1
                    })
                }
                Found::Itch(_) | Found::OtherIex(_) | Found::Nothing => 0,
            };
            routes.push((flow, channel_id(place), 0));
        }
        let channels = streams.iter().map(|&(feed, stream)| Planned::Iex(feed, stream));
        Plan { routes, channels: channels.collect() }
    }

    fn config(&self, args: &ReplayArgs) -> FeedConfig {
        let ids = || (0..self.channels.len()).map(channel_id);
        let channels = ids().zip(&self.channels).map(|(id, planned)| ChannelConfig {
            id,
            settings: match *planned {
                Planned::Itch(bytes) => settings(args, bytes).into(),
                Planned::Iex(feed, stream) => iex_settings(args, feed, stream).into(),
            },
            midnight: UtcNanos(0),
        });
        let mut instruments = Vec::new();
        // A symbol that is named twice has one book.
        let symbols: BTreeSet<Symbol> = args.symbols.iter().copied().collect();
        for channel in ids() {
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

fn channel_id(place: usize) -> ChannelId {
    ChannelId(u32::try_from(place).unwrap_or(u32::MAX))
}

fn file_route(recording: &AnyRecording) -> Vec<(SocketAddrV4, ChannelId, u8)> {
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

/// Messages that are kept until those before them come. As many as a channel applies at once, so that what is kept is never
/// left for a later turn, whose moment would depend on the machine.
const REORDER_MESSAGES: u32 = QUEUED_MESSAGES_AT_ONCE;
const _: () = assert!(REORDER_MESSAGES.is_power_of_two(), "there is room for no more");

/// A channel that waits for packets out of order by what comes behind them alone, never by the clock, so that the same recording
/// always gives the same books. Messages are counted and not packets: timed, each is handed on alone.
fn waiting() -> ChannelRecovery {
    ChannelRecovery {
        ordering: Ordering {
            // What was recorded of both lines comes as one, in the order in which it came.
            lines: 1,
            packets_max: u32::MAX,
            // Over only at the end of all time, which a recording comes to when it is over.
            wait_ns: u64::MAX / 2,
            line_wait_ns: 0,
            messages_max: usize::try_from(REORDER_MESSAGES).unwrap_or(usize::MAX),
            confirm_packets: 0,
        },
        settings: RecoverySettings::default(),
        link: None,
    }
}

/// Price levels of one side of a book of DEEP there is room for, 16 bytes each.
const IEX_LEVELS_MAX: usize = 1_024;

fn iex_settings(args: &ReplayArgs, feed: Feed, stream: StreamId) -> IexSettings {
    IexSettings {
        feed,
        stream,
        join: Join::First,
        stale_after_ns: u64::MAX,
        books: iex::BooksConfig {
            levels_max: match feed {
                Feed::Deep => IEX_LEVELS_MAX,
                Feed::Tops => 1,
            },
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
    let (mut gaps, mut late_sessions) = (0, 0);
    let mut books = BTreeMap::new();
    let mut symbols_without_book = 0;
    for (_, channel) in agent.channels() {
        add_counts(&mut totals, channel.counts());
        gaps += channel.arbiter().counts().gaps;
        late_sessions += channel.arbiter().counts().late_sessions;
        let broken = broken(channel.arbiter());
        let all = channel.books();
        for index in all.indices() {
            let line = line(all.best(index), all.order_count(index));
            let own = channel.faults().of(index).map(reason).filter(|_| all.is_stale(index));
            let stale = all.is_stale(index) || broken.is_some();
            let line = BookLine { stale, stale_reason: own.or(broken), ..line };
            add_book(&mut books, all.symbol(index), line);
        }
        for &symbol in channel.faults().without_book() {
            let line = line(Best::default(), 0);
            let line = BookLine { stale: true, stale_reason: Some(SYMBOLS_FULL), ..line };
            add_book(&mut books, symbol, line);
        }
        symbols_without_book += u64::from(channel.faults().without_book_count());
    }
    for (_, channel) in agent.iex_channels() {
        add_iex_counts(&mut totals, channel);
        gaps += channel.arbiter().counts().gaps;
        late_sessions += channel.arbiter().counts().late_sessions;
        let broken = broken(channel.arbiter());
        let all = channel.books();
        for index in all.indices() {
            let levels = u32::try_from(all.level_count(index)).unwrap_or(u32::MAX);
            let own = all.is_stale(index).then_some(LEVELS_FULL);
            let stale_reason = own.or(broken);
            let line = BookLine {
                stale: stale_reason.is_some(),
                stale_reason,
                ..line(all.best(index), levels)
            };
            add_book(&mut books, all.symbol(index), line);
        }
        symbols_without_book += all.counts().books_full;
    }
    // Those of the recording, however they were handed on.
    totals.packets = agent.source().source().handed_count();
    let by_letter = (0..=u8::MAX).map(char::from).zip(totals.by_type);
    let messages_by_type = by_letter.filter(|&(_, count)| count > 0).collect();
    let seen = agent.source().source().recording().inner().inner();
    let report = ReplayReport {
        packets: totals.packets,
        messages: totals.messages,
        messages_by_type,
        gaps,
        late_sessions,
        errors: totals.packet_errors + totals.message_errors + totals.misfits,
        complete,
        elapsed_ns,
        frames_skipped: frames::by_reason(seen.inner().skipped()),
        symbols_absent: seen.absent_names(),
        stale_books: books.values().map(|book| u64::from(is_stale(book))).sum(),
        symbols_without_book,
        books,
        digest: format!("{:016x}", agent.digest()),
    };
    (report, totals)
}

/// Why no book of a channel can be relied on, in the session it ended with.
fn broken<F: Framing>(arbiter: &Arbiter<F>) -> Option<&'static str> {
    let counts = arbiter.counts();
    let why = if counts.gaps > counts.recovered { GAP } else { BAD_MESSAGE };
    arbiter.is_broken().then_some(why)
}

/// What all channels lost for good.
fn lost(agent: &FeedAgent<Source, MemoryPublication>) -> Lost {
    let itch = agent.channels().map(|(_, channel)| channel.arbiter().counts());
    let iex = agent.iex_channels().map(|(_, channel)| channel.arbiter().counts());
    itch.chain(iex).fold(Lost::default(), |lost, counts| Lost {
        gaps: lost.gaps + counts.gaps.saturating_sub(counts.recovered),
        messages: lost.messages.saturating_add(counts.missing),
    })
}

/// Whether there is a book, and it may differ from the exchange's.
fn is_stale(book: &BookLine) -> bool {
    book.stale && book.stale_reason != Some(SYMBOLS_FULL)
}

/// What did not fit the books of all channels, by why.
fn misfits(agent: &FeedAgent<Source, MemoryPublication>) -> MisfitCounts {
    let mut all = MisfitCounts::default();
    for (_, channel) in agent.channels() {
        let counts = channel.faults().counts();
        all.unknown_orders += counts.unknown_orders;
        all.duplicate_orders += counts.duplicate_orders;
        all.excess_shares += counts.excess_shares;
        all.zero_shares += counts.zero_shares;
        all.wrong_securities += counts.wrong_securities;
        all.orders_full += counts.orders_full;
        all.books_full += counts.books_full;
        all.levels_full += counts.levels_full;
    }
    for (_, channel) in agent.iex_channels() {
        all.books_full += channel.books().counts().books_full;
        all.levels_full += channel.books().counts().overflows;
    }
    all
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

fn add_iex_counts(totals: &mut ChannelCounts, channel: &IexChannel) {
    let counts = channel.counts();
    let books = channel.books().counts();
    totals.messages += counts.messages;
    totals.packet_errors += counts.refused_packets();
    totals.message_errors += counts.message_errors;
    totals.misfits += books.overflows + books.books_full;
    for (total, count) in totals.by_type.iter_mut().zip(counts.by_type) {
        *total += count;
    }
}

/// Two channels with the same symbol are two venues' books: the later ones get a number.
fn add_book(books: &mut BTreeMap<String, BookLine>, symbol: Symbol, line: BookLine) {
    let same = |n: usize| match n {
        0 => symbol.to_string(),
        n => format!("{symbol}/{}", n + 1),
    };
    let name = (0..).map(same).find(|name| !books.contains_key(name));
    books.insert(name.unwrap_or_default(), line);
}

fn line(best: Best, orders: u32) -> BookLine {
    let price = |side: Option<(Price, u64)>| side.map(|(price, _)| price.to_string());
    let shares = |side: Option<(Price, u64)>| side.map(|(_, shares)| shares);
    BookLine {
        bid_price: price(best.bid),
        bid_qty: shares(best.bid),
        ask_price: price(best.ask),
        ask_qty: shares(best.ask),
        orders,
        stale: false,
        stale_reason: None,
    }
}
