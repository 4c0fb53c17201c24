//! The simulated exchange as an agent: order entry in, reports out, its own book published as ITCH 5.0 over MoldUDP64.
//!
//! A duty cycle first sees who went, then takes requests one at a time and answers each, then lets the background
//! participants act, and publishes last: a participant hears of its own trade before the market does. Publishing costs a
//! system call and recovering more of them: after an answer both wait a little for what follows it, as a strategy that
//! answers what it was told would otherwise wait behind them. A request is read
//! only while every report it can cause has room, so a report is never lost: whoever does not read its reports is not
//! heard either, until it falls silent for the session layer, is disconnected, and its orders are cancelled.

use std::sync::{Arc, OnceLock};

use crate::net::PacketSink;
use crate::runtime::{Agent, Fatal, Phase};
use crate::session::ServerConfig;
use crate::sim::background::Background;
use crate::sim::desk::{Desk, reports_needed};
use crate::sim::itch_out::{ItchMessage, SystemEvent};
use crate::sim::ledger::{BookSnapshot, VenueLedger};
use crate::sim::matching::{Exchange, ExchangeConfig, ExchangeConfigError, VenueInstrument};
use crate::sim::mold_out::{MoldConfig, MoldOut};
use crate::sim::order::OwnerId;
use crate::sim::recovery::RecoveryServers;
use crate::sim::seat::Seat;
use crate::sim::slab::at;
use crate::telemetry::{Counter, Registry};
use crate::transport::{Inbound, OfferError, Outbound, StreamEvent};
use crate::types::{Nanos, TradingStatus, UtcNanos};

/// How long market data waits after an answer to a request, in nanoseconds.
const HOLD_NS: u64 = 20_000;
/// How long it waits in all, however many answers follow each other, in nanoseconds.
const HOLD_NS_MAX: u64 = 100_000;

/// One instant on both clocks: from it the exchange knows the time of day by `now` alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UtcAnchor {
    /// The instant on the monotonic clock.
    pub now: Nanos,
    /// The instant in UTC.
    pub utc: UtcNanos,
}

impl UtcAnchor {
    /// The UTC time of `now`.
    #[inline]
    fn utc_of(&self, now: Nanos) -> UtcNanos {
        UtcNanos(self.utc.0.saturating_add(now.since(self.now)))
    }
}

/// What an exchange is made with. Everything it holds is allocated from it at once.
#[derive(Clone, Debug)]
pub struct VenueConfig {
    /// What is traded.
    pub instruments: Vec<VenueInstrument>,
    /// Whose orders are taken, background participants aside.
    pub sessions: Vec<ServerConfig>,
    /// Orders held at once, open and lately ended: 1 to 2^24.
    pub orders_max: usize,
    /// Orders open at once, of all participants and the background. Each seat keeps room for two reports a piece.
    pub open_orders_max: u32,
    /// Price levels on each side of each book.
    pub levels_max: usize,
    /// Participants' orders in a run; one more is rejected.
    pub ledger_orders_max: usize,
    /// Fills of participants in a run; more are counted and not recorded.
    pub ledger_fills_max: usize,
    /// How market data is sent.
    pub mold: MoldConfig,
    /// The time.
    pub anchor: UtcAnchor,
    /// Midnight at the exchange: its timestamps count from here.
    pub midnight: UtcNanos,
    /// Requests taken in a cycle at most.
    pub requests_per_cycle: usize,
    /// Background steps taken in a cycle at most.
    pub background_per_cycle: usize,
}

impl VenueConfig {
    /// An exchange for a laptop: 2^16 orders held, 2^15 of them open, 2^18 participants' orders and fills in a run.
    pub fn new(
        instruments: Vec<VenueInstrument>,
        sessions: Vec<ServerConfig>,
        anchor: UtcAnchor,
        midnight: UtcNanos,
    ) -> VenueConfig {
        VenueConfig {
            instruments,
            sessions,
            orders_max: 1 << 16,
            open_orders_max: 1 << 15,
            levels_max: 4_096,
            ledger_orders_max: 1 << 18,
            ledger_fills_max: 1 << 18,
            mold: MoldConfig::default(),
            anchor,
            midnight,
            requests_per_cycle: 32,
            background_per_cycle: 64,
        }
    }
}

/// Where the exchange is connected to.
#[derive(Debug)]
pub struct VenueLines<I, O, K> {
    /// Requests of all participants.
    pub requests: I,
    /// Reports to all participants.
    pub reports: O,
    /// Market data, line A.
    pub line_a: K,
    /// Market data, line B.
    pub line_b: Option<K>,
}

/// Where the ledger of a run is found once the exchange has closed.
pub type LedgerCell = Arc<OnceLock<VenueLedger>>;

#[derive(Debug)]
struct Telemetry {
    background_step_count: Counter,
    line_corrupt_count: Counter,
    line_delay_count: Counter,
    line_duplicate_count: Counter,
    line_error_count: Counter,
    line_lost_count: Counter,
    line_reorder_count: Counter,
    open_order_count: Counter,
    packet_count: Counter,
    packet_drop_count: Counter,
    pressure_count: Counter,
    rerequest_count: Counter,
    rerequest_refused_count: Counter,
    snapshot_count: Counter,
    snapshot_refused_count: Counter,
}

impl Telemetry {
    fn new(registry: &Registry) -> Telemetry {
        Telemetry {
            background_step_count: registry.counter("venue_background_step_count"),
            line_corrupt_count: registry.counter("venue_line_corrupt_count"),
            line_delay_count: registry.counter("venue_line_delay_count"),
            line_duplicate_count: registry.counter("venue_line_duplicate_count"),
            line_error_count: registry.counter("venue_line_error_count"),
            line_lost_count: registry.counter("venue_line_lost_count"),
            line_reorder_count: registry.counter("venue_line_reorder_count"),
            open_order_count: registry.counter("venue_open_order_count"),
            packet_count: registry.counter("venue_packet_count"),
            packet_drop_count: registry.counter("venue_packet_drop_count"),
            pressure_count: registry.counter("venue_pressure_count"),
            rerequest_count: registry.counter("venue_rerequest_count"),
            rerequest_refused_count: registry.counter("venue_rerequest_refused_count"),
            snapshot_count: registry.counter("venue_snapshot_count"),
            snapshot_refused_count: registry.counter("venue_snapshot_refused_count"),
        }
    }
}

/// The simulated exchange.
#[derive(Debug)]
pub struct VenueAgent<I, O, K> {
    config: VenueConfig,
    requests: I,
    exchange: Exchange,
    desk: Desk<O, K>,
    background: Background,
    background_is_over: bool,
    recovery: RecoveryServers,
    /// The last milestone of the day.
    event: SystemEvent,
    /// When a request was answered last, until market data has gone out after it.
    answered_at: Option<Nanos>,
    /// Since when market data waits.
    held_since: Option<Nanos>,
    ledger: LedgerCell,
    telemetry: Telemetry,
}

impl<I: Inbound, O: Outbound, K: PacketSink> VenueAgent<I, O, K> {
    /// An exchange that opens when it is started. `background` is given the exchange, its books still empty.
    ///
    /// # Errors
    /// An [`ExchangeConfigError`].
    ///
    /// # Panics
    /// If a session is configured twice, or the packet size is outside its range.
    pub fn new(
        config: VenueConfig,
        lines: VenueLines<I, O, K>,
        background: impl FnOnce(&Exchange) -> Background,
        registry: &Registry,
        ledger: LedgerCell,
    ) -> Result<VenueAgent<I, O, K>, ExchangeConfigError> {
        let owners_max =
            u32::try_from(config.sessions.len() + 1).map_err(|_| ExchangeConfigError::Bounds)?;
        let exchange = Exchange::new(&ExchangeConfig {
            instruments: config.instruments.clone(),
            orders_max: config.orders_max,
            open_orders_max: config.open_orders_max,
            levels_max: config.levels_max,
            owners_max,
        })?;
        for (index, session) in config.sessions.iter().enumerate() {
            let is_twice = config.sessions[..index].iter().any(|s| s.session == session.session);
            assert!(!is_twice, "session {} is configured twice", session.session);
        }
        let open_max = at(config.open_orders_max).min(config.orders_max);
        let waiting_max = reports_needed(open_max + 1);
        let seats = config.sessions.iter().map(|s| Seat::new(s.clone(), waiting_max)).collect();
        let now = config.anchor.now;
        let mold = MoldOut::new(config.mold, lines.line_a, lines.line_b, now);
        let book = VenueLedger::with_capacity(config.ledger_orders_max, config.ledger_fills_max);
        let instruments = config.instruments.clone();
        let desk = Desk::new(lines.reports, seats, instruments, mold, book, registry);
        Ok(VenueAgent {
            requests: lines.requests,
            background: background(&exchange),
            background_is_over: false,
            recovery: RecoveryServers::default(),
            event: SystemEvent::StartOfMessages,
            answered_at: None,
            held_since: None,
            exchange,
            desk,
            ledger,
            telemetry: Telemetry::new(registry),
            config,
        })
    }

    /// The exchange with these servers for who missed something. What is sent again is what
    /// [`MoldConfig::kept_messages_max`] keeps.
    #[must_use]
    pub fn with_recovery(mut self, servers: RecoveryServers) -> VenueAgent<I, O, K> {
        self.recovery = servers;
        self
    }

    /// The servers for who missed something.
    pub fn recovery(&self) -> &RecoveryServers {
        &self.recovery
    }

    /// The exchange itself: its books and orders.
    pub fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// The number of the next market data message.
    pub fn next_sequence(&self) -> u64 {
        self.desk.mold.next_sequence()
    }

    /// The background participants.
    pub fn background(&self) -> &Background {
        &self.background
    }

    /// The ledger so far; its books are there only once the exchange has closed.
    pub fn ledger(&self) -> &VenueLedger {
        &self.desk.ledger
    }

    /// The book of the instrument at `index` as it is now. Allocates.
    pub fn snapshot(&self, index: u16) -> Option<BookSnapshot> {
        BookSnapshot::of(&self.exchange, index, |owner: OwnerId| self.desk.session_of(owner))
    }

    #[inline]
    fn set_time(&mut self, now: Nanos) {
        let utc = self.config.anchor.utc_of(now);
        self.desk.set_time(now, utc, utc.0.saturating_sub(self.config.midnight.0));
    }

    /// Takes requests while there are any, room for what they cause, and the cycle's budget lasts.
    #[inline]
    fn take_requests(&mut self) -> Result<usize, Fatal> {
        let VenueAgent { requests, exchange, desk, .. } = self;
        for taken in 0..self.config.requests_per_cycle {
            if !desk.has_room(exchange) {
                self.telemetry.pressure_count.increment();
                return Ok(taken);
            }
            let count = requests
                .poll(1, &mut |fragment| desk.on_fragment(fragment, exchange))
                .map_err(|_| Fatal::TransportDown)?;
            if count == 0 {
                return Ok(taken);
            }
            // At once: the answer to this request does not wait for the next one.
            desk.send_reports().map_err(fatal)?;
        }
        Ok(self.config.requests_per_cycle)
    }

    #[inline]
    fn run_background(&mut self, now: Nanos) -> usize {
        if self.background_is_over {
            return 0;
        }
        let VenueAgent { background, exchange, desk, .. } = self;
        let mut count = 0;
        while count < self.config.background_per_cycle && desk.has_room(exchange) {
            match background.poll(now, 1, exchange, desk) {
                0 => break,
                taken => count += taken,
            }
        }
        if count > 0 {
            self.telemetry.background_step_count.add(u64::try_from(count).expect("a count"));
        }
        count
    }

    /// Whether market data is to wait for what follows an answer.
    #[inline]
    fn holds_market_data(&mut self, now: Nanos) -> bool {
        let is_waited = self.answered_at.is_some_and(|at| now.since(at) < HOLD_NS);
        let is_held = is_waited && now.since(*self.held_since.get_or_insert(now)) < HOLD_NS_MAX;
        if !is_held {
            (self.answered_at, self.held_since) = (None, None);
        }
        is_held
    }

    /// Lets whoever missed something have it.
    #[inline]
    fn serve_recovery(&mut self, now: Nanos) -> usize {
        let VenueAgent { recovery, desk, exchange, event, .. } = self;
        recovery.poll(now, &desk.mold, exchange, (*event, desk.stamp_ns()))
    }

    fn publish_event(&mut self, event: SystemEvent) {
        self.event = event;
        self.desk.publish(&ItchMessage::System(event));
    }

    fn note(&self) {
        let (telemetry, mold) = (&self.telemetry, &self.desk.mold);
        telemetry.open_order_count.set(u64::from(self.exchange.open_count()));
        telemetry.packet_count.set(mold.packet_count());
        telemetry.packet_drop_count.set(mold.drop_count());
        telemetry.line_error_count.set(mold.error_count());
        let lines = mold.impair_counts();
        telemetry.line_corrupt_count.set(lines.corrupted);
        telemetry.line_delay_count.set(lines.delayed);
        telemetry.line_duplicate_count.set(lines.duplicated);
        telemetry.line_lost_count.set(lines.lost);
        telemetry.line_reorder_count.set(lines.reordered);
        let (again, snapshots) = self.recovery.counts();
        telemetry.rerequest_count.set(again.answered);
        telemetry.rerequest_refused_count.set(again.refused());
        telemetry.snapshot_count.set(snapshots.snapshots);
        telemetry.snapshot_refused_count.set(snapshots.refused());
    }
}

/// Why a report stream that is of no use ends the agent.
#[cold]
fn fatal(error: OfferError) -> Fatal {
    match error {
        OfferError::MaxPositionExceeded => Fatal::MaxPosition,
        OfferError::Closed
        | OfferError::TooLong
        | OfferError::NotConnected
        | OfferError::BackPressured
        | OfferError::AdminAction => Fatal::TransportDown,
    }
}

impl<I: Inbound, O: Outbound, K: PacketSink> Agent for VenueAgent<I, O, K> {
    fn name(&self) -> &'static str {
        "venue"
    }

    /// Opens the day: start of messages, stock directory, trading actions, start of system and market hours.
    fn on_start(&mut self, now: Nanos) -> Result<(), Fatal> {
        self.set_time(now);
        self.publish_event(SystemEvent::StartOfMessages);
        for instrument in &self.config.instruments {
            self.desk.publish(&ItchMessage::directory(instrument));
        }
        for instrument in &self.config.instruments {
            let status = TradingStatus::Trading;
            self.exchange.set_status(instrument.security_id, status, &mut self.desk);
        }
        self.publish_event(SystemEvent::StartOfSystemHours);
        self.publish_event(SystemEvent::StartOfMarketHours);
        self.exchange.set_open(true);
        self.desk.mold.flush(now);
        Ok(())
    }

    fn poll(&mut self, now: Nanos) -> Result<usize, Fatal> {
        self.set_time(now);
        let mut work = 0;
        while let Some(event) = self.requests.next_event() {
            work += 1;
            match event {
                StreamEvent::SourceUp(_) => {}
                StreamEvent::SourceDown(source) => {
                    self.desk.on_source_down(source, &mut self.exchange);
                }
            }
        }
        self.desk.check_sessions(&mut self.exchange);
        work += self.desk.send_reports().map_err(fatal)?;
        let taken = self.take_requests()?;
        work += taken;
        if taken > 0 {
            self.answered_at = Some(now);
        }
        if self.holds_market_data(now) {
            return Ok(work);
        }
        let steps = self.run_background(now);
        work += steps;
        if steps > 0 {
            self.desk.send_reports().map_err(fatal)?;
        }
        let served = self.serve_recovery(now);
        if self.desk.mold.flush(now) || served > 0 {
            self.note();
            work += 1;
        }
        Ok(work)
    }

    /// The exchange outlives whoever drains: cancels are taken and answered to the end. The background stops, so that the
    /// books come to rest.
    fn on_phase(&mut self, phase: Phase, _now: Nanos) {
        self.background_is_over |= phase >= Phase::Draining;
    }

    fn is_drained(&self) -> bool {
        self.desk.is_flushed()
            && self.held_since.is_none()
            && self.desk.mold.is_told()
            && self.recovery.is_quiet()
    }

    /// Closes the day, ends the market data session, and hands over the ledger with the books as they stood.
    fn on_close(&mut self, now: Nanos) {
        self.set_time(now);
        self.exchange.set_open(false);
        for event in [
            SystemEvent::EndOfMarketHours,
            SystemEvent::EndOfSystemHours,
            SystemEvent::EndOfMessages,
        ] {
            self.publish_event(event);
        }
        self.desk.mold.end_session(now);
        self.recovery.end_session();
        self.note();
        let books = (0..u16::MAX).map_while(|index| self.snapshot(index)).collect();
        let mut ledger = std::mem::replace(&mut self.desk.ledger, VenueLedger::with_capacity(0, 0));
        ledger.books = books;
        ledger.message_count = self.desk.mold.next_sequence() - 1;
        ledger.packet_drop_count = self.desk.mold.drop_count();
        ledger.line_error_count = self.desk.mold.error_count();
        // Only a second close finds the cell full; it has nothing to add.
        let _ = self.ledger.set(ledger);
    }
}
