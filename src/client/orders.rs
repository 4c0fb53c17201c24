//! A session with the gateway: orders out, reports in. The session layer's own messages are seen to here.

use std::fmt;

use crate::client::Handler;
use crate::codec::order_entry::{
    NewOrderSingle, OrderCancelReplaceRequest, OrderCancelRequest, OrderEntry,
};
use crate::session::{ClientAction, ClientConfig, ClientSession, ClientState, session_of};
use crate::transport::{Inbound, OfferError, Outbound, StreamEvent, TransportDown};
use crate::types::{
    AccountId, ClOrdId, EstablishmentRejectCode, InstrumentId, Nanos, NegotiationRejectCode,
    OrdType, Price, SeqNum, Side, TerminationCode, TimeInForce, UtcNanos,
};

/// Reports taken in one poll.
const MESSAGES_PER_POLL: usize = 64;
/// Longest message of the schema with room to spare.
const MESSAGE_BYTES_MAX: usize = 256;

/// What became of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEvent {
    /// Orders can be sent.
    Up {
        /// The largest ClOrdID the gateway has seen; the next is above it.
        last_cl_ord_id: ClOrdId,
    },
    /// It ended; the gateway cancels its orders unless configured not to. The next poll begins again.
    Down(TerminationCode),
    /// The gateway does not take this session. It is not asked again.
    NegotiationRefused(NegotiationRejectCode),
    /// The gateway does not bind this session. It is asked again after a while where that can help: it still holds an earlier
    /// binding, or has forgotten the session because it was started anew.
    EstablishmentRefused(EstablishmentRejectCode),
    /// Messages of ours that the gateway has not applied, and never will.
    NotApplied {
        /// The first.
        from: SeqNum,
        /// How many.
        count: u32,
    },
    /// Reports that are lost for good.
    Lost {
        /// The first.
        from: SeqNum,
        /// How many.
        count: u32,
    },
}

/// A new order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewOrder {
    /// What to trade.
    pub instrument: InstrumentId,
    /// For whom.
    pub account: AccountId,
    /// Which side.
    pub side: Side,
    /// How much.
    pub qty: u32,
    /// At which price or better; `None` at any.
    pub price: Option<Price>,
    /// How long it stands.
    pub time_in_force: TimeInForce,
}

/// Why a request was not sent. Nothing of it is left: the next request has its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The session is not up.
    NotEstablished,
    /// The stream did not take it.
    Refused(OfferError),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::NotEstablished => f.write_str("the session is not up"),
            SendError::Refused(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SendError {}

/// A session with the gateway. Allocates nothing after it was made.
#[derive(Debug)]
pub struct OrderSession<P, S> {
    side: Sending<P>,
    reports: S,
    undecoded: u64,
}

/// The half that sends.
#[derive(Debug)]
struct Sending<P> {
    session: ClientSession,
    orders: P,
    /// The largest ClOrdID that was used.
    cl_ord_id: ClOrdId,
    /// A message of the session layer for which there was no room.
    waiting: Option<OrderEntry>,
    /// How long to wait before a refused session is asked for again, in nanoseconds.
    retry_ns: u64,
    /// When that is.
    again: Option<Nanos>,
}

impl<P: Outbound, S: Inbound> OrderSession<P, S> {
    /// A session that sends to `orders` and reads `reports`. It is asked for in the first poll in which somebody reads
    /// `orders`.
    pub fn new(config: ClientConfig, orders: P, reports: S) -> OrderSession<P, S> {
        let side = Sending {
            retry_ns: config.retry_ns,
            again: None,
            session: ClientSession::new(config),
            orders,
            cl_ord_id: ClOrdId(0),
            waiting: None,
        };
        OrderSession { side, reports, undecoded: 0 }
    }

    /// How far the session is.
    pub fn state(&self) -> ClientState {
        self.side.session.state()
    }

    /// Whether orders can be sent.
    #[inline]
    pub fn is_established(&self) -> bool {
        self.side.session.is_established()
    }

    /// Messages that could not be decoded, or were for another session.
    pub const fn undecoded(&self) -> u64 {
        self.undecoded
    }

    /// Reads reports, keeps the session alive, and hands both to `handler`; returns how many messages came.
    ///
    /// # Errors
    /// [`TransportDown`] once a stream is closed.
    pub fn poll(
        &mut self,
        now: Nanos,
        utc: UtcNanos,
        handler: &mut impl Handler,
    ) -> Result<usize, TransportDown> {
        let OrderSession { side, reports, undecoded } = self;
        side.flush()?;
        let mut result = Ok(());
        let count = reports.poll(MESSAGES_PER_POLL, &mut |fragment| match OrderEntry::decode(
            fragment.bytes,
        ) {
            Ok(message) if session_of(&message) == side.session.id() => {
                result = result.and(side.on_message(now, utc, &message, handler));
            }
            Ok(_) | Err(_) => *undecoded += 1,
        })?;
        result?;
        while let Some(event) = reports.next_event() {
            if let StreamEvent::SourceDown(_) = event {
                let action = side.session.on_disconnect();
                side.tell(action, handler);
            }
        }
        side.on_time(now, utc, handler)?;
        Ok(count)
    }

    /// Sends a new order; its ClOrdID.
    ///
    /// # Errors
    /// A [`SendError`]: nothing was sent, and the same can be tried again.
    pub fn send_new(
        &mut self,
        now: Nanos,
        utc: UtcNanos,
        order: &NewOrder,
    ) -> Result<ClOrdId, SendError> {
        let NewOrder { instrument, account, side, qty, price, time_in_force } = *order;
        let session_id = self.side.session.id();
        self.side.request(now, |msg_seq_num, cl_ord_id| {
            NewOrderSingle {
                session_id,
                msg_seq_num,
                cl_ord_id,
                sending_time: utc,
                price,
                order_qty: qty,
                security_id: instrument,
                account,
                side,
                ord_type: if price.is_some() { OrdType::Limit } else { OrdType::Market },
                time_in_force,
            }
            .into()
        })
    }

    /// Asks to cancel the order `orig`; the ClOrdID of the request.
    ///
    /// # Errors
    /// As [`OrderSession::send_new`].
    pub fn cancel(
        &mut self,
        now: Nanos,
        utc: UtcNanos,
        orig: ClOrdId,
    ) -> Result<ClOrdId, SendError> {
        let session_id = self.side.session.id();
        self.side.request(now, |msg_seq_num, cl_ord_id| {
            OrderCancelRequest {
                session_id,
                msg_seq_num,
                cl_ord_id,
                sending_time: utc,
                orig_cl_ord_id: orig,
            }
            .into()
        })
    }

    /// Asks to replace price and quantity of the limit order `orig`; the ClOrdID that the order has then.
    ///
    /// # Errors
    /// As [`OrderSession::send_new`].
    pub fn replace(
        &mut self,
        now: Nanos,
        utc: UtcNanos,
        orig: ClOrdId,
        price: Price,
        qty: u32,
    ) -> Result<ClOrdId, SendError> {
        let session_id = self.side.session.id();
        self.side.request(now, |msg_seq_num, cl_ord_id| {
            OrderCancelReplaceRequest {
                session_id,
                msg_seq_num,
                cl_ord_id,
                sending_time: utc,
                orig_cl_ord_id: orig,
                price,
                order_qty: qty,
            }
            .into()
        })
    }

    /// Says goodbye; the session is idle then and begins again with the next poll.
    ///
    /// # Errors
    /// A [`SendError`] if there is no room for it: the gateway notices by the silence.
    pub fn terminate(&mut self) -> Result<(), SendError> {
        let goodbye = self.side.session.terminate(TerminationCode::Finished);
        self.side.offer(&goodbye).map_err(SendError::Refused)
    }
}

impl<P: Outbound> Sending<P> {
    fn on_message(
        &mut self,
        now: Nanos,
        utc: UtcNanos,
        message: &OrderEntry,
        handler: &mut impl Handler,
    ) -> Result<(), TransportDown> {
        let response = self.session.on_message(now, utc, message);
        self.reply(response.reply)?;
        if let ClientAction::EstablishmentRefused(
            EstablishmentRejectCode::AlreadyEstablished | EstablishmentRejectCode::Unnegotiated,
        ) = response.action
        {
            self.again = Some(now.plus(self.retry_ns));
        }
        if response.action == ClientAction::Apply {
            handler.on_report(message);
        } else {
            self.tell(response.action, handler);
        }
        Ok(())
    }

    fn on_time(
        &mut self,
        now: Nanos,
        utc: UtcNanos,
        handler: &mut impl Handler,
    ) -> Result<(), TransportDown> {
        let is_due = self.again.is_some_and(|again| now >= again);
        if self.session.state() == ClientState::Idle || is_due {
            self.again = None;
            if !self.orders.is_connected() {
                return Ok(());
            }
            let first = self.session.resume(now, utc);
            return self.reply(Some(first));
        }
        let response = self.session.on_time(now, utc);
        self.reply(response.reply)?;
        self.tell(response.action, handler);
        Ok(())
    }

    fn tell(&mut self, action: ClientAction, handler: &mut impl Handler) {
        match action {
            ClientAction::Up => {
                // ClOrdIDs only ever grow, also over sessions.
                self.cl_ord_id = self.cl_ord_id.max(self.session.server_cl_ord_id());
                handler.on_session(SessionEvent::Up { last_cl_ord_id: self.cl_ord_id });
            }
            ClientAction::Down(code) => handler.on_session(SessionEvent::Down(code)),
            ClientAction::NotApplied { from, count } => {
                handler.on_session(SessionEvent::NotApplied { from, count });
            }
            ClientAction::Lost { from, count } => {
                handler.on_session(SessionEvent::Lost { from, count });
            }
            ClientAction::NegotiationRefused(code) => {
                handler.on_session(SessionEvent::NegotiationRefused(code));
            }
            ClientAction::EstablishmentRefused(code) => {
                handler.on_session(SessionEvent::EstablishmentRefused(code));
            }
            ClientAction::None | ClientAction::Ignore | ClientAction::Apply => {}
        }
    }

    fn request(
        &mut self,
        now: Nanos,
        numbered: impl FnOnce(SeqNum, ClOrdId) -> OrderEntry,
    ) -> Result<ClOrdId, SendError> {
        if !self.session.is_established() {
            return Err(SendError::NotEstablished);
        }
        let cl_ord_id = ClOrdId(self.cl_ord_id.0 + 1);
        let message = numbered(self.session.next_number(), cl_ord_id);
        self.offer(&message).map_err(SendError::Refused)?;
        // Only now: a number that was taken and not sent would be a gap.
        self.session.take_number(now);
        self.cl_ord_id = cl_ord_id;
        Ok(cl_ord_id)
    }

    /// Sends a message of the session layer, or keeps it for the next poll. A newer one takes its place.
    fn reply(&mut self, message: Option<OrderEntry>) -> Result<(), TransportDown> {
        if message.is_some() {
            self.waiting = message;
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<(), TransportDown> {
        let Some(message) = self.waiting else { return Ok(()) };
        match self.offer(&message) {
            Ok(()) => self.waiting = None,
            Err(error) if error.is_retryable() => {}
            Err(_) => return Err(TransportDown),
        }
        Ok(())
    }

    fn offer(&mut self, message: &OrderEntry) -> Result<(), OfferError> {
        let mut bytes = [0; MESSAGE_BYTES_MAX];
        let length = message.encode(&mut bytes);
        loop {
            match self.orders.offer(length, |slot| slot.copy_from_slice(&bytes[..length])) {
                // The stream is being rotated: a few turns at most.
                Err(OfferError::AdminAction) => {}
                done => return done,
            }
        }
    }
}
