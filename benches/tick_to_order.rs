//! From a tick to an order, in process and in one thread: ITCH bytes, decode, book, best bid and offer, all checks of risk, the
//! order in the router's ring.
//!
//! `cargo bench --bench tick_to_order`; `-- --quick` for a short form; `-- --hlog FILE` writes the histograms, for `postern
//! hist`; `cargo test --benches` runs some thousands. The input is a generated day over many securities, back to back, one
//! message at a time: the caches hold what they would after a burst. A message that moves a best price is a tick: an order
//! that joins the side it moved is sent at once. Timed are, from the message's first byte, its application to the book, and
//! the order's arrival in the ring; two looks at the clock, about 20 ns, are in each figure and not taken off. The venue's
//! answers, which keep the order table at work, are not timed. Once with risk's records in a journal, and once without.

#![allow(clippy::as_conversions, reason = "statistics of timings")]
#![allow(clippy::print_stdout, reason = "the report of a benchmark")]

#[path = "../tests/risk_support/mod.rs"]
mod risk_support;

use std::collections::VecDeque;
use std::fs::File;
use std::hint::black_box;
use std::io::BufWriter;
use std::time::Duration;

use hdrhistogram::Histogram;
use postern::codec::journal::{
    ApprovedCancel, ApprovedOrder, ApprovedReplace, CancelRejectReport, Decision, Journal,
    KillNotice, MassCancelReport, OrderReport, OrderRequest, ReferencePrice, VenueExecution,
};
use postern::feed::book::{Best, BookIndex, Books, BooksConfig, Effect};
use postern::feed::itch50;
use postern::feed::lookahead::Lookahead;
use postern::feed::moldudp64::{HEADER_BYTES, Messages, split_block};
use postern::gate::{ApprovedReceiver, ApprovedSender, DecisionLog, Room, approved_ring};
use postern::journal::{JournalAgent, JournalConfig, JournalWriter, open};
use postern::ring::{Backing, RingConfig};
use postern::risk::{Effects, Engine, PositionLimits, RiskConfig};
use postern::runtime::{Agent, Clock};
use postern::sim::day::{BUFFER_BYTES, Day, DayConfig};
use postern::telemetry::Registry;
use postern::telemetry::hlog::{Environment, LogWriter};
use postern::types::{
    AccountId, ChannelId, ClOrdId, ExecId, ExecType, FeedState, InstrumentId, LinkState, Nanos,
    OrdStatus, OrdType, OrderId, Price, SessionId, Side, TimeInForce, UtcNanos,
};

/// Nanoseconds between two orders as risk sees time: no throttle is met.
const PACE_NS: u64 = 10_000;
/// Orders open at once.
const OPEN: usize = 1_000;

/// How much is run.
struct Scale {
    messages: u64,
    symbols: u16,
}

/// Every security of the day, open to one account without a limit that would be met.
fn config(symbols: u16) -> RiskConfig {
    let mut config = risk_support::config();
    let mut instrument = config.instruments[0].clone();
    (instrument.lot, instrument.qty_min, instrument.tick) = (1, 1, Price::from_itch4(1));
    config.instruments = (1..=u32::from(symbols))
        .map(|id| {
            instrument.id = InstrumentId(id);
            instrument.clone()
        })
        .collect();
    config.accounts.truncate(1);
    let limits = PositionLimits { long_max: Some(i64::MAX), short_max: Some(i64::MAX) };
    let account = &mut config.accounts[0];
    account.instruments = config.instruments.iter().map(|i| (i.id, limits)).collect();
    account.limits.notional_max = Some(i128::MAX);
    config.sessions.truncate(1);
    config.sessions[0].open_orders_max = 4_096;
    config.open_orders_max = 4_096;
    config.feed_stale_ns = u64::MAX;
    config
}

/// Takes decisions: into a log, if there is one, and into the router's ring.
struct Sink<'a> {
    log: Option<&'a mut JournalWriter>,
    router: &'a mut ApprovedSender,
    now: Nanos,
    decided: Option<Decision>,
}

impl Effects for Sink<'_> {
    fn decided(&mut self, decision: Decision) {
        self.decided = Some(decision);
        if let Some(log) = &mut self.log {
            log.record(self.now, &decision);
        }
    }
    fn approve_order(&mut self, order: ApprovedOrder) {
        self.router.order(&order).expect("the ring is emptied after each");
    }
    fn approve_cancel(&mut self, cancel: ApprovedCancel) {
        black_box(cancel);
    }
    fn approve_replace(&mut self, replace: ApprovedReplace) {
        black_box(replace);
    }
    fn report(&mut self, report: OrderReport) {
        black_box(report);
    }
    fn cancel_reject(&mut self, report: CancelRejectReport) {
        black_box(report);
    }
    fn mass_cancel_report(&mut self, report: MassCancelReport) {
        black_box(report);
    }
    fn kill_notice(&mut self, notice: KillNotice) {
        black_box(notice);
    }
}

/// Books, risk and ring, and what they were told last.
struct Gateway {
    books: Books,
    ahead: Lookahead,
    best: Vec<Best>,
    engine: Engine,
    log: Option<(JournalWriter, JournalAgent)>,
    router: (ApprovedSender, ApprovedReceiver),
    orders: u64,
    open: VecDeque<OrderId>,
    denied: Vec<u16>,
}

impl Gateway {
    fn new(symbols: u16, log: Option<(JournalWriter, JournalAgent)>) -> Gateway {
        let books = BooksConfig {
            orders_max: 2 * usize::try_from(DayConfig::orders_of(symbols)).expect("it fits"),
            levels_max: 1_024,
            books_max: usize::from(symbols),
            follow_all_symbols: true,
        };
        let ring = RingConfig { name: "risk_router", slots: 128, backing: Backing::Heap };
        let mut gateway = Gateway {
            books: Books::new(books, &[]),
            ahead: Lookahead::default(),
            best: vec![Best::default(); usize::from(symbols)],
            engine: Engine::new(&config(symbols)).expect("valid"),
            log,
            router: approved_ring(&ring).expect("a ring"),
            orders: 0,
            open: VecDeque::with_capacity(OPEN + 1),
            denied: Vec::new(),
        };
        gateway.apply(&risk_support::session(1, LinkState::Up).into());
        gateway.apply(&risk_support::link(1, LinkState::Up).into());
        gateway.apply(&risk_support::status(FeedState::Current).into());
        gateway
    }

    #[inline]
    fn apply(&mut self, input: &Journal) -> Option<Decision> {
        let now = Nanos(self.orders * PACE_NS);
        let log = self.log.as_mut().map(|(writer, _)| writer);
        let mut sink = Sink { log, router: &mut self.router.0, now, decided: None };
        if let Some(log) = &mut sink.log {
            assert!(log.has_room(4, Room::Ordinary), "the journal keeps up");
            let mut bytes = [0; 120];
            let length = input.encode(&mut bytes);
            log.append(now, &bytes[..length]);
        }
        self.engine.apply(now, input, &mut sink);
        sink.decided
    }

    /// Takes a packet of one message; the book whose best price it moved, with what it is now.
    #[inline]
    fn tick(&mut self, packet: &[u8]) -> Option<(BookIndex, Best)> {
        let mut changed = None;
        let messages = Messages::new(packet, HEADER_BYTES);
        self.ahead.each(messages, &mut self.books, |books, bytes, event| match event {
            Some(event) => match books.apply_order(event) {
                Ok(Effect::Changed(book)) => changed = Some(book),
                Ok(Effect::Executed(execution)) => changed = Some(execution.book),
                Ok(Effect::None) | Err(_) => {}
            },
            None => {
                if let Ok(message) = itch50::decode(bytes) {
                    books.apply(&message).expect("a generated day fits its books");
                }
            }
        });
        let book = changed?;
        let best = self.books.best(book);
        let last = &mut self.best[book.index()];
        if best == *last {
            return None;
        }
        *last = best;
        Some((book, best))
    }

    /// Tells risk the prices, and sends an order that joins the better side.
    #[inline]
    fn order(&mut self, book: BookIndex, best: Best) -> Option<Decision> {
        let (Some((bid, _)), Some((ask, _))) = (best.bid, best.ask) else { return None };
        let security_id = InstrumentId(u32::from(book.0) + 1);
        let price = ReferencePrice {
            bid_px: Some(bid),
            offer_px: Some(ask),
            ingress_time: Nanos(0),
            security_id,
            channel_id: ChannelId(1),
        };
        self.apply(&price.into());
        self.orders += 1;
        let is_buy = self.orders.is_multiple_of(2);
        let request = OrderRequest {
            cl_ord_id: ClOrdId(self.orders),
            ingress_time: Nanos(0),
            price: Some(if is_buy { bid } else { ask }),
            session_id: SessionId(1),
            // Not one of many alike.
            order_qty: 100 + u32::try_from(self.orders % 61).expect("few"),
            security_id,
            account: AccountId(1),
            sent_delta: 0,
            side: if is_buy { Side::Buy } else { Side::Sell },
            ord_type: OrdType::Limit,
            time_in_force: TimeInForce::Day,
        };
        self.apply(&request.into())
    }

    /// The router takes the order, the venue accepts it and ends the oldest of a thousand.
    fn answer(&mut self, decision: &Decision) {
        if decision.deny_reason != 0 {
            self.denied.push(decision.deny_reason);
            return;
        }
        assert!(self.router.1.peek().is_some(), "an approved order is in the ring");
        self.router.1.release();
        let execution = |order_id, exec_type, ord_status, number| VenueExecution {
            order_id,
            exec_id: ExecId(number),
            ingress_time: Nanos(0),
            price: None,
            last_px: None,
            order_qty: 0,
            last_qty: 0,
            cum_qty: 0,
            leaves_qty: 0,
            sent_delta: 0,
            ord_rej_reason: 0,
            exec_type,
            ord_status,
        };
        let number = self.orders * 2;
        self.apply(&execution(decision.order_id, ExecType::New, OrdStatus::New, number).into());
        self.open.push_back(decision.order_id);
        if self.open.len() > OPEN {
            let oldest = self.open.pop_front().expect("a thousand");
            let gone = execution(oldest, ExecType::Canceled, OrdStatus::Canceled, number + 1);
            self.apply(&gone.into());
        }
        if let Some((_, agent)) = &mut self.log {
            agent.poll(Nanos(self.orders * PACE_NS)).expect("runs");
        }
    }
}

/// The stages that are timed, by the tags of the histogram log.
const STAGES: [&str; 4] = ["clock", "tick_to_book", "tick_to_order", "tick_to_order_recorded"];

type Stages = [Histogram<u64>; STAGES.len()];

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("three digits")
}

/// A header's room, and the day: length-framed messages.
fn day(scale: &Scale) -> Vec<u8> {
    let orders = DayConfig::orders_of(scale.symbols);
    let day = DayConfig { messages: scale.messages, symbols: scale.symbols, orders, seed: 7 };
    let mut day = Day::new(day).expect("a day");
    let mut bytes = vec![0; HEADER_BYTES];
    let mut message = [0; BUFFER_BYTES];
    while let Some(length) = day.next_message(&mut message) {
        bytes.extend_from_slice(&u16::try_from(length).expect("short").to_be_bytes());
        bytes.extend_from_slice(&message[..length]);
    }
    bytes
}

/// Plays the day into a gateway, one message after the other.
fn play(bytes: &[u8], mut gateway: Gateway, clock: Clock, stage: usize, stages: &mut Stages) {
    let mut rest = black_box(&bytes[HEADER_BYTES..]);
    while let Some((_, after)) = split_block(rest) {
        // As many bytes before it as in a packet of its own.
        let packet = &bytes[bytes.len() - rest.len() - HEADER_BYTES..bytes.len() - after.len()];
        rest = after;
        let begun = clock.now();
        let Some((book, best)) = gateway.tick(packet) else {
            stages[1].saturating_record(clock.now().since(begun));
            continue;
        };
        let Some(decision) = gateway.order(book, best) else { continue };
        let ended = clock.now();
        stages[stage].saturating_record(ended.since(begun));
        stages[0].saturating_record(clock.now().since(ended));
        gateway.answer(&decision);
    }
    assert_eq!(gateway.denied, [0; 0], "every order passes");
}

/// Once without and once with a journal.
fn run(scale: &Scale, clock: Clock, directory: &std::path::Path) -> Stages {
    let bytes = day(scale);
    let mut stages = STAGES.map(|_| histogram());
    play(&bytes, Gateway::new(scale.symbols, None), clock, 2, &mut stages);
    let config = JournalConfig::new(directory.to_path_buf(), [0; 32]);
    let log = open(&config, Nanos(0), UtcNanos(0), &Registry::new()).expect("a journal");
    play(&bytes, Gateway::new(scale.symbols, Some(log)), clock, 3, &mut stages);
    stages
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let given = |name: &str| arguments.iter().any(|argument| argument == name);
    let scale = match (given("--bench"), given("--quick")) {
        (false, _) => Scale { messages: 20_000, symbols: 50 },
        (true, true) => Scale { messages: 1_000_000, symbols: 8_000 },
        (true, false) => Scale { messages: 10_000_000, symbols: 8_000 },
    };
    let clock = Clock::start();
    let started = clock.utc(clock.now());
    let directory = tempfile::tempdir().expect("a directory");
    let stages = run(&scale, clock, directory.path());
    println!("{} messages, {} securities, {OPEN} orders open", scale.messages, scale.symbols);
    println!(
        "{:<24} {:>9} {:>6} {:>6} {:>6} {:>7} {:>8}",
        "ns", "count", "p50", "p90", "p99", "p99.9", "max"
    );
    for (name, stage) in STAGES.iter().zip(&stages) {
        let at = |q| stage.value_at_quantile(q);
        let (count, max) = (stage.len(), stage.max());
        let [p50, p90, p99, p999] = [0.5, 0.9, 0.99, 0.999].map(at);
        println!("{name:<24} {count:>9} {p50:>6} {p90:>6} {p99:>6} {p999:>7} {max:>8}");
    }
    let path = arguments.iter().position(|argument| argument == "--hlog");
    if let Some(path) = path.and_then(|place| arguments.get(place + 1)) {
        let file = BufWriter::new(File::create(path).expect("a file that can be made"));
        let mut log =
            LogWriter::begin(file, &Environment::here("one thread"), started).expect("written");
        for (name, stage) in STAGES.iter().zip(&stages) {
            log.write(name, stage, Duration::ZERO, Duration::from_secs(1)).expect("written");
        }
        log.finish().expect("written");
    }
}
