//! The agent: orders from the transport into `entry_risk`, reports from `risk_entry` to the strategies.

use crate::codec::journal::{Journal, SessionLink};
use crate::codec::order_entry::{
    BusinessMessageReject, NewOrderSingle, OrderCancelReplaceRequest, OrderEntry,
};
use crate::codec::{DecodeError, Message, template_of};
use crate::entry::convert;
use crate::entry::slot::{Flushed, Report, Slot};
use crate::ring::{Consumer, Producer};
use crate::runtime::{Agent, Clock, Fatal, Phase};
use crate::session::{
    ServerAction, ServerConfig, ServerResponse, ServerSession, sequence_of, session_of,
};
use crate::telemetry::{Counter, LinkGauge, Recorder, Registry};
use crate::transport::{Fragment, Inbound, OfferError, Outbound, StreamEvent};
use crate::types::{ClOrdId, LinkState, Nanos, SeqNum, SessionId, TerminationCode, UtcNanos};

/// Messages read from the transport in one duty cycle: few, so that the first order of a burst does not wait for the
/// last to be decoded before risk sees it.
const ORDERS_PER_CYCLE: usize = 8;
/// Reports taken from risk in one duty cycle.
const REPORTS_PER_CYCLE: usize = 32;
/// How often the sessions' clocks are looked at, in nanoseconds.
const TIMER_NS: u64 = 1_000_000;

/// Why entry itself refuses a message; sent as `BusinessRejectReason` beside the numbers of [`DecodeError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum EntryRefusal {
    /// The gateway is going down: cancels only.
    ShuttingDown = 101,
}

impl EntryRefusal {
    /// The stable number.
    pub const fn code(self) -> u16 {
        match self {
            EntryRefusal::ShuttingDown => 101,
        }
    }
}

/// One strategy's session.
#[derive(Debug)]
pub struct SessionConfig<O> {
    /// The protocol's settings. `retained_reports` is rounded up to a power of two.
    pub server: ServerConfig,
    /// The largest ClOrdID it used in earlier runs; 0 is none.
    pub last_cl_ord_id: ClOrdId,
    /// Where its reports go.
    pub reports: O,
    /// Whether it is up, for whoever looks at the process's health.
    pub link: LinkGauge,
}

/// Everything entry is built from.
#[derive(Debug)]
pub struct EntryConfig<I, O> {
    /// Where all strategies' orders come from.
    pub orders: I,
    /// The sessions.
    pub sessions: Vec<SessionConfig<O>>,
    /// Orders, cancels, replaces and session links to risk. When it is full, orders stay unread in the transport.
    pub entry_risk: Producer,
    /// Reports from risk.
    pub risk_entry: Consumer,
    /// For stamps.
    pub clock: Clock,
    /// Counters and histograms.
    pub telemetry: EntryTelemetry,
}

/// What entry counts and times.
#[derive(Debug)]
pub struct EntryTelemetry {
    order_count: Counter,
    report_count: Counter,
    report_wait_count: Counter,
    decode_error_count: Counter,
    refused_count: Counter,
    duplicate_count: Counter,
    not_applied_count: Counter,
    unknown_session_count: Counter,
    wrong_source_count: Counter,
    slow_consumer_count: Counter,
    session_up_count: Counter,
    session_down_count: Counter,
    ring_full_count: Counter,
    hop_entry: Recorder,
    hop_report: Recorder,
}

impl EntryTelemetry {
    /// The rows of `registry` that begin with `entry_`.
    pub fn new(registry: &Registry) -> EntryTelemetry {
        EntryTelemetry {
            order_count: registry.counter("entry_order_count"),
            report_count: registry.counter("entry_report_count"),
            report_wait_count: registry.counter("entry_report_wait_count"),
            decode_error_count: registry.counter("entry_decode_error_count"),
            refused_count: registry.counter("entry_refused_count"),
            duplicate_count: registry.counter("entry_duplicate_count"),
            not_applied_count: registry.counter("entry_not_applied_count"),
            unknown_session_count: registry.counter("entry_unknown_session_count"),
            wrong_source_count: registry.counter("entry_wrong_source_count"),
            slow_consumer_count: registry.counter("entry_slow_consumer_count"),
            session_up_count: registry.counter("entry_session_up_count"),
            session_down_count: registry.counter("entry_session_down_count"),
            ring_full_count: registry.counter("entry_ring_full_count"),
            hop_entry: registry.recorder("hop_entry"),
            hop_report: registry.recorder("hop_report"),
        }
    }
}

/// The order-entry agent.
#[derive(Debug)]
pub struct EntryAgent<I, O> {
    orders: I,
    desk: Desk<O>,
    risk_entry: Consumer,
    next_timer: Nanos,
}

/// All of entry but the streams it reads, so that a handler can borrow it while one of them is polled.
#[derive(Debug)]
pub(super) struct Desk<O> {
    slots: Vec<Slot<O>>,
    entry_risk: Producer,
    clock: Clock,
    telemetry: EntryTelemetry,
    draining: bool,
    fatal: Option<Fatal>,
}

impl<I: Inbound, O: Outbound> EntryAgent<I, O> {
    /// An agent of these parts.
    ///
    /// # Panics
    /// If two sessions have the same number.
    pub fn new(config: EntryConfig<I, O>) -> EntryAgent<I, O> {
        let mut slots: Vec<Slot<O>> = config
            .sessions
            .into_iter()
            .map(|mut session| {
                let retained = session.server.retained_reports.next_power_of_two();
                session.server.retained_reports = retained;
                let mut server = ServerSession::new(session.server);
                server.restore(session.last_cl_ord_id);
                Slot::new(server, session.reports, session.link, retained)
            })
            .collect();
        slots.sort_by_key(|slot| slot.session.id());
        for pair in slots.windows(2) {
            let [a, b] = pair else { continue };
            assert_ne!(a.session.id(), b.session.id(), "a session is configured once");
        }
        let desk = Desk {
            slots,
            entry_risk: config.entry_risk,
            clock: config.clock,
            telemetry: config.telemetry,
            draining: false,
            fatal: None,
        };
        EntryAgent {
            orders: config.orders,
            desk,
            risk_entry: config.risk_entry,
            next_timer: Nanos(0),
        }
    }

    #[cfg(test)]
    pub(super) fn desk_for_test(&mut self) -> &mut Desk<O> {
        &mut self.desk
    }

    fn poll_reports(&mut self, now: Nanos) -> usize {
        let mut taken = 0;
        while taken < REPORTS_PER_CYCLE {
            let Some(bytes) = self.risk_entry.peek() else { break };
            // Risk is ours: bytes it wrote that cannot be read are a bug.
            let message = Journal::decode(bytes).expect("risk sends whole messages");
            self.risk_entry.release();
            self.desk.on_report(now, &message);
            taken += 1;
        }
        taken
    }

    fn poll_orders(&mut self, now: Nanos) -> Result<usize, Fatal> {
        // A link change that waits goes first: a session that is down and up again must be both for risk, or its orders
        // would not be cancelled. Then each message makes one request or one link change, never two.
        let waits = self.desk.slots.iter().any(|slot| slot.link_pending.is_some());
        let room = if waits { 0 } else { self.desk.entry_risk.free_slots().min(ORDERS_PER_CYCLE) };
        if room == 0 {
            self.desk.telemetry.ring_full_count.increment();
            return Ok(0);
        }
        let desk = &mut self.desk;
        let utc = desk.clock.utc(now);
        self.orders
            .poll(room, &mut |fragment| desk.on_fragment(now, utc, fragment))
            .map_err(|_| Fatal::TransportDown)
    }

    fn poll_events(&mut self) -> usize {
        let mut count = 0;
        while let Some(event) = self.orders.next_event() {
            if let StreamEvent::SourceDown(source) = event {
                self.desk.on_source_down(source);
            }
            count += 1;
        }
        count
    }
}

impl<I: Inbound, O: Outbound> Agent for EntryAgent<I, O> {
    fn name(&self) -> &'static str {
        "entry"
    }

    #[inline]
    fn poll(&mut self, now: Nanos) -> Result<usize, Fatal> {
        let mut work = self.poll_events();
        work += self.desk.flush_links();
        work += self.poll_reports(now);
        work += self.poll_orders(now)?;
        if now >= self.next_timer {
            self.next_timer = now.plus(TIMER_NS);
            work += self.desk.on_timer(now);
        }
        self.desk.fatal.map_or(Ok(work), Err)
    }

    fn on_phase(&mut self, phase: Phase, _now: Nanos) {
        match phase {
            Phase::Starting | Phase::Running => {}
            Phase::Draining => self.desk.draining = true,
            Phase::Stopping => self.desk.terminate_all(),
        }
    }

    fn is_drained(&self) -> bool {
        self.desk.slots.iter().all(|s| s.store.is_flushed() || !s.session.is_established())
    }
}

impl<O: Outbound> Desk<O> {
    #[inline]
    fn find(&self, session: SessionId) -> Option<usize> {
        // A handful of sessions: a scan in order of their number beats a search.
        self.slots.iter().position(|slot| slot.session.id() == session)
    }

    #[inline]
    fn on_fragment(&mut self, now: Nanos, utc: UtcNanos, fragment: Fragment<'_>) {
        let ingress = self.clock.now();
        let message = match OrderEntry::decode(fragment.bytes) {
            Ok(message) => message,
            Err(error) => return self.on_undecodable(now, fragment, error),
        };
        let Some(index) = self.find(session_of(&message)) else {
            self.telemetry.unknown_session_count.increment();
            return;
        };
        let slot = &mut self.slots[index];
        let opens = matches!(message, OrderEntry::Negotiate(_) | OrderEntry::Establish(_));
        if slot.source != Some(fragment.source) && !opens {
            self.telemetry.wrong_source_count.increment();
            return;
        }
        let response = slot.session.on_message(now, utc, &message);
        if response.action == ServerAction::Apply && response.reply.is_none() {
            self.apply(index, now, ingress, &message);
            return;
        }
        self.on_response(index, now, ingress, fragment.source, &message, response);
    }

    /// Everything but a business message in sequence.
    #[cold]
    fn on_response(
        &mut self,
        index: usize,
        now: Nanos,
        ingress: Nanos,
        source: i32,
        message: &OrderEntry,
        response: ServerResponse,
    ) {
        let slot = &mut self.slots[index];
        match (message, response.action) {
            (OrderEntry::Negotiate(_), ServerAction::None) => {
                slot.source = Some(source);
                slot.store.clear();
            }
            (_, ServerAction::Up) => slot.source = Some(source),
            _ => {}
        }
        if matches!(response.reply, Some(OrderEntry::NotApplied(_))) {
            self.telemetry.not_applied_count.increment();
        }
        self.reply(index, response.reply);
        match response.action {
            ServerAction::None => {}
            ServerAction::Up => {
                self.telemetry.session_up_count.increment();
                self.slots[index].tell(LinkState::Up);
                self.flush_links();
            }
            ServerAction::Apply => self.apply(index, now, ingress, message),
            ServerAction::Duplicate => self.telemetry.duplicate_count.increment(),
            ServerAction::Resend { from, .. } => {
                self.slots[index].store.rewind(from);
                self.flush(index);
            }
            ServerAction::Down(_) => self.on_down(index),
            ServerAction::Refused => self.telemetry.refused_count.increment(),
        }
    }

    #[inline]
    fn apply(&mut self, index: usize, now: Nanos, ingress: Nanos, message: &OrderEntry) {
        let session = self.slots[index].session.id();
        let sent = self.clock.now().delta32(ingress);
        let is_cancel = matches!(
            message,
            OrderEntry::OrderCancelRequest(_) | OrderEntry::OrderMassActionRequest(_)
        );
        if self.draining && !is_cancel {
            self.refuse_business(index, now, message, EntryRefusal::ShuttingDown.code());
            return;
        }
        #[allow(clippy::wildcard_enum_match_arm, reason = "the session applies requests only")]
        let pushed = match message {
            OrderEntry::NewOrderSingle(m) => {
                self.entry_risk.send(&convert::new_order(session, m, ingress, sent))
            }
            OrderEntry::OrderCancelRequest(m) => {
                self.entry_risk.send(&convert::cancel(session, m, ingress, sent))
            }
            OrderEntry::OrderCancelReplaceRequest(m) => {
                self.entry_risk.send(&convert::replace(session, m, ingress, sent))
            }
            OrderEntry::OrderMassActionRequest(m) => {
                self.entry_risk.send(&convert::mass_cancel(session, m, ingress, sent))
            }
            _ => return,
        };
        assert!(
            pushed.is_ok(),
            "room in entry_risk was made sure of before the transport was read"
        );
        self.telemetry.order_count.increment();
        self.telemetry.hop_entry.record(u64::from(sent));
    }

    #[cold]
    fn on_undecodable(&mut self, now: Nanos, fragment: Fragment<'_>, error: DecodeError) {
        self.telemetry.decode_error_count.increment();
        let bound =
            |slot: &Slot<O>| slot.source == Some(fragment.source) && slot.session.is_established();
        let Some(index) = self.slots.iter().position(bound) else { return };
        let slot = &mut self.slots[index];
        let reject = BusinessMessageReject {
            session_id: slot.session.id(),
            msg_seq_num: SeqNum(0),
            ref_seq_num: SeqNum(0),
            ref_template_id: template_of(fragment.bytes).unwrap_or(0),
            business_reject_reason: error.code(),
        };
        self.push(index, now, Report::Business(reject));
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "only orders and replaces are refused here")]
    fn refuse_business(&mut self, index: usize, now: Nanos, message: &OrderEntry, reason: u16) {
        self.telemetry.refused_count.increment();
        let template = match message {
            OrderEntry::OrderCancelReplaceRequest(_) => OrderCancelReplaceRequest::TEMPLATE,
            _ => NewOrderSingle::TEMPLATE,
        };
        let reject = BusinessMessageReject {
            session_id: self.slots[index].session.id(),
            msg_seq_num: SeqNum(0),
            ref_seq_num: sequence_of(message).unwrap_or(SeqNum(0)),
            ref_template_id: template,
            business_reject_reason: reason,
        };
        self.push(index, now, Report::Business(reject));
    }

    #[inline]
    fn on_report(&mut self, now: Nanos, message: &Journal) {
        let utc = self.clock.utc(now);
        #[allow(clippy::wildcard_enum_match_arm, reason = "risk_entry carries reports only")]
        let (session, ingress, from_venue, report) = match message {
            Journal::OrderReport(m) => (
                m.session_id,
                m.ingress_time,
                m.deny_reason == 0,
                Report::Execution(convert::execution(m, utc)),
            ),
            Journal::CancelRejectReport(m) => (
                m.session_id,
                m.ingress_time,
                m.deny_reason == 0,
                Report::CancelReject(convert::cancel_reject(m, utc)),
            ),
            Journal::MassCancelReport(m) => {
                let report = Report::MassAction(convert::mass_action(m, utc));
                (m.session_id, m.ingress_time, false, report)
            }
            other => unreachable!("risk_entry carries reports only, not {other:?}"),
        };
        let Some(index) = self.find(session) else {
            // An order of a session that is no longer configured: its journal outlived it.
            self.telemetry.unknown_session_count.increment();
            return;
        };
        self.push(index, now, report);
        if from_venue {
            self.telemetry.hop_report.record(self.clock.now().since(ingress));
        }
    }

    #[inline]
    fn push(&mut self, index: usize, now: Nanos, report: Report) {
        let slot = &mut self.slots[index];
        if slot.store.is_full() && slot.session.is_established() {
            self.telemetry.slow_consumer_count.increment();
            self.end(index, TerminationCode::SlowConsumer);
        }
        self.slots[index].push(now, report);
        self.telemetry.report_count.increment();
        self.flush(index);
    }

    #[inline]
    fn flush(&mut self, index: usize) -> usize {
        match self.slots[index].flush() {
            Flushed::Sent(count) => {
                if !self.slots[index].store.is_flushed() {
                    self.telemetry.report_wait_count.increment();
                }
                count
            }
            Flushed::Broken(error) => {
                self.note_offer_error(error);
                0
            }
        }
    }

    fn on_timer(&mut self, now: Nanos) -> usize {
        let mut work = 0;
        for index in 0..self.slots.len() {
            work += self.flush(index);
            let response = self.slots[index].session.on_time(now);
            work += usize::from(response.reply.is_some());
            self.reply(index, response.reply);
            if let ServerAction::Down(_) = response.action {
                self.on_down(index);
            }
        }
        work
    }

    pub(super) fn on_source_down(&mut self, source: i32) {
        for index in 0..self.slots.len() {
            let slot = &mut self.slots[index];
            if slot.source != Some(source) {
                continue;
            }
            slot.source = None;
            if let ServerAction::Down(_) = slot.session.on_disconnect() {
                self.on_down(index);
            }
        }
    }

    fn end(&mut self, index: usize, code: TerminationCode) {
        let response = self.slots[index].session.terminate(code);
        self.reply(index, response.reply);
        if let ServerAction::Down(_) = response.action {
            self.on_down(index);
        }
    }

    fn reply(&mut self, index: usize, reply: Option<OrderEntry>) {
        let Some(reply) = reply else { return };
        if let Err(error) = self.slots[index].send_control(&reply) {
            self.note_offer_error(error);
        }
    }

    fn on_down(&mut self, index: usize) {
        self.telemetry.session_down_count.increment();
        self.slots[index].tell(LinkState::Down);
        self.flush_links();
    }

    /// Tells risk which sessions came up or went down, as far as the ring has room.
    #[inline]
    fn flush_links(&mut self) -> usize {
        let mut sent = 0;
        for slot in &mut self.slots {
            let Some(link_state) = slot.link_pending else { continue };
            let link = SessionLink { session_id: slot.session.id(), link_state };
            if self.entry_risk.send(&link).is_err() {
                break;
            }
            slot.link_pending = None;
            sent += 1;
        }
        sent
    }

    fn terminate_all(&mut self) {
        for index in 0..self.slots.len() {
            if self.slots[index].session.is_established() {
                self.end(index, TerminationCode::ShuttingDown);
            }
        }
    }

    fn note_offer_error(&mut self, error: OfferError) {
        match error {
            OfferError::Closed => self.fatal = Some(Fatal::TransportDown),
            OfferError::MaxPositionExceeded => self.fatal = Some(Fatal::MaxPosition),
            OfferError::NotConnected
            | OfferError::BackPressured
            | OfferError::AdminAction
            | OfferError::TooLong => self.telemetry.report_wait_count.increment(),
        }
    }
}
