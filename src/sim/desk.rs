//! Between the matching engine and the outside: sessions and reports on one hand, the published feed on the other.

use std::collections::VecDeque;

use crate::codec::order_entry::{
    BusinessMessageReject, ExecutionReport, NewOrderSingle, OrderCancelReject,
    OrderCancelReplaceRequest, OrderCancelRequest, OrderEntry, OrderMassActionReport,
    OrderMassActionRequest,
};
use crate::codec::template_of;
use crate::net::PacketSink;
use crate::session::{ServerAction, ServerResponse, session_of};
use crate::sim::background::BACKGROUND;
use crate::sim::itch_out::{ItchMessage, MESSAGE_BYTES_MAX};
use crate::sim::ledger::{LedgerFill, LedgerOrder, LedgerParty, VenueLedger};
use crate::sim::matching::{Exchange, VenueInstrument};
use crate::sim::mold_out::MoldOut;
use crate::sim::order::{
    BookEvent, CancelCause, EventSink, NewOrder, Order, OwnerId, Replace, Report, VenueReject,
};
use crate::sim::seat::{Seat, offer};
use crate::sim::slab::at;
use crate::telemetry::{Counter, Registry};
use crate::transport::{Fragment, OfferError, Outbound};
use crate::types::{
    AccountId, CancelRejectTo, ClOrdId, ExecId, ExecType, MassScope, Nanos, OrdStatus, OrderId,
    Price, SeqNum, SessionId, UtcNanos,
};

/// Session messages that may wait for the stream; no request is read while fewer than two have room.
const REPLIES_MAX: usize = 64;
/// Reports beside two for each open order that one request can cause, with something to spare.
const REPORTS_SPARE: usize = 16;

/// Reports a seat must have room for, so that any one request fits where `open` orders are open.
pub(super) const fn reports_needed(open: usize) -> usize {
    2 * open + REPORTS_SPARE
}

#[derive(Debug)]
struct Telemetry {
    cancel_count: Counter,
    malformed_count: Counter,
    order_count: Counter,
    refused_count: Counter,
    reject_count: Counter,
    report_count: Counter,
    session_down_count: Counter,
    trade_count: Counter,
}

impl Telemetry {
    fn new(registry: &Registry) -> Telemetry {
        Telemetry {
            cancel_count: registry.counter("venue_cancel_count"),
            malformed_count: registry.counter("venue_malformed_count"),
            order_count: registry.counter("venue_order_count"),
            refused_count: registry.counter("venue_refused_count"),
            reject_count: registry.counter("venue_reject_count"),
            report_count: registry.counter("venue_report_count"),
            session_down_count: registry.counter("venue_session_down_count"),
            trade_count: registry.counter("venue_trade_count"),
        }
    }
}

/// What takes the events of the matching engine, and turns messages into its requests.
#[derive(Debug)]
pub(super) struct Desk<O, K> {
    outbound: O,
    seats: Vec<Seat>,
    replies: VecDeque<OrderEntry>,
    instruments: Vec<VenueInstrument>,
    pub(super) mold: MoldOut<K>,
    pub(super) ledger: VenueLedger,
    now: Nanos,
    utc: UtcNanos,
    stamp_ns: u64,
    next_exec_id: u64,
    telemetry: Telemetry,
}

/// The owner number of the seat at `index`: background participants have the first.
fn owner_of(index: usize) -> OwnerId {
    OwnerId(u32::try_from(index + 1).expect("seats are few"))
}

/// The seat of an owner; none for the background.
fn seat_of(owner: OwnerId) -> Option<usize> {
    (owner != BACKGROUND).then(|| at(owner.0) - 1)
}

impl<O: Outbound, K: PacketSink> Desk<O, K> {
    pub(super) fn new(
        outbound: O,
        seats: Vec<Seat>,
        instruments: Vec<VenueInstrument>,
        mold: MoldOut<K>,
        ledger: VenueLedger,
        registry: &Registry,
    ) -> Desk<O, K> {
        Desk {
            outbound,
            seats,
            replies: VecDeque::with_capacity(REPLIES_MAX),
            instruments,
            mold,
            ledger,
            now: Nanos(0),
            utc: UtcNanos(0),
            stamp_ns: 0,
            next_exec_id: 1,
            telemetry: Telemetry::new(registry),
        }
    }

    /// Sets the time that everything in this cycle happens at.
    #[inline]
    pub(super) fn set_time(&mut self, now: Nanos, utc: UtcNanos, stamp_ns: u64) {
        (self.now, self.utc, self.stamp_ns) = (now, utc, stamp_ns);
    }

    /// The time of day that everything in this cycle happens at, in nanoseconds since midnight.
    #[inline]
    pub(super) fn stamp_ns(&self) -> u64 {
        self.stamp_ns
    }

    /// Whether any one request, from anybody, finds room for all the reports it can cause.
    #[inline]
    pub(super) fn has_room(&self, exchange: &Exchange) -> bool {
        let needed = reports_needed(at(exchange.open_count()));
        self.replies.len() + 2 <= REPLIES_MAX
            && self.seats.iter().all(|seat| !seat.session.is_established() || seat.free() >= needed)
    }

    /// Whether nothing waits to be sent to anybody who is there.
    pub(super) fn is_flushed(&self) -> bool {
        let flushed = |seat: &Seat| !seat.session.is_established() || seat.is_flushed();
        self.replies.is_empty() && self.seats.iter().all(flushed)
    }

    /// The session of an owner; none for the background.
    pub(super) fn session_of(&self, owner: OwnerId) -> Option<SessionId> {
        seat_of(owner).and_then(|index| self.seats.get(index)).map(|seat| seat.session.id())
    }

    /// Publishes a message that is not a book event.
    pub(super) fn publish(&mut self, message: &ItchMessage) {
        let mut bytes = [0; MESSAGE_BYTES_MAX];
        let length = message.encode(self.stamp_ns, &mut bytes);
        self.mold.push(&bytes[..length], self.now);
    }

    /// Sends replies and reports while the stream has room; returns how many.
    ///
    /// # Errors
    /// The stream is of no use any more.
    #[inline]
    pub(super) fn send_reports(&mut self) -> Result<usize, OfferError> {
        let mut replies = 0;
        while let Some(reply) = self.replies.front() {
            if !offer(&mut self.outbound, reply)? {
                return Ok(replies);
            }
            self.replies.pop_front();
            replies += 1;
        }
        let mut reports = 0;
        for seat in &mut self.seats {
            reports += seat.flush(self.now, &mut self.outbound)?;
        }
        self.telemetry.report_count.add(u64::try_from(reports).expect("a count"));
        Ok(replies + reports)
    }

    /// Looks at the time for each session: keepalives, and the end of silent ones.
    #[inline]
    pub(super) fn check_sessions(&mut self, exchange: &mut Exchange) {
        for index in 0..self.seats.len() {
            if self.replies.len() + 2 > REPLIES_MAX {
                return;
            }
            let response = self.seats[index].session.on_time(self.now);
            if response.reply.is_some() || response.action != ServerAction::None {
                self.on_response(index, None, response, exchange);
            }
        }
    }

    /// A publisher is gone: whoever was bound to it is disconnected, its orders cancelled.
    pub(super) fn on_source_down(&mut self, source: i32, exchange: &mut Exchange) {
        for index in 0..self.seats.len() {
            if self.seats[index].source == Some(source) {
                let action = self.seats[index].session.on_disconnect();
                self.seats[index].leave();
                let response = ServerResponse { reply: None, action };
                self.on_response(index, None, response, exchange);
            }
        }
    }

    /// Takes one message of a participant.
    #[inline]
    pub(super) fn on_fragment(&mut self, fragment: Fragment<'_>, exchange: &mut Exchange) {
        let message = match OrderEntry::decode(fragment.bytes) {
            Ok(message) => message,
            Err(error) => return self.on_malformed(fragment, error.code()),
        };
        let session = session_of(&message);
        let Some(index) = self.seats.iter().position(|seat| seat.session.id() == session) else {
            self.telemetry.refused_count.increment();
            return;
        };
        let seat = &mut self.seats[index];
        let is_request = matches!(message, OrderEntry::Negotiate(_) | OrderEntry::Establish(_));
        // Anybody may ask to be let in, and proves who it is; all else comes from whoever was.
        if seat.source != Some(fragment.source) && !is_request {
            self.telemetry.refused_count.increment();
            return;
        }
        let response = seat.session.on_message(self.now, self.utc, &message);
        if response.action == ServerAction::Apply && response.reply.is_none() {
            return self.apply(index, &message, exchange);
        }
        let applies = response.action == ServerAction::Apply;
        self.on_response(index, Some(fragment.source), response, exchange);
        if applies {
            self.apply(index, &message, exchange);
        }
    }

    #[cold]
    fn on_malformed(&mut self, fragment: Fragment<'_>, code: u16) {
        self.telemetry.malformed_count.increment();
        let is_from = |seat: &&mut Seat| {
            seat.source == Some(fragment.source) && seat.session.is_established()
        };
        if let Some(seat) = self.seats.iter_mut().find(is_from) {
            let report = BusinessMessageReject {
                session_id: seat.session.id(),
                msg_seq_num: SeqNum(0),
                ref_seq_num: SeqNum(0),
                ref_template_id: template_of(fragment.bytes).unwrap_or(0),
                business_reject_reason: code,
            };
            seat.push(report.into());
        }
    }

    /// Queues the reply of a session, and does what it says.
    #[cold]
    fn on_response(
        &mut self,
        index: usize,
        source: Option<i32>,
        response: ServerResponse,
        exchange: &mut Exchange,
    ) {
        let seat = &mut self.seats[index];
        if let Some(reply) = response.reply {
            if matches!(reply, OrderEntry::NegotiationResponse(_)) {
                seat.forget_sent();
            }
            assert!(self.replies.len() < REPLIES_MAX, "a reply found no room");
            self.replies.push_back(reply);
        }
        match response.action {
            ServerAction::None | ServerAction::Apply => {}
            ServerAction::Up => seat.source = source,
            ServerAction::Duplicate | ServerAction::Refused => {
                self.telemetry.refused_count.increment();
            }
            ServerAction::Resend { from, count } => seat.send_again(from, count),
            ServerAction::Down(_) => {
                seat.leave();
                self.telemetry.session_down_count.increment();
                exchange.mass_cancel(owner_of(index), None, CancelCause::Disconnect, self);
            }
        }
    }

    #[inline]
    fn apply(&mut self, index: usize, message: &OrderEntry, exchange: &mut Exchange) {
        #[allow(clippy::wildcard_enum_match_arm, reason = "a session applies requests only")]
        match message {
            OrderEntry::NewOrderSingle(m) => self.on_new(index, m, exchange),
            OrderEntry::OrderCancelRequest(m) => self.on_cancel(index, m, exchange),
            OrderEntry::OrderCancelReplaceRequest(m) => self.on_replace(index, m, exchange),
            OrderEntry::OrderMassActionRequest(m) => self.on_mass_cancel(index, m, exchange),
            other => unreachable!("{other:?} is not a request"),
        }
    }

    #[inline]
    fn on_new(&mut self, index: usize, m: &NewOrderSingle, exchange: &mut Exchange) {
        self.telemetry.order_count.increment();
        let entry = LedgerOrder {
            session: m.session_id,
            cl_ord_id: m.cl_ord_id,
            order_id: 0,
            security_id: m.security_id,
            account: m.account,
            side: m.side,
            time_in_force: m.time_in_force,
            price: m.price,
            order_qty: m.order_qty,
            cum_qty: 0,
            leaves_qty: m.order_qty,
            status: OrdStatus::PendingNew,
            reject_reason: 0,
        };
        let tag = self.ledger.open(entry);
        let new = NewOrder {
            owner: owner_of(index),
            client_id: m.cl_ord_id,
            tag: tag.unwrap_or(u32::MAX),
            security_id: m.security_id,
            side: m.side,
            ord_type: m.ord_type,
            time_in_force: m.time_in_force,
            price: m.price,
            qty: m.order_qty,
        };
        if tag.is_none() {
            // What the ledger cannot hold would be missing from the account at the end.
            return self.reject(&new, m.account, VenueReject::TooManyOrders);
        }
        // A refusal was reported through the sink.
        let _ = exchange.submit(&new, self);
    }

    fn on_cancel(&mut self, index: usize, m: &OrderCancelRequest, exchange: &mut Exchange) {
        // A refusal was reported through the sink.
        let _ = exchange.cancel(owner_of(index), m.cl_ord_id, m.orig_cl_ord_id, self);
    }

    fn on_replace(&mut self, index: usize, m: &OrderCancelReplaceRequest, exchange: &mut Exchange) {
        let request = Replace {
            owner: owner_of(index),
            client_id: m.cl_ord_id,
            orig_client_id: m.orig_cl_ord_id,
            price: m.price,
            qty: m.order_qty,
        };
        // A refusal was reported through the sink.
        let _ = exchange.replace(&request, self);
    }

    fn on_mass_cancel(
        &mut self,
        index: usize,
        m: &OrderMassActionRequest,
        exchange: &mut Exchange,
    ) {
        let security_id = match m.mass_action_scope {
            MassScope::Session => None,
            MassScope::Instrument => Some(m.security_id),
        };
        let count = exchange.mass_cancel(owner_of(index), security_id, CancelCause::Mass, self);
        let report = OrderMassActionReport {
            session_id: m.session_id,
            msg_seq_num: SeqNum(0),
            cl_ord_id: m.cl_ord_id,
            transact_time: self.utc,
            total_affected_orders: count,
        };
        self.seats[index].push(report.into());
    }

    fn take_exec_id(&mut self) -> ExecId {
        let id = ExecId(self.next_exec_id);
        self.next_exec_id += 1;
        id
    }

    /// Reports a change of an order to its owner, and notes it in the ledger.
    #[inline]
    fn report(
        &mut self,
        order: &Order,
        exec_type: ExecType,
        ids: (ClOrdId, ClOrdId),
        last: Option<(Price, u32)>,
    ) {
        let Some(index) = seat_of(order.owner) else { return };
        let account = self.ledger.update(order).map_or(AccountId(0), |entry| entry.account);
        let exec_id = self.take_exec_id();
        let (cl_ord_id, orig_cl_ord_id) = ids;
        let seat = &mut self.seats[index];
        let report = ExecutionReport {
            session_id: seat.session.id(),
            msg_seq_num: SeqNum(0),
            order_id: OrderId(order.order_id),
            cl_ord_id,
            orig_cl_ord_id,
            exec_id,
            transact_time: self.utc,
            price: order.price,
            last_px: last.map(|(price, _)| price),
            order_qty: order.order_qty,
            last_qty: last.map_or(0, |(_, qty)| qty),
            cum_qty: order.cum_qty,
            leaves_qty: order.leaves_qty,
            security_id: order.security_id,
            account,
            ord_rej_reason: 0,
            deny_reason: 0,
            exec_type,
            ord_status: order.status,
            side: order.side,
        };
        seat.push(report.into());
    }

    #[cold]
    fn reject(&mut self, new: &NewOrder, account: AccountId, reason: VenueReject) {
        let Some(index) = seat_of(new.owner) else { return };
        self.telemetry.reject_count.increment();
        let exec_id = self.take_exec_id();
        let seat = &mut self.seats[index];
        let report = ExecutionReport {
            session_id: seat.session.id(),
            msg_seq_num: SeqNum(0),
            order_id: OrderId(0),
            cl_ord_id: new.client_id,
            orig_cl_ord_id: ClOrdId(0),
            exec_id,
            transact_time: self.utc,
            price: new.price,
            last_px: None,
            order_qty: new.qty,
            last_qty: 0,
            cum_qty: 0,
            leaves_qty: 0,
            security_id: new.security_id,
            account,
            ord_rej_reason: reason.code(),
            deny_reason: 0,
            exec_type: ExecType::Rejected,
            ord_status: OrdStatus::Rejected,
            side: new.side,
        };
        seat.push(report.into());
    }

    fn party(&self, order: &Order) -> LedgerParty {
        LedgerParty {
            session: self.session_of(order.owner),
            cl_ord_id: order.entry_id,
            side: order.side,
        }
    }

    #[inline]
    fn on_trade(&mut self, resting: &Order, aggressor: &Order, fill: (Price, u32, u64)) {
        let (price, qty, match_number) = fill;
        if resting.owner == BACKGROUND && aggressor.owner == BACKGROUND {
            return;
        }
        self.telemetry.trade_count.increment();
        let (resting_party, aggressor_party) = (self.party(resting), self.party(aggressor));
        self.ledger.fill(LedgerFill {
            match_number,
            security_id: resting.security_id,
            price,
            qty,
            resting: resting_party,
            aggressor: aggressor_party,
        });
        for order in [resting, aggressor] {
            let ids = (order.client_id, ClOrdId(0));
            self.report(order, ExecType::Trade, ids, Some((price, qty)));
        }
    }

    #[cold]
    fn on_cancel_rejected(
        &mut self,
        owner: OwnerId,
        ids: (ClOrdId, ClOrdId),
        response_to: CancelRejectTo,
        order: Option<&Order>,
        reason: VenueReject,
    ) {
        let Some(index) = seat_of(owner) else { return };
        self.telemetry.reject_count.increment();
        let (cl_ord_id, orig_cl_ord_id) = ids;
        let seat = &mut self.seats[index];
        let report = OrderCancelReject {
            session_id: seat.session.id(),
            msg_seq_num: SeqNum(0),
            order_id: OrderId(order.map_or(0, |order| order.order_id)),
            cl_ord_id,
            orig_cl_ord_id,
            transact_time: self.utc,
            cxl_rej_reason: reason.code(),
            deny_reason: 0,
            // FIX: the status for an order that is not known is Rejected.
            ord_status: order.map_or(OrdStatus::Rejected, |order| order.status),
            cxl_rej_response_to: response_to,
        };
        seat.push(report.into());
    }
}

impl<O: Outbound, K: PacketSink> EventSink for Desk<O, K> {
    #[inline]
    fn on_report(&mut self, report: &Report) {
        const NONE: ClOrdId = ClOrdId(0);
        match report {
            Report::Accepted(order) => {
                self.report(order, ExecType::New, (order.client_id, NONE), None);
            }
            Report::Trade { resting, aggressor, price, qty, match_number } => {
                self.on_trade(resting, aggressor, (*price, *qty, *match_number));
            }
            Report::Canceled(order, cause) => {
                let ids = match *cause {
                    CancelCause::Request(client_id) => (client_id, order.client_id),
                    CancelCause::Mass | CancelCause::Disconnect => (order.client_id, NONE),
                };
                if order.owner != BACKGROUND {
                    self.telemetry.cancel_count.increment();
                }
                self.report(order, ExecType::Canceled, ids, None);
            }
            Report::Replaced { order, orig_client_id, .. } => {
                self.report(order, ExecType::Replaced, (order.client_id, *orig_client_id), None);
            }
            Report::Expired(order) => {
                self.report(order, ExecType::Expired, (order.client_id, NONE), None);
            }
            Report::Rejected(new, reason) => {
                let entry = self.ledger.reject(new.tag, reason.code());
                let account = entry.map_or(AccountId(0), |entry| entry.account);
                self.reject(new, account, *reason);
            }
            Report::CancelRejected { owner, client_id, orig_client_id, replace, order, reason } => {
                let to = if *replace { CancelRejectTo::Replace } else { CancelRejectTo::Cancel };
                let ids = (*client_id, *orig_client_id);
                self.on_cancel_rejected(*owner, ids, to, order.as_ref(), *reason);
            }
        }
    }

    #[inline]
    fn on_book(&mut self, event: &BookEvent) {
        let message = ItchMessage::of_event_in(event, |i| &self.instruments[usize::from(i)]);
        self.publish(&message);
    }
}
