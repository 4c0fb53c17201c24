//! The agent: `risk_router` to the venues, the venues' reports to `router_risk`.

use std::collections::VecDeque;

use crate::codec::journal::{
    ApprovedCancel, ApprovedOrder, ApprovedReplace, RouterRefusal, VenueCancelReject,
    VenueExecution, VenueLink,
};
use crate::codec::order_entry::{ExecutionReport, OrderCancelReject, OrderEntry};
use crate::gate::{Approved, ApprovedReceiver};
use crate::ring::Producer;
use crate::router::latch::{KillLatch, Scopes};
use crate::router::lifecycle::{Event, Life, Pending};
use crate::router::table::OrderTable;
use crate::router::venue::VenueLine;
use crate::runtime::{Agent, Clock, Fatal, Phase};
use crate::session::{ClientAction, ClientConfig, ClientResponse, ClientState, session_of};
use crate::telemetry::{Counter, LinkGauge, Recorder, Registry};
use crate::transport::{Fragment, Inbound, OfferError, Outbound, StreamEvent};
use crate::types::{
    CancelRejectTo, DenyReason, ExecType, InstrumentId, LinkState, Nanos, OrdStatus, OrderId, Qty,
    RequestKind, TerminationCode, UtcNanos, VenueId,
};

/// Approved requests sent in one duty cycle.
const REQUESTS_PER_CYCLE: usize = 16;
/// Venue messages read in one duty cycle. Each makes at most one message for risk.
const REPORTS_PER_CYCLE: usize = 16;
/// Cancels sent in one duty cycle while the gateway goes down.
const DRAIN_CANCELS_PER_CYCLE: usize = 16;
/// How long risk has for cancelling open orders when the gateway goes down; then, in case it is dead, the router cancels
/// what has no cancel on its way, in nanoseconds.
const DRAIN_GRACE_NS: u64 = 20_000_000;
/// How often the venue sessions' clocks are looked at, in nanoseconds.
const TIMER_NS: u64 = 1_000_000;
/// How long an approved order may wait for the venue's stream before its price is too old to be sent, in nanoseconds.
const HOLD_NS_MAX: u64 = 1_000_000;
/// Cancels that may wait for one venue's stream; only beyond does the request behind them wait too.
const OWED_CANCELS_MAX: usize = 1_024;
/// How long a venue session that was refused waits before it tries again, in nanoseconds.
const REFUSED_RETRY_NS: u64 = 1_000_000_000;

/// One venue.
#[derive(Debug)]
pub struct VenueConfig<I, O> {
    /// Its number.
    pub venue: VenueId,
    /// The session with it.
    pub session: ClientConfig,
    /// Where orders go.
    pub orders: O,
    /// Where reports come from.
    pub reports: I,
    /// Whether the session is up, for whoever looks at the process's health.
    pub link: LinkGauge,
}

/// Everything the router is built from.
#[derive(Debug)]
pub struct RouterConfig<I, O> {
    /// The venues.
    pub venues: Vec<VenueConfig<I, O>>,
    /// Which venue each instrument trades at.
    pub routes: Vec<(InstrumentId, VenueId)>,
    /// Most orders open at once. Above, orders are refused.
    pub open_orders_max: usize,
    /// What risk approved. While a venue's stream has no room, requests wait here, for a short time.
    pub risk_router: ApprovedReceiver,
    /// What venues say, to risk. While it is full, venue reports stay unread in the transport.
    pub router_risk: Producer,
    /// For stamps.
    pub clock: Clock,
    /// Counters and histograms.
    pub telemetry: RouterTelemetry,
}

/// What the router counts and times.
#[derive(Debug)]
pub struct RouterTelemetry {
    order_count: Counter,
    report_count: Counter,
    refused_count: Counter,
    held_count: Counter,
    anomaly_count: Counter,
    unknown_order_count: Counter,
    late_answer_count: Counter,
    decode_error_count: Counter,
    venue_up_count: Counter,
    venue_down_count: Counter,
    drain_cancel_count: Counter,
    open_order_count: Counter,
    lost_report_count: Counter,
    hop_risk_router: Recorder,
    hop_router: Recorder,
    hop_venue: Recorder,
    gateway: Recorder,
}

impl RouterTelemetry {
    /// The rows of `registry` that begin with `router_`, and the hops that end here.
    pub fn new(registry: &Registry) -> RouterTelemetry {
        RouterTelemetry {
            order_count: registry.counter("router_order_count"),
            report_count: registry.counter("router_report_count"),
            refused_count: registry.counter("router_refused_count"),
            held_count: registry.counter("router_held_count"),
            anomaly_count: registry.counter("router_anomaly_count"),
            unknown_order_count: registry.counter("router_unknown_order_count"),
            late_answer_count: registry.counter("router_late_answer_count"),
            decode_error_count: registry.counter("router_decode_error_count"),
            venue_up_count: registry.counter("router_venue_up_count"),
            venue_down_count: registry.counter("router_venue_down_count"),
            drain_cancel_count: registry.counter("router_drain_cancel_count"),
            open_order_count: registry.counter("router_open_order_count"),
            lost_report_count: registry.counter("router_lost_report_count"),
            hop_risk_router: registry.recorder("hop_risk_router"),
            hop_router: registry.recorder("hop_router"),
            hop_venue: registry.recorder("hop_venue"),
            gateway: registry.recorder("gateway"),
        }
    }
}

/// An order as the router holds it.
#[derive(Clone, Copy, Debug)]
struct Entry {
    life: Life,
    venue: usize,
    scopes: Scopes,
    /// When the new order left; zero once its first answer was timed.
    sent: Nanos,
    /// Whether a cancel was sent because the gateway goes down.
    drained: bool,
}

/// The order routing agent.
#[derive(Debug)]
pub struct RouterAgent<I, O> {
    reports: Vec<I>,
    risk_router: ApprovedReceiver,
    floor: Floor<O>,
    next_timer: Nanos,
}

/// All of the router but the streams it reads, so that a handler can borrow it while one of them is polled.
#[derive(Debug)]
struct Floor<O> {
    lines: Vec<VenueLine<O>>,
    /// What risk has still to be told of each venue.
    link_pending: Vec<Option<LinkState>>,
    links: Vec<LinkGauge>,
    /// Cancels that wait for their venue's stream, so that other venues and the kill switch do not.
    owed: Vec<VecDeque<ApprovedCancel>>,
    refused_until: Vec<Nanos>,
    routes: Vec<(InstrumentId, usize)>,
    /// The first order of this run: those before it are not in the table.
    first_order: Option<OrderId>,
    table: OrderTable<Entry>,
    latch: KillLatch,
    router_risk: Producer,
    clock: Clock,
    telemetry: RouterTelemetry,
    /// Since when the gateway goes down.
    draining: Option<Nanos>,
    drain_place: usize,
    fatal: Option<Fatal>,
}

impl<I: Inbound, O: Outbound> RouterAgent<I, O> {
    /// An agent of these parts.
    ///
    /// # Panics
    /// If a route names a venue that is not configured.
    pub fn new(config: RouterConfig<I, O>) -> RouterAgent<I, O> {
        let mut lines = Vec::new();
        let mut reports = Vec::new();
        let mut links = Vec::new();
        for venue in config.venues {
            lines.push(VenueLine::new(venue.venue, venue.session, venue.orders));
            reports.push(venue.reports);
            links.push(venue.link);
        }
        let mut routes: Vec<(InstrumentId, usize)> = config
            .routes
            .into_iter()
            .map(|(instrument, venue)| {
                let line = lines.iter().position(|line| line.venue == venue);
                (instrument, line.expect("a route names a configured venue"))
            })
            .collect();
        routes.sort_unstable();
        let floor = Floor {
            link_pending: vec![None; lines.len()],
            links,
            owed: lines.iter().map(|_| VecDeque::with_capacity(OWED_CANCELS_MAX)).collect(),
            refused_until: vec![Nanos(0); lines.len()],
            lines,
            routes,
            first_order: None,
            table: OrderTable::new(config.open_orders_max),
            latch: KillLatch::new(),
            router_risk: config.router_risk,
            clock: config.clock,
            telemetry: config.telemetry,
            draining: None,
            drain_place: 0,
            fatal: None,
        };
        RouterAgent { reports, risk_router: config.risk_router, floor, next_timer: Nanos(0) }
    }

    fn poll_reports(&mut self, now: Nanos) -> Result<usize, Fatal> {
        let mut work = 0;
        for (line, reports) in self.reports.iter_mut().enumerate() {
            while let Some(event) = reports.next_event() {
                work += 1;
                if let StreamEvent::SourceDown(_) = event {
                    self.floor.on_disconnect(line);
                }
            }
            // A link change that waits goes first: a venue that is down and up again must be both for risk. Then each
            // message makes one for risk, itself or a link change.
            let waits = self.floor.link_pending.iter().any(Option::is_some);
            let free = self.floor.router_risk.free_slots();
            let room = if waits { 0 } else { free.min(REPORTS_PER_CYCLE) };
            if room == 0 {
                continue;
            }
            let floor = &mut self.floor;
            let utc = floor.clock.utc(now);
            work += reports
                .poll(room, &mut |fragment| floor.on_fragment(line, now, utc, fragment))
                .map_err(|_| Fatal::TransportDown)?;
        }
        Ok(work)
    }

    fn poll_requests(&mut self, now: Nanos) -> usize {
        let mut work = 0;
        while work < REQUESTS_PER_CYCLE {
            // A refusal goes back to risk, so it must have room before the request is read.
            if self.floor.router_risk.free_slots() == 0 {
                break;
            }
            let Some(approved) = self.risk_router.peek() else { break };
            let done = match approved {
                Approved::Order(order) => self.floor.on_order(now, &order),
                Approved::Cancel(cancel) => self.floor.on_cancel(now, &cancel),
                Approved::Replace(replace) => self.floor.on_replace(now, &replace),
                Approved::Kill(notice) => {
                    self.floor.latch.apply(&notice);
                    true
                }
            };
            if !done {
                self.floor.telemetry.held_count.increment();
                break;
            }
            self.risk_router.release();
            work += 1;
        }
        work
    }
}

impl<I: Inbound, O: Outbound> Agent for RouterAgent<I, O> {
    fn name(&self) -> &'static str {
        "router"
    }

    #[inline]
    fn poll(&mut self, now: Nanos) -> Result<usize, Fatal> {
        let mut work = self.floor.flush_links();
        // Orders first: the one that risk just approved must not wait for a look at the venues' streams.
        work += self.floor.pay_owed(now);
        work += self.poll_requests(now);
        work += self.poll_reports(now)?;
        if self.floor.draining.is_some_and(|since| now.since(since) >= DRAIN_GRACE_NS) {
            work += self.floor.drain(now);
        }
        if now >= self.next_timer {
            self.next_timer = now.plus(TIMER_NS);
            work += self.floor.on_timer(now);
        }
        self.floor.fatal.map_or(Ok(work), Err)
    }

    fn on_phase(&mut self, phase: Phase, now: Nanos) {
        match phase {
            Phase::Starting | Phase::Running => {}
            Phase::Draining => self.floor.draining = Some(now),
            Phase::Stopping => self.floor.terminate_all(),
        }
    }

    fn is_drained(&self) -> bool {
        let up = self.floor.lines.iter().any(|line| line.session.is_established());
        (self.floor.table.is_empty() && self.floor.owed.iter().all(VecDeque::is_empty)) || !up
    }
}

impl<O: Outbound> Floor<O> {
    /// `false`: the request must wait where it is.
    #[inline]
    fn on_order(&mut self, now: Nanos, order: &ApprovedOrder) -> bool {
        let read = self.clock.now();
        self.first_order.get_or_insert(order.order_id);
        let Some(line) = self.route(order.security_id) else {
            return self.refuse_order(order, DenyReason::VenueDown);
        };
        let scopes = Scopes {
            venue: self.lines[line].venue,
            account: order.account,
            session: order.session_id,
            instrument: order.security_id,
        };
        if let Some(reason) = self.may_leave(line, scopes) {
            return self.refuse_order(order, reason);
        }
        let Some(qty) = Qty::new(order.order_qty) else {
            return self.refuse_order(order, DenyReason::QtyMissing);
        };
        let entry =
            Entry { life: Life::sent(qty), venue: line, scopes, sent: Nanos(0), drained: false };
        if self.table.insert(order.order_id, entry).is_err() {
            return self.refuse_order(order, DenyReason::RouterFull);
        }
        let utc = self.clock.utc(now);
        if let Err(error) = self.lines[line].send_order(now, utc, order) {
            self.table.remove(order.order_id);
            return match self.unsent(error, now.since(order.ingress_time)) {
                Some(reason) => self.refuse_order(order, reason),
                None => false,
            };
        }
        let claimed = self.clock.now();
        if let Some(entry) = self.table.get_mut(order.order_id) {
            entry.sent = claimed;
        }
        let put = order.ingress_time.plus(u64::from(order.sent_delta));
        self.telemetry.hop_risk_router.record(read.since(put));
        self.telemetry.hop_router.record(claimed.since(read));
        self.telemetry.gateway.record(claimed.since(order.ingress_time));
        self.telemetry.order_count.increment();
        self.note_open();
        true
    }

    /// Cancels always pass while the venue can hear them. One that its venue's stream has no room for waits apart, so that
    /// other venues' orders and the kill switch do not wait behind it.
    #[inline]
    fn on_cancel(&mut self, now: Nanos, cancel: &ApprovedCancel) -> bool {
        let line = match self.line_of(cancel) {
            Some(line) if !self.owed[line].is_empty() => line,
            Some(_) | None => match self.try_cancel(now, cancel) {
                None => return true,
                Some(line) => line,
            },
        };
        if self.owed[line].len() >= OWED_CANCELS_MAX {
            return false;
        }
        self.owed[line].push_back(*cancel);
        true
    }

    /// Sends or refuses a cancel; gives its venue if the stream has no room now.
    #[inline]
    fn try_cancel(&mut self, now: Nanos, cancel: &ApprovedCancel) -> Option<usize> {
        let (id, ingress) = (cancel.order_id, cancel.ingress_time);
        let Some(line) = self.line_of(cancel) else {
            // It ended while the cancel was on its way: the report of its end is on the way to risk.
            self.refuse(id, ingress, RequestKind::Cancel, DenyReason::TooLateToCancel);
            return None;
        };
        if !self.lines[line].session.is_established() {
            self.refuse(id, ingress, RequestKind::Cancel, DenyReason::VenueDown);
            return None;
        }
        let utc = self.clock.utc(now);
        if let Err(error) = self.lines[line].send_cancel(now, utc, id) {
            let Some(reason) = self.unsent(error, 0) else { return Some(line) };
            self.refuse(id, ingress, RequestKind::Cancel, reason);
            return None;
        }
        if self.table.get_mut(id).is_some() {
            self.step(id, Event::CancelSent);
        }
        self.telemetry.order_count.increment();
        None
    }

    /// Sends cancels that waited, as far as their venues' streams have room and risk can be told of those that cannot go.
    fn pay_owed(&mut self, now: Nanos) -> usize {
        let mut work = 0;
        for line in 0..self.owed.len() {
            while let Some(&cancel) = self.owed[line].front() {
                if self.router_risk.free_slots() == 0 || self.try_cancel(now, &cancel).is_some() {
                    break;
                }
                self.owed[line].pop_front();
                work += 1;
            }
        }
        work
    }

    /// The venue of an order.
    #[inline]
    fn line_of(&mut self, cancel: &ApprovedCancel) -> Option<usize> {
        match self.table.get_mut(cancel.order_id) {
            Some(entry) => Some(entry.venue),
            None => self.earlier_line(cancel),
        }
    }

    /// Where an order of an earlier run of the process is, which risk remembers and the table here does not.
    #[cold]
    fn earlier_line(&self, cancel: &ApprovedCancel) -> Option<usize> {
        let is_earlier = self.first_order.is_none_or(|first| cancel.order_id < first);
        if is_earlier { self.route(cancel.security_id) } else { None }
    }

    #[inline]
    fn route(&self, instrument: InstrumentId) -> Option<usize> {
        let place = self.routes.binary_search_by_key(&instrument, |&(id, _)| id).ok()?;
        self.routes.get(place).map(|&(_, line)| line)
    }

    #[inline]
    fn on_replace(&mut self, now: Nanos, replace: &ApprovedReplace) -> bool {
        let (id, ingress) = (replace.order_id, replace.ingress_time);
        let Some(&mut Entry { venue, scopes, .. }) = self.table.get_mut(id) else {
            return self.refuse(id, ingress, RequestKind::Replace, DenyReason::TooLateToCancel);
        };
        if let Some(reason) = self.may_leave(venue, scopes) {
            return self.refuse(id, ingress, RequestKind::Replace, reason);
        }
        let utc = self.clock.utc(now);
        if let Err(error) = self.lines[venue].send_replace(now, utc, replace) {
            return match self.unsent(error, now.since(ingress)) {
                Some(reason) => self.refuse(id, ingress, RequestKind::Replace, reason),
                None => false,
            };
        }
        self.step(id, Event::ReplaceSent);
        self.telemetry.order_count.increment();
        true
    }

    /// The last look before bytes leave.
    #[inline]
    fn may_leave(&self, line: usize, scopes: Scopes) -> Option<DenyReason> {
        if let Some(reason) = self.latch.denies(scopes) {
            return Some(reason);
        }
        if self.draining.is_some() {
            return Some(DenyReason::ShuttingDown);
        }
        if !self.lines[line].session.is_established() {
            return Some(DenyReason::VenueDown);
        }
        None
    }

    /// What to do with a request that the stream did not take: refuse it with a reason, or (`None`) let it wait.
    #[cold]
    fn unsent(&mut self, error: OfferError, waited_ns: u64) -> Option<DenyReason> {
        match error {
            OfferError::BackPressured | OfferError::AdminAction => {
                (waited_ns > HOLD_NS_MAX).then_some(DenyReason::VenueBackPressured)
            }
            OfferError::NotConnected => Some(DenyReason::VenueDown),
            OfferError::TooLong => Some(DenyReason::NotRepresentable),
            OfferError::Closed => {
                self.fatal = Some(Fatal::TransportDown);
                Some(DenyReason::VenueDown)
            }
            OfferError::MaxPositionExceeded => {
                self.fatal = Some(Fatal::MaxPosition);
                Some(DenyReason::VenueDown)
            }
        }
    }

    #[cold]
    fn refuse_order(&mut self, order: &ApprovedOrder, reason: DenyReason) -> bool {
        self.refuse(order.order_id, order.ingress_time, RequestKind::New, reason)
    }

    #[cold]
    fn refuse(
        &mut self,
        order_id: OrderId,
        ingress_time: Nanos,
        decision_kind: RequestKind,
        reason: DenyReason,
    ) -> bool {
        let refusal = RouterRefusal {
            order_id,
            ingress_time,
            sent_delta: self.clock.now().delta32(ingress_time),
            deny_reason: reason.code(),
            decision_kind,
        };
        let sent = self.router_risk.send(&refusal);
        assert!(sent.is_ok(), "room in router_risk was made sure of before the request was read");
        self.telemetry.refused_count.increment();
        true
    }

    #[inline]
    fn on_fragment(&mut self, line: usize, now: Nanos, utc: UtcNanos, fragment: Fragment<'_>) {
        let read = self.clock.now();
        let Ok(message) = OrderEntry::decode(fragment.bytes) else {
            self.telemetry.decode_error_count.increment();
            return;
        };
        if session_of(&message) != self.lines[line].session.id() {
            return;
        }
        let response = self.lines[line].session.on_message(now, utc, &message);
        if response.action == ClientAction::Apply {
            self.apply(read, &message);
        } else {
            self.on_response(line, now, response);
        }
    }

    #[cold]
    fn on_response(&mut self, line: usize, now: Nanos, response: ClientResponse) {
        if let Some(reply) = response.reply {
            self.control(line, &reply);
        }
        match response.action {
            ClientAction::None | ClientAction::Apply | ClientAction::Ignore => {}
            ClientAction::Up => {
                self.telemetry.venue_up_count.increment();
                self.tell(line, LinkState::Up);
            }
            ClientAction::Down(_) => self.on_down(line),
            ClientAction::NotApplied { count, .. } => {
                // These never reached the venue's book; their exposure stays reserved until it says so.
                self.telemetry.anomaly_count.add(u64::from(count));
            }
            ClientAction::Lost { count, .. } => {
                self.telemetry.lost_report_count.add(u64::from(count));
            }
            ClientAction::NegotiationRefused(_) | ClientAction::EstablishmentRefused(_) => {
                self.refused_until[line] = now.plus(REFUSED_RETRY_NS);
            }
        }
    }

    #[inline]
    fn apply(&mut self, read: Nanos, message: &OrderEntry) {
        self.telemetry.report_count.increment();
        #[allow(
            clippy::wildcard_enum_match_arm,
            reason = "a venue's other messages change no order"
        )]
        match message {
            OrderEntry::ExecutionReport(report) => self.on_execution(read, report),
            OrderEntry::OrderCancelReject(reject) => self.on_cancel_reject(read, reject),
            _ => self.telemetry.anomaly_count.increment(),
        }
    }

    #[inline]
    fn on_execution(&mut self, read: Nanos, report: &ExecutionReport) {
        let order_id = OrderId(report.cl_ord_id.0);
        let event = match report.exec_type {
            ExecType::New => Event::Accepted,
            ExecType::Canceled => Event::Canceled,
            ExecType::Replaced => {
                Event::Replaced { order_qty: report.order_qty, leaves_qty: report.leaves_qty }
            }
            ExecType::Rejected => Event::Rejected,
            ExecType::Expired => Event::Expired,
            ExecType::Trade => {
                Event::Traded { cum_qty: report.cum_qty, leaves_qty: report.leaves_qty }
            }
        };
        if let Some(entry) = self.table.get_mut(order_id)
            && entry.sent != Nanos(0)
        {
            self.telemetry.hop_venue.record(read.since(entry.sent));
            entry.sent = Nanos(0);
        }
        self.step(order_id, event);
        let execution = VenueExecution {
            order_id,
            exec_id: report.exec_id,
            ingress_time: read,
            price: report.price,
            last_px: report.last_px,
            order_qty: report.order_qty,
            last_qty: report.last_qty,
            cum_qty: report.cum_qty,
            leaves_qty: report.leaves_qty,
            sent_delta: self.clock.now().delta32(read),
            ord_rej_reason: report.ord_rej_reason,
            exec_type: report.exec_type,
            ord_status: report.ord_status,
        };
        let sent = self.router_risk.send(&execution);
        assert!(sent.is_ok(), "room in router_risk was made sure of before the venue was read");
    }

    fn on_cancel_reject(&mut self, read: Nanos, reject: &OrderCancelReject) {
        let order_id = OrderId(reject.orig_cl_ord_id.0);
        let event = match (reject.cxl_rej_response_to, reject.ord_status) {
            // FIX: `Rejected` in a cancel reject says that the venue does not know the order.
            (CancelRejectTo::Cancel, OrdStatus::Rejected) => Event::Canceled,
            (CancelRejectTo::Cancel, _) => Event::CancelRejected,
            (CancelRejectTo::Replace, _) => Event::ReplaceRejected,
        };
        if matches!(event, Event::Canceled) && self.table.get_mut(order_id).is_none() {
            self.on_gone(Event::CancelRejected);
        } else {
            self.step(order_id, event);
        }
        let message = VenueCancelReject {
            order_id,
            ingress_time: read,
            sent_delta: self.clock.now().delta32(read),
            cxl_rej_reason: reject.cxl_rej_reason,
            ord_status: reject.ord_status,
            cxl_rej_response_to: reject.cxl_rej_response_to,
        };
        let sent = self.router_risk.send(&message);
        assert!(sent.is_ok(), "room in router_risk was made sure of before the venue was read");
    }

    #[inline]
    fn step(&mut self, order_id: OrderId, event: Event) {
        let Some(entry) = self.table.get_mut(order_id) else {
            self.on_gone(event);
            return;
        };
        let step = entry.life.step(event);
        if step.is_anomaly() {
            self.telemetry.anomaly_count.increment();
        }
        if step.is_closed() {
            self.table.remove(order_id);
            self.note_open();
        }
    }

    /// An event of an order that is not in the table. A cancel or replace may cross the order's end on the wire: the venue
    /// then refuses it after the end was told, which is how it must be. Nothing else may come after the end.
    #[cold]
    fn on_gone(&self, event: Event) {
        match event {
            Event::CancelRejected | Event::ReplaceRejected => {
                self.telemetry.late_answer_count.increment();
            }
            Event::CancelSent
            | Event::ReplaceSent
            | Event::Accepted
            | Event::Rejected
            | Event::Traded { .. }
            | Event::Canceled
            | Event::Expired
            | Event::Replaced { .. } => self.telemetry.unknown_order_count.increment(),
        }
    }

    #[inline]
    fn note_open(&self) {
        self.telemetry.open_order_count.set(u64::try_from(self.table.len()).unwrap_or(u64::MAX));
    }

    fn on_timer(&mut self, now: Nanos) -> usize {
        let utc = self.clock.utc(now);
        let mut work = 0;
        for line in 0..self.lines.len() {
            let state = self.lines[line].session.state();
            let due = match state {
                ClientState::Idle => true,
                ClientState::Refused => now >= self.refused_until[line],
                ClientState::Negotiating | ClientState::Establishing | ClientState::Established => {
                    false
                }
            };
            if due && self.draining.is_none() && self.lines[line].is_connected() {
                let first = self.lines[line].session.resume(now, utc);
                self.control(line, &first);
                work += 1;
            }
            let response = self.lines[line].session.on_time(now, utc);
            work += usize::from(response.reply.is_some());
            self.on_response(line, now, response);
        }
        work
    }

    /// Sends cancels for orders still open, a few at a time.
    fn drain(&mut self, now: Nanos) -> usize {
        let utc = self.clock.utc(now);
        let mut work = 0;
        while work < DRAIN_CANCELS_PER_CYCLE {
            let Some((order_id, next)) = self.table.next_from(self.drain_place) else {
                self.drain_place = 0;
                break;
            };
            let Some(entry) = self.table.get_mut(order_id) else { break };
            if entry.drained || entry.life.pending == Pending::Cancel {
                self.drain_place = next;
                continue;
            }
            let line = entry.venue;
            if !self.lines[line].session.is_established() {
                self.drain_place = next;
                continue;
            }
            if self.lines[line].send_cancel(now, utc, order_id).is_err() {
                break;
            }
            if let Some(entry) = self.table.get_mut(order_id) {
                entry.drained = true;
            }
            self.step(order_id, Event::CancelSent);
            self.telemetry.drain_cancel_count.increment();
            self.drain_place = next;
            work += 1;
        }
        work
    }

    fn on_disconnect(&mut self, line: usize) {
        if let ClientAction::Down(_) = self.lines[line].session.on_disconnect() {
            self.on_down(line);
        }
    }

    /// The venue's session is down. Its orders' fate is unknown: they stay in the table and keep their exposure.
    fn on_down(&mut self, line: usize) {
        self.telemetry.venue_down_count.increment();
        self.tell(line, LinkState::Down);
    }

    fn tell(&mut self, line: usize, state: LinkState) {
        self.links[line].set(state == LinkState::Up);
        self.link_pending[line] = Some(state);
        self.flush_links();
    }

    #[inline]
    fn flush_links(&mut self) -> usize {
        let mut sent = 0;
        for (line, pending) in self.lines.iter().zip(&mut self.link_pending) {
            let Some(link_state) = *pending else { continue };
            let link = VenueLink { venue_id: line.venue, link_state };
            if self.router_risk.send(&link).is_err() {
                break;
            }
            *pending = None;
            sent += 1;
        }
        sent
    }

    fn control(&mut self, line: usize, message: &OrderEntry) {
        match self.lines[line].send_control(message) {
            Err(OfferError::Closed) => self.fatal = Some(Fatal::TransportDown),
            Err(OfferError::MaxPositionExceeded) => self.fatal = Some(Fatal::MaxPosition),
            // Said again by the protocol.
            Ok(()) | Err(_) => {}
        }
    }

    fn terminate_all(&mut self) {
        for line in 0..self.lines.len() {
            if self.lines[line].session.is_established() {
                let goodbye = self.lines[line].session.terminate(TerminationCode::ShuttingDown);
                self.control(line, &goodbye);
            }
        }
    }
}
