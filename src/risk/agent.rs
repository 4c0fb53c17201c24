//! The agent: rings in, engine, log, rings out, in that order for every single input.
//!
//! Before an input is read, there is room for all it may lead to: a slot in each ring out and its records in the log. Where there
//! is not, the input stays unread in its ring, whose producer then holds back in turn. The rings form no circle of waiting:
//! executions, on which the router's progress depends, need only `risk_entry`, whose reader never waits for risk.

use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, OnceLock};

use crate::codec::Message;
use crate::codec::journal::{
    ApprovedCancel, ApprovedOrder, ApprovedReplace, CancelRejectReport, Decision, Journal,
    KillNotice, MassCancelReport, OrderReport,
};
use crate::gate::{ApprovedSender, DecisionLog, Mark, Room};
use crate::ring::{Consumer, Producer};
use crate::risk::engine::{Counts, Effects, Engine, Position};
use crate::risk::feed_cache::FeedCache;
use crate::risk::limits::SWEEP_CANCELS_MAX;
use crate::risk::requests::{Change, change_denied_report, denied_report};
use crate::runtime::{Agent, Clock, Fatal, Phase};
use crate::telemetry::{Counter, Recorder, Registry};
use crate::types::{DenyReason, Nanos, RequestKind};

/// Executions taken in one duty cycle.
const EXECUTIONS_PER_CYCLE: usize = 64;
/// Prices and statuses taken in one duty cycle.
const PRICES_PER_CYCLE: usize = 256;
/// The longest the counters lag behind, in nanoseconds.
const SHOW_NS: u64 = 1_000_000;
/// Requests taken in one duty cycle.
const REQUESTS_PER_CYCLE: usize = 64;
/// Records of a new order or replace: price, status, request, decision.
const ORDER_RECORDS: usize = 4;
/// Records of any other input: itself, and a cancel's decision.
const INPUT_RECORDS: usize = 2;

/// Risk's ends of its rings.
#[derive(Debug)]
pub struct RiskRings {
    /// Commands of operators.
    pub control_risk: Consumer,
    /// Executions.
    pub router_risk: Consumer,
    /// Prices and the state of channels.
    pub feed_risk: Consumer,
    /// Requests of strategies.
    pub entry_risk: Consumer,
    /// Reports to strategies.
    pub risk_entry: Producer,
    /// The only way to the router.
    pub risk_router: ApprovedSender,
}

/// How risk stood when it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RiskSummary {
    /// What was counted.
    pub counts: Counts,
    /// What every account has.
    pub positions: Vec<Position>,
    /// Orders still open.
    pub open_order_count: usize,
    /// [`Engine::digest`].
    pub digest: u64,
}

/// The agent `risk`.
#[derive(Debug)]
pub struct RiskAgent<L> {
    engine: Engine,
    log: L,
    rings: RiskRings,
    feed: FeedCache,
    clock: Clock,
    metrics: Metrics,
    /// Kill switches that the router has still to be told of.
    notices: Vec<KillNotice>,
    drain_asked: bool,
    /// Whether anything happened since the counters were brought up to date.
    has_news: bool,
    /// When they are next, even if risk is never idle.
    next_show: Nanos,
    summary: Arc<OnceLock<RiskSummary>>,
}

impl<L: DecisionLog> RiskAgent<L> {
    /// An agent around an engine that is new or recovered. `log` records from here on. When the agent closes it leaves what
    /// the run came to in `summary`.
    ///
    /// # Panics
    /// If `risk_router` has fewer than [`SWEEP_CANCELS_MAX`] slots: no sweep would ever find room.
    pub fn new(
        engine: Engine,
        log: L,
        mut rings: RiskRings,
        clock: Clock,
        registry: &Registry,
        summary: Arc<OnceLock<RiskSummary>>,
    ) -> RiskAgent<L> {
        assert!(
            rings.risk_router.has_room(SWEEP_CANCELS_MAX),
            "risk_router holds the {SWEEP_CANCELS_MAX} cancels of one sweep"
        );
        let (instruments, channels) = engine.market_sizes();
        RiskAgent {
            engine,
            log,
            rings,
            feed: FeedCache::new(instruments, channels),
            clock,
            metrics: Metrics::new(registry),
            notices: Vec::new(),
            drain_asked: false,
            has_news: false,
            next_show: Nanos(0),
            summary,
        }
    }

    /// The engine, to look at.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    fn tell_notices(&mut self) -> usize {
        let mut count = 0;
        while let Some(notice) = self.notices.last() {
            if self.rings.risk_router.kill(notice).is_err() {
                break;
            }
            self.notices.pop();
            count += 1;
        }
        count
    }

    fn drain(&mut self, now: Nanos) -> usize {
        if !self.drain_asked || !self.log.has_room(1, Room::Reserved) {
            return 0;
        }
        self.drain_asked = false;
        self.log.mark(now, Mark::Drain);
        self.engine.drain();
        1
    }

    /// One command a cycle.
    fn command(&mut self, now: Nanos) -> usize {
        let RiskAgent { engine, log, rings, clock, metrics, .. } = self;
        let Some(bytes) = rings.control_risk.peek() else { return 0 };
        if !rings.risk_router.has_room(1) || !log.has_room(INPUT_RECORDS, Room::Reserved) {
            metrics.back_pressure.increment();
            return 0;
        }
        match Journal::decode(bytes) {
            Ok(input @ Journal::KillCommand(_)) => {
                log.append(now, bytes);
                let mut out = RingEffects::new(
                    now,
                    log,
                    &mut rings.risk_entry,
                    &mut rings.risk_router,
                    *clock,
                );
                engine.apply(now, &input, &mut out);
            }
            Ok(_) | Err(_) => metrics.input_invalid.increment(),
        }
        rings.control_risk.release();
        1
    }

    fn executions(&mut self, now: Nanos) -> usize {
        let RiskAgent { engine, log, rings, clock, metrics, .. } = self;
        let mut count = 0;
        while count < EXECUTIONS_PER_CYCLE {
            let Some(bytes) = rings.router_risk.peek() else { break };
            if !rings.risk_entry.has_room(1) || !log.has_room(INPUT_RECORDS, Room::Reserved) {
                metrics.back_pressure.increment();
                break;
            }
            match Journal::decode(bytes) {
                Ok(
                    input @ (Journal::VenueExecution(_)
                    | Journal::VenueCancelReject(_)
                    | Journal::VenueLink(_)
                    | Journal::RouterRefusal(_)),
                ) => {
                    log.append(now, bytes);
                    let mut out = RingEffects::new(
                        now,
                        log,
                        &mut rings.risk_entry,
                        &mut rings.risk_router,
                        *clock,
                    );
                    engine.apply(now, &input, &mut out);
                }
                Ok(_) | Err(_) => metrics.input_invalid.increment(),
            }
            rings.router_risk.release();
            count += 1;
        }
        count
    }

    fn prices(&mut self, now: Nanos) -> usize {
        let RiskAgent { engine, rings, feed, metrics, .. } = self;
        rings.feed_risk.drain(PRICES_PER_CYCLE, |bytes| match Journal::decode(bytes) {
            Ok(Journal::ReferencePrice(price)) => {
                match engine.instrument_place(price.security_id) {
                    Some(instrument) => {
                        // An order in what moved is as likely as any now.
                        engine.prefetch(price.security_id);
                        feed.keep_price(instrument, now, price);
                    }
                    None => metrics.input_invalid.increment(),
                }
            }
            Ok(Journal::FeedStatus(status)) => match engine.channel_place(status.channel_id) {
                Some(channel) => feed.keep_status(channel, now, status),
                None => metrics.input_invalid.increment(),
            },
            Ok(_) | Err(_) => metrics.input_invalid.increment(),
        })
    }

    /// A part of the cancels that are due.
    fn sweep(&mut self, now: Nanos) -> usize {
        let RiskAgent { engine, log, rings, clock, metrics, .. } = self;
        if engine.due_count() == 0 {
            return 0;
        }
        let has_room = rings.risk_router.has_room(SWEEP_CANCELS_MAX)
            && log.has_room(1 + SWEEP_CANCELS_MAX, Room::Reserved);
        if !has_room {
            metrics.back_pressure.increment();
            return 0;
        }
        log.mark(now, Mark::Tick);
        let mut out =
            RingEffects::new(now, log, &mut rings.risk_entry, &mut rings.risk_router, *clock);
        engine.tick(now, &mut out)
    }

    fn requests(&mut self, now: Nanos) -> usize {
        let mut count = 0;
        let mut read_at = None;
        while count < REQUESTS_PER_CYCLE {
            let RiskAgent { engine, log, rings, feed, clock, metrics, .. } = self;
            let Some(bytes) = rings.entry_risk.peek() else { break };
            let decoded = Journal::decode(bytes);
            if let Ok(Journal::OrderRequest(request)) = &decoded {
                // Its rows come while its room is looked for.
                engine.prefetch(request.security_id);
            }
            let is_new_risk =
                matches!(decoded, Ok(Journal::OrderRequest(_) | Journal::ReplaceRequest(_)));
            let has_record_room = if is_new_risk {
                log.has_room(ORDER_RECORDS, Room::Ordinary)
            } else {
                log.has_room(INPUT_RECORDS, Room::Reserved)
            };
            let has_room = rings.risk_entry.has_room(1)
                && rings.risk_router.has_room(1)
                && (has_record_room || is_new_risk);
            if !has_room {
                metrics.back_pressure.increment();
                break;
            }
            let at = *read_at.get_or_insert_with(|| clock.now());
            let mut out =
                RingEffects::new(now, log, &mut rings.risk_entry, &mut rings.risk_router, *clock);
            match decoded {
                Ok(input) if is_new_risk && !has_record_room => {
                    metrics.journal_full.increment();
                    engine.count_denied(DenyReason::JournalFull);
                    refuse_unrecorded(now, &input, &mut out);
                }
                Ok(input) if is_request(&input) => {
                    if is_new_risk && let Some((instrument, channel)) = engine.market_of(&input) {
                        bring_market(engine, feed, instrument, channel, &mut out);
                    }
                    out.log.append(now, bytes);
                    engine.apply(now, &input, &mut out);
                    let done_at = out.done_at();
                    metrics.request_done(&input, at, done_at);
                    read_at = Some(done_at);
                    engine.prepare();
                }
                Ok(_) | Err(_) => metrics.input_invalid.increment(),
            }
            rings.entry_risk.release();
            count += 1;
        }
        count
    }
}

impl<L: DecisionLog> Agent for RiskAgent<L> {
    fn name(&self) -> &'static str {
        "risk"
    }

    /// # Errors
    /// [`Fatal::JournalFailed`] where the log has no room for its first record.
    fn on_start(&mut self, now: Nanos) -> Result<(), Fatal> {
        if !self.log.has_room(1, Room::Ordinary) {
            return Err(Fatal::JournalFailed);
        }
        self.log.mark(now, Mark::RunStart);
        self.engine.restart(now);
        let notices = &mut self.notices;
        self.engine.kill_notices(|notice| notices.push(notice));
        Ok(())
    }

    fn poll(&mut self, now: Nanos) -> Result<usize, Fatal> {
        let mut work = 0;
        if !self.notices.is_empty() {
            work += self.tell_notices();
        }
        work += self.drain(now);
        work += self.command(now);
        work += self.executions(now);
        work += self.prices(now);
        work += self.sweep(now);
        work += self.requests(now);
        // The counters are brought up to date when there is nothing else to do, so that no order waits for it; a risk that is
        // never idle does it now and then all the same.
        self.has_news |= work > 0;
        if self.has_news && (work == 0 || now >= self.next_show) {
            self.has_news = false;
            self.next_show = now.plus(SHOW_NS);
            self.metrics.show(&self.engine);
        }
        Ok(work)
    }

    fn on_phase(&mut self, phase: Phase, _now: Nanos) {
        if phase == Phase::Draining {
            self.drain_asked = true;
        }
    }

    fn is_drained(&self) -> bool {
        !self.drain_asked && self.engine.due_count() == 0 && self.engine.is_drained()
    }

    fn on_close(&mut self, _now: Nanos) {
        self.metrics.show(&self.engine);
        let summary = RiskSummary {
            counts: self.engine.counts().clone(),
            positions: self.engine.positions().collect(),
            open_order_count: self.engine.open_order_count(),
            digest: self.engine.digest(),
        };
        assert!(self.summary.set(summary).is_ok(), "an agent is closed once");
    }
}

/// Whether entry may send it.
fn is_request(input: &Journal) -> bool {
    matches!(
        input,
        Journal::OrderRequest(_)
            | Journal::CancelRequest(_)
            | Journal::ReplaceRequest(_)
            | Journal::MassCancelRequest(_)
            | Journal::SessionLink(_)
    )
}

/// Applies what came of a market since it was last used, recorded with the time it came at.
fn bring_market<L: DecisionLog>(
    engine: &mut Engine,
    feed: &mut FeedCache,
    instrument: usize,
    channel: usize,
    out: &mut RingEffects<'_, L>,
) {
    if let Some((came_at, status)) = feed.take_status(channel) {
        out.log.record(came_at, &status);
        engine.apply(came_at, &status.into(), out);
    }
    if let Some((came_at, price)) = feed.take_price(instrument) {
        out.log.record(came_at, &price);
        engine.price(&price);
    }
}

/// Denies new risk for which the log has no room. Nothing of it reaches the engine, so nothing needs to be recorded.
fn refuse_unrecorded(now: Nanos, input: &Journal, out: &mut impl Effects) {
    if let Journal::OrderRequest(request) = input {
        out.report(denied_report(now, request, DenyReason::JournalFull));
    } else if let Journal::ReplaceRequest(request) = input {
        let change = Change {
            kind: RequestKind::Replace,
            cl_ord_id: request.cl_ord_id,
            orig_cl_ord_id: request.orig_cl_ord_id,
            session_id: request.session_id,
            ingress_time: request.ingress_time,
        };
        out.cancel_reject(change_denied_report(now, change, DenyReason::JournalFull));
    }
}

/// Effects into the log and the rings. There is room: it was asked for before the input was read.
struct RingEffects<'a, L> {
    now: Nanos,
    log: &'a mut L,
    risk_entry: &'a mut Producer,
    risk_router: &'a mut ApprovedSender,
    clock: Clock,
    stamped_at: Option<Nanos>,
}

const HAD_ROOM: &str = "room is asked for before an input is read";

impl<'a, L: DecisionLog> RingEffects<'a, L> {
    fn new(
        now: Nanos,
        log: &'a mut L,
        risk_entry: &'a mut Producer,
        risk_router: &'a mut ApprovedSender,
        clock: Clock,
    ) -> RingEffects<'a, L> {
        RingEffects { now, log, risk_entry, risk_router, clock, stamped_at: None }
    }

    /// Nanoseconds since `ingress`, by a fresh look at the clock. For measuring: no decision sees it.
    #[inline]
    fn delta(&mut self, ingress: Nanos) -> u32 {
        let at = self.clock.now();
        self.stamped_at = Some(at);
        at.delta32(ingress)
    }

    /// When the last message was sent, or now.
    #[inline]
    fn done_at(&mut self) -> Nanos {
        self.stamped_at.unwrap_or_else(|| self.clock.now())
    }

    #[inline]
    fn send_entry<M: Message>(&mut self, message: &M) {
        self.risk_entry.send(message).expect(HAD_ROOM);
    }
}

impl<L: DecisionLog> Effects for RingEffects<'_, L> {
    fn decided(&mut self, decision: Decision) {
        self.log.record(self.now, &decision);
    }

    fn approve_order(&mut self, mut order: ApprovedOrder) {
        order.sent_delta = self.delta(order.ingress_time);
        self.risk_router.order(&order).expect(HAD_ROOM);
    }

    fn approve_cancel(&mut self, mut cancel: ApprovedCancel) {
        cancel.sent_delta = self.delta(cancel.ingress_time);
        self.risk_router.cancel(&cancel).expect(HAD_ROOM);
    }

    fn approve_replace(&mut self, mut replace: ApprovedReplace) {
        replace.sent_delta = self.delta(replace.ingress_time);
        self.risk_router.replace(&replace).expect(HAD_ROOM);
    }

    fn report(&mut self, mut report: OrderReport) {
        report.sent_delta = self.delta(report.ingress_time);
        self.send_entry(&report);
    }

    fn cancel_reject(&mut self, mut report: CancelRejectReport) {
        report.sent_delta = self.delta(report.ingress_time);
        self.send_entry(&report);
    }

    fn mass_cancel_report(&mut self, mut report: MassCancelReport) {
        report.sent_delta = self.delta(report.ingress_time);
        self.send_entry(&report);
    }

    fn kill_notice(&mut self, notice: KillNotice) {
        self.risk_router.kill(&notice).expect(HAD_ROOM);
    }
}

/// The agent's numbers.
#[derive(Debug)]
struct Metrics {
    hop_entry_risk: Recorder,
    hop_risk: Recorder,
    back_pressure: Counter,
    journal_full: Counter,
    input_invalid: Counter,
    orders_approved: Counter,
    replaces_approved: Counter,
    cancels_approved: Counter,
    denied: Counter,
    executions: Counter,
    executions_unknown: Counter,
    executions_duplicate: Counter,
    executions_late: Counter,
    executions_gap: Counter,
    overfills: Counter,
    answers_unexpected: Counter,
    cancels_beyond_reserve: Counter,
    open_orders: Counter,
    kill_command_id: Counter,
    kill_refused_id: Counter,
}

impl Metrics {
    fn new(registry: &Registry) -> Metrics {
        Metrics {
            hop_entry_risk: registry.recorder("hop_entry_risk"),
            hop_risk: registry.recorder("hop_risk"),
            back_pressure: registry.counter("risk_back_pressure_count"),
            journal_full: registry.counter("risk_journal_full_count"),
            input_invalid: registry.counter("risk_input_invalid_count"),
            orders_approved: registry.counter("risk_order_approved_count"),
            replaces_approved: registry.counter("risk_replace_approved_count"),
            cancels_approved: registry.counter("risk_cancel_approved_count"),
            denied: registry.counter("risk_request_denied_count"),
            executions: registry.counter("risk_execution_count"),
            executions_unknown: registry.counter("risk_execution_unknown_count"),
            executions_duplicate: registry.counter("risk_execution_duplicate_count"),
            executions_late: registry.counter("risk_execution_late_count"),
            executions_gap: registry.counter("risk_execution_gap_count"),
            overfills: registry.counter("risk_overfill_count"),
            answers_unexpected: registry.counter("risk_answer_unexpected_count"),
            cancels_beyond_reserve: registry.counter("risk_cancel_beyond_reserve_count"),
            open_orders: registry.counter("risk_order_open_count"),
            kill_command_id: registry.counter("risk_kill_command_id"),
            kill_refused_id: registry.counter("risk_kill_refused_id"),
        }
    }

    #[inline]
    fn request_done(&self, input: &Journal, read_at: Nanos, done_at: Nanos) {
        let (ingress, delta) = if let Journal::OrderRequest(request) = input {
            (request.ingress_time, request.sent_delta)
        } else if let Journal::CancelRequest(request) = input {
            (request.ingress_time, request.sent_delta)
        } else if let Journal::ReplaceRequest(request) = input {
            (request.ingress_time, request.sent_delta)
        } else {
            return;
        };
        self.hop_entry_risk.record(read_at.since(ingress.plus(u64::from(delta))));
        self.hop_risk.record(done_at.since(read_at));
    }

    fn show(&self, engine: &Engine) {
        let counts = engine.counts();
        self.orders_approved.set(counts.orders_approved);
        self.replaces_approved.set(counts.replaces_approved);
        self.cancels_approved.set(counts.cancels_approved);
        self.denied.set(counts.denied_sum);
        self.executions.set(counts.executions);
        self.executions_unknown.set(counts.executions_unknown);
        self.executions_duplicate.set(counts.executions_duplicate);
        self.executions_late.set(counts.executions_late);
        self.executions_gap.set(counts.executions_gap);
        self.overfills.set(counts.overfills);
        self.answers_unexpected.set(counts.answers_unexpected);
        self.cancels_beyond_reserve.set(counts.cancels_beyond_reserve);
        self.open_orders.set(u64::try_from(engine.open_order_count()).unwrap_or(u64::MAX));
        self.kill_refused_id.set(engine.kill_refused_id());
        // Whoever sees a command taken is to see too whether it was refused.
        fence(Ordering::Release);
        self.kill_command_id.set(engine.kill_command_id());
    }
}
