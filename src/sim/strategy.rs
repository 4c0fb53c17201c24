//! A strategy: prices orders off the market data it receives, sends them at a fixed rate, and keeps its own account of
//! every one of them, to be held against the gateway's and the venue's.
//!
//! The rate is an open loop: order `n` is due at `start + n × interval` whatever came of the ones before, and its round
//! trip counts from when it was due, so that a stall shows in every order it delayed (no coordinated omission).

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::codec::Message;
use crate::codec::market_data::{MarketData, TopOfBook};
use crate::codec::order_entry::{
    ExecutionReport, NewOrderSingle, OrderCancelReject, OrderCancelReplaceRequest,
    OrderCancelRequest, OrderEntry,
};
use crate::runtime::{Agent, Clock, Fatal, Phase};
use crate::session::{ClientAction, ClientConfig, ClientSession, ClientState, session_of};
use crate::sim::account::Account;
use crate::sim::prng::SplitMix;
use crate::sim::probe::Probe;
use crate::telemetry::{Recorder, Registry};
use crate::transport::{Fragment, Inbound, OfferError, Outbound, StreamEvent};
use crate::types::{
    AccountId, ClOrdId, InstrumentId, Nanos, OrdType, Price, SeqNum, Side, TerminationCode,
    TimeInForce, UtcNanos,
};

/// Messages read from each stream in one duty cycle.
const FRAGMENTS_PER_CYCLE: usize = 16;
/// Orders, and probes, sent in a row before the other kind has its turn.
const BLOCK: u64 = 64;
/// How often the session's clock is looked at, in nanoseconds.
const TIMER_NS: u64 = 1_000_000;
/// How long a refused binding waits before it is asked for again, in nanoseconds.
const ASK_AGAIN_NS: u64 = 100_000_000;
/// Bytes of the longest message sent.
const MESSAGE_BYTES_MAX: usize = 120;

/// An instrument the strategy trades.
#[derive(Clone, Copy, Debug)]
pub struct StrategyInstrument {
    /// Its number at the gateway.
    pub instrument: InstrumentId,
    /// Price step.
    pub tick: Price,
    /// Quantity step.
    pub lot: u32,
}

/// What to do.
#[derive(Clone, Debug)]
pub struct StrategyConfig {
    /// The session with the gateway.
    pub session: ClientConfig,
    /// The account to trade for.
    pub account: AccountId,
    /// What to trade.
    pub instruments: Vec<StrategyInstrument>,
    /// New orders to send.
    pub orders: u64,
    /// Nanoseconds from one order to the next.
    pub interval_ns: u64,
    /// Seed of the order flow.
    pub seed: u64,
    /// Most orders left resting; the oldest is cancelled above.
    pub resting_max: usize,
    /// Most quantity long or short before only the other side is sent.
    pub position_max: i64,
}

/// How far a strategy is; read by whoever shows progress.
#[derive(Debug, Default)]
pub struct StrategyProgress {
    /// New orders sent.
    pub sent: AtomicU64,
    /// 0: not connected, 1: trading, 2: every order is answered, 3: refused by the gateway.
    pub stage: AtomicU8,
}

/// The streams and handles of a strategy.
#[derive(Debug)]
pub struct StrategyParts<I, O> {
    /// Orders to the gateway.
    pub orders: O,
    /// Reports from the gateway.
    pub reports: I,
    /// Market data from the gateway.
    pub market: I,
    /// The bare relay beside the gateway, measured in turns with it.
    pub probe: Option<Probe<I, O>>,
    /// For stamps.
    pub clock: Clock,
    /// Round trips are recorded here.
    pub registry: Registry,
    /// How far it is.
    pub progress: Arc<StrategyProgress>,
    /// The account, once the strategy is closed.
    pub result: Arc<OnceLock<Account>>,
}

/// A strategy.
#[derive(Debug)]
pub struct StrategyAgent<I, O> {
    reports: I,
    market: I,
    probe: Option<Probe<I, O>>,
    desk: Desk<O>,
    result: Arc<OnceLock<Account>>,
    next_timer: Nanos,
}

#[derive(Debug)]
struct Desk<O> {
    config: StrategyConfig,
    session: ClientSession,
    orders: O,
    clock: Clock,
    account: Account,
    books: Vec<Option<(Price, Price)>>,
    random: SplitMix,
    /// When the first order is due; `None` until trading starts.
    start: Option<Nanos>,
    /// Slots of the schedule used so far, by orders and probes alike.
    turn: u64,
    sent: u64,
    progress: Arc<StrategyProgress>,
    round_trip: Recorder,
    round_trip_denied: Recorder,
    fatal: Option<Fatal>,
    stopping: bool,
    /// When a refused binding is asked for again.
    ask_again: Nanos,
}

impl<I: Inbound, O: Outbound> StrategyAgent<I, O> {
    /// A strategy of these parts.
    pub fn new(config: StrategyConfig, parts: StrategyParts<I, O>) -> StrategyAgent<I, O> {
        let desk = Desk {
            session: ClientSession::new(config.session.clone()),
            orders: parts.orders,
            clock: parts.clock,
            account: Account::new(config.orders),
            books: vec![None; config.instruments.len()],
            random: SplitMix::new(config.seed),
            start: None,
            turn: 0,
            sent: 0,
            progress: parts.progress,
            round_trip: parts.registry.recorder("round_trip"),
            round_trip_denied: parts.registry.recorder("round_trip_denied"),
            fatal: None,
            stopping: false,
            ask_again: Nanos(0),
            config,
        };
        StrategyAgent {
            reports: parts.reports,
            market: parts.market,
            probe: parts.probe,
            desk,
            result: parts.result,
            next_timer: Nanos(0),
        }
    }

    fn poll_streams(&mut self, now: Nanos) -> Result<usize, Fatal> {
        let desk = &mut self.desk;
        let utc = desk.clock.utc(now);
        let mut work = 0;
        while let Some(event) = self.reports.next_event() {
            work += 1;
            if let StreamEvent::SourceDown(_) = event {
                desk.session.on_disconnect();
            }
        }
        let down = |_| Fatal::TransportDown;
        work += self
            .reports
            .poll(FRAGMENTS_PER_CYCLE, &mut |fragment| desk.on_report(now, utc, fragment))
            .map_err(down)?;
        work += self
            .market
            .poll(FRAGMENTS_PER_CYCLE, &mut |fragment| desk.on_market_data(fragment))
            .map_err(down)?;
        while self.market.next_event().is_some() {
            work += 1;
        }
        Ok(work)
    }

    /// Sends what is due: orders and probes in blocks on one schedule, so that both meet the same conditions.
    fn send_due(&mut self, now: Nanos) -> usize {
        let Some(start) = self.desk.start else { return 0 };
        let is_over = self.desk.sent >= self.desk.config.orders || self.desk.stopping;
        if is_over || !self.desk.session.is_established() {
            return 0;
        }
        let due = start.plus(self.desk.turn * self.desk.config.interval_ns);
        if now < due {
            return 0;
        }
        let probing = (self.desk.turn / BLOCK) % 2 == 1;
        let taken = match &mut self.probe {
            Some(probe) if probing => probe.send(due),
            Some(_) | None => self.desk.send_order(now, due),
        };
        self.desk.turn += u64::from(taken);
        usize::from(taken)
    }
}

impl<I: Inbound, O: Outbound> Agent for StrategyAgent<I, O> {
    fn name(&self) -> &'static str {
        "strategy"
    }

    fn poll(&mut self, now: Nanos) -> Result<usize, Fatal> {
        let mut work = self.poll_streams(now)?;
        if let Some(probe) = &mut self.probe {
            work += probe.poll(&self.desk.clock).map_err(|_| Fatal::TransportDown)?;
        }
        work += self.send_due(now);
        work += self.desk.tend(now);
        if now >= self.next_timer {
            self.next_timer = now.plus(TIMER_NS);
            work += self.desk.on_timer(now);
        }
        self.desk.fatal.map_or(Ok(work), Err)
    }

    fn on_phase(&mut self, phase: Phase, _now: Nanos) {
        if phase >= Phase::Draining {
            self.desk.stopping = true;
        }
        if phase == Phase::Stopping && self.desk.session.is_established() {
            let goodbye = self.desk.session.terminate(TerminationCode::Finished);
            self.desk.control(&goodbye);
        }
    }

    /// The gateway cancels what is open when it goes down; its word may be late, as where a datagram was lost.
    fn is_drained(&self) -> bool {
        let is_told = self.desk.account.is_settled() && self.desk.account.resting() == 0;
        is_told || !self.desk.session.is_established()
    }

    fn on_close(&mut self, _now: Nanos) {
        let account = std::mem::replace(&mut self.desk.account, Account::new(0));
        // Set once: an agent is closed once.
        let _ = self.result.set(account);
    }
}

impl<O: Outbound> Desk<O> {
    fn on_report(&mut self, now: Nanos, utc: UtcNanos, fragment: Fragment<'_>) {
        let read = self.clock.now();
        let Ok(message) = OrderEntry::decode(fragment.bytes) else {
            self.account.anomaly_count += 1;
            return;
        };
        if session_of(&message) != self.session.id() {
            return;
        }
        let response = self.session.on_message(now, utc, &message);
        if let Some(reply) = response.reply {
            self.control(&reply);
        }
        match response.action {
            ClientAction::Apply => self.apply(read, &message),
            ClientAction::Up => self.account.begin(self.session.server_cl_ord_id()),
            ClientAction::NotApplied { count, .. } | ClientAction::Lost { count, .. } => {
                self.account.anomaly_count += u64::from(count);
            }
            ClientAction::NegotiationRefused(_) => {
                self.progress.stage.store(3, Ordering::Relaxed);
            }
            // After a break the gateway may still hold the old binding: it is asked again until it has let go.
            ClientAction::EstablishmentRefused(_) => self.ask_again = now.plus(ASK_AGAIN_NS),
            ClientAction::None | ClientAction::Ignore | ClientAction::Down(_) => {}
        }
    }

    fn apply(&mut self, read: Nanos, message: &OrderEntry) {
        #[allow(clippy::wildcard_enum_match_arm, reason = "other messages change no order")]
        match message {
            OrderEntry::ExecutionReport(report) => self.on_execution(read, report),
            OrderEntry::OrderCancelReject(OrderCancelReject { cl_ord_id, .. }) => {
                self.account.on_cancel_reject(*cl_ord_id);
            }
            _ => self.account.anomaly_count += 1,
        }
    }

    fn on_execution(&mut self, read: Nanos, report: &ExecutionReport) {
        if let Some(due) = self.account.on_execution(report) {
            let round_trip = read.since(due);
            if report.deny_reason == 0 {
                self.round_trip.record(round_trip);
            } else {
                self.round_trip_denied.record(round_trip);
            }
        }
    }

    fn on_market_data(&mut self, fragment: Fragment<'_>) {
        let Ok(MarketData::TopOfBook(top)) = MarketData::decode(fragment.bytes) else { return };
        let TopOfBook { security_id, bid_px, offer_px, .. } = top;
        let place = self.config.instruments.iter().position(|i| i.instrument == security_id);
        if let (Some(place), Some(bid), Some(offer)) = (place, bid_px, offer_px) {
            self.books[place] = Some((bid, offer));
        }
    }

    /// Whether the turn was taken: the order left, or cannot be priced at all.
    fn send_order(&mut self, now: Nanos, due: Nanos) -> bool {
        let random = self.random.clone();
        let Some(order) = self.next_order() else {
            self.random = random;
            return false;
        };
        let utc = self.clock.utc(now);
        let cl_ord_id = self.account.next_cl_ord_id();
        let sent = self.send(now, |msg_seq_num| NewOrderSingle {
            msg_seq_num,
            cl_ord_id,
            sending_time: utc,
            ..order
        });
        if sent.is_err() {
            // Not sent: the same order is tried again, and is late from when it was due.
            self.random = random;
            return false;
        }
        self.account.on_sent(&order, due);
        self.sent += 1;
        self.progress.sent.store(self.sent, Ordering::Relaxed);
        true
    }

    /// A mix of orders that meets every path: resting and crossing, cancelled and replaced later, and a few that a check
    /// must refuse.
    fn next_order(&mut self) -> Option<NewOrderSingle> {
        let count = u32::try_from(self.config.instruments.len()).ok()?;
        let place = usize::try_from(self.random.below(count)).ok()?;
        let instrument = *self.config.instruments.get(place)?;
        let (bid, offer) = (*self.books.get(place)?)?;
        let mut side = if self.random.below(2) == 0 { Side::Buy } else { Side::Sell };
        let position = self.account.position(instrument.instrument);
        if position.abs() > self.config.position_max {
            side = if position > 0 { Side::Sell } else { Side::Buy };
        }
        let (near, far) = match side {
            Side::Buy => (bid, offer),
            Side::Sell => (offer, bid),
        };
        let away = |price: Price, ticks: i64| {
            let ticks = if side == Side::Buy { -ticks } else { ticks };
            Price::from_units(price.units().saturating_add(instrument.tick.units() * ticks))
        };
        let dice = self.random.below(1_000);
        let depth = i64::from(self.random.below(6));
        let (ord_type, price, time_in_force) = match dice {
            0..650 => (OrdType::Limit, Some(away(near, depth)), TimeInForce::Day),
            650..850 => (OrdType::Limit, Some(far), TimeInForce::ImmediateOrCancel),
            850..960 => (OrdType::Limit, Some(far), TimeInForce::Day),
            960..970 => (OrdType::Market, None, TimeInForce::ImmediateOrCancel),
            970..985 => {
                // Half the price away: outside of any sensible collar.
                let half = Price::from_units(
                    near.units() / 2 / instrument.tick.units() * instrument.tick.units(),
                );
                let absurd =
                    if side == Side::Buy { near.units() + half.units() } else { half.units() };
                (OrdType::Limit, Some(Price::from_units(absurd)), TimeInForce::Day)
            }
            985..993 => {
                let off_tick = Price::from_units(near.units() + 1);
                (OrdType::Limit, Some(off_tick), TimeInForce::Day)
            }
            _ => (OrdType::Limit, Some(near), TimeInForce::Day),
        };
        let lots = if dice >= 993 { 1_000_000 } else { 1 + self.random.below(10) };
        Some(NewOrderSingle {
            session_id: self.session.id(),
            msg_seq_num: SeqNum(0),
            cl_ord_id: ClOrdId(0),
            sending_time: UtcNanos(0),
            price,
            order_qty: instrument.lot.saturating_mul(lots),
            security_id: instrument.instrument,
            account: self.config.account,
            side,
            ord_type,
            time_in_force,
        })
    }

    /// Replaces now and then, and cancels the oldest orders once too many rest.
    fn tend(&mut self, now: Nanos) -> usize {
        if !self.session.is_established() || self.stopping {
            return 0;
        }
        if let Some((place, orig_cl_ord_id)) = self.account.to_replace() {
            return self.replace(now, place, orig_cl_ord_id);
        }
        if self.account.resting() <= self.config.resting_max {
            return 0;
        }
        let Some((place, orig_cl_ord_id)) = self.account.oldest_resting() else { return 0 };
        let utc = self.clock.utc(now);
        let (session_id, cl_ord_id) = (self.session.id(), self.account.next_cl_ord_id());
        let sent = self.send(now, |msg_seq_num| OrderCancelRequest {
            session_id,
            msg_seq_num,
            cl_ord_id,
            sending_time: utc,
            orig_cl_ord_id,
        });
        if sent.is_ok() {
            self.account.on_cancel_sent(place);
        }
        usize::from(sent.is_ok())
    }

    fn replace(&mut self, now: Nanos, place: usize, orig_cl_ord_id: ClOrdId) -> usize {
        let Some((price, qty)) = self.account.terms(place) else { return 0 };
        let utc = self.clock.utc(now);
        let (session_id, cl_ord_id) = (self.session.id(), self.account.next_cl_ord_id());
        let sent = self.send(now, |msg_seq_num| OrderCancelReplaceRequest {
            session_id,
            msg_seq_num,
            cl_ord_id,
            sending_time: utc,
            orig_cl_ord_id,
            price,
            order_qty: qty + 1,
        });
        if sent.is_ok() {
            self.account.on_replace_sent(place);
        }
        usize::from(sent.is_ok())
    }

    fn on_timer(&mut self, now: Nanos) -> usize {
        let utc = self.clock.utc(now);
        let idle = match self.session.state() {
            ClientState::Idle => true,
            ClientState::Refused => {
                now >= self.ask_again && self.progress.stage.load(Ordering::Relaxed) != 3
            }
            ClientState::Negotiating | ClientState::Establishing | ClientState::Established => {
                false
            }
        };
        if idle && !self.stopping && self.orders.is_connected() {
            let first = self.session.resume(now, utc);
            self.control(&first);
            return 1;
        }
        let response = self.session.on_time(now, utc);
        if let Some(reply) = response.reply {
            self.control(&reply);
        }
        let priced = self.books.iter().all(Option::is_some);
        if self.start.is_none() && self.session.is_established() && priced {
            self.start = Some(now.plus(TIMER_NS));
            self.progress.stage.store(1, Ordering::Relaxed);
        }
        if self.sent >= self.config.orders && self.account.is_settled() {
            self.progress.stage.store(2, Ordering::Relaxed);
        }
        0
    }

    fn control(&mut self, message: &OrderEntry) {
        let mut bytes = [0; MESSAGE_BYTES_MAX];
        let length = message.encode(&mut bytes);
        let sent = self.orders.offer(length, |slot| slot.copy_from_slice(&bytes[..length]));
        if sent == Err(OfferError::Closed) {
            self.fatal = Some(Fatal::TransportDown);
        }
    }

    fn send<M: Message>(
        &mut self,
        now: Nanos,
        numbered: impl FnOnce(SeqNum) -> M,
    ) -> Result<(), OfferError> {
        let session = &mut self.session;
        self.orders.offer(M::BYTES, |slot| numbered(session.take_number(now)).encode(slot))
    }
}
