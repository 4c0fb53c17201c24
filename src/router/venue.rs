//! A venue that speaks the order-entry schema over two streams: orders out, reports in.
//!
//! On this link `ClOrdID` and `OrigClOrdID` are the gateway's OrderID: one identity for the life of an order, which cancels
//! and replaces repeat.

use crate::codec::Message;
use crate::codec::journal::{ApprovedOrder, ApprovedReplace};
use crate::codec::order_entry::{
    NewOrderSingle, OrderCancelReplaceRequest, OrderCancelRequest, OrderEntry,
};
use crate::session::{ClientConfig, ClientSession};
use crate::transport::{OfferError, Outbound};
use crate::types::{ClOrdId, Nanos, OrderId, SeqNum, SessionId, UtcNanos, VenueId};

/// Bytes of the longest session message.
const CONTROL_BYTES_MAX: usize = 120;

/// One venue's session and order stream.
#[derive(Debug)]
pub(super) struct VenueLine<O> {
    pub(super) venue: VenueId,
    pub(super) session: ClientSession,
    orders: O,
    session_id: SessionId,
}

impl<O: Outbound> VenueLine<O> {
    pub(super) fn new(venue: VenueId, config: ClientConfig, orders: O) -> VenueLine<O> {
        let session_id = config.session;
        VenueLine { venue, session: ClientSession::new(config), orders, session_id }
    }

    /// Whether somebody reads the order stream.
    pub(super) fn is_connected(&self) -> bool {
        self.orders.is_connected()
    }

    #[inline]
    pub(super) fn send_order(
        &mut self,
        now: Nanos,
        utc: UtcNanos,
        order: &ApprovedOrder,
    ) -> Result<(), OfferError> {
        let message = NewOrderSingle {
            session_id: self.session_id,
            msg_seq_num: SeqNum(0),
            cl_ord_id: ClOrdId(order.order_id.0),
            sending_time: utc,
            price: order.price,
            order_qty: order.order_qty,
            security_id: order.security_id,
            account: order.account,
            side: order.side,
            ord_type: order.ord_type,
            time_in_force: order.time_in_force,
        };
        self.send(now, |number| NewOrderSingle { msg_seq_num: number, ..message })
    }

    #[inline]
    pub(super) fn send_cancel(
        &mut self,
        now: Nanos,
        utc: UtcNanos,
        order: OrderId,
    ) -> Result<(), OfferError> {
        let message = OrderCancelRequest {
            session_id: self.session_id,
            msg_seq_num: SeqNum(0),
            cl_ord_id: ClOrdId(order.0),
            sending_time: utc,
            orig_cl_ord_id: ClOrdId(order.0),
        };
        self.send(now, |number| OrderCancelRequest { msg_seq_num: number, ..message })
    }

    #[inline]
    pub(super) fn send_replace(
        &mut self,
        now: Nanos,
        utc: UtcNanos,
        replace: &ApprovedReplace,
    ) -> Result<(), OfferError> {
        let message = OrderCancelReplaceRequest {
            session_id: self.session_id,
            msg_seq_num: SeqNum(0),
            cl_ord_id: ClOrdId(replace.order_id.0),
            sending_time: utc,
            orig_cl_ord_id: ClOrdId(replace.order_id.0),
            price: replace.price,
            order_qty: replace.order_qty,
        };
        self.send(now, |number| OrderCancelReplaceRequest { msg_seq_num: number, ..message })
    }

    /// Sends a session message now or not at all: a lost one is repeated by the protocol.
    pub(super) fn send_control(&mut self, message: &OrderEntry) -> Result<(), OfferError> {
        let mut bytes = [0; CONTROL_BYTES_MAX];
        let length = message.encode(&mut bytes);
        self.orders.offer(length, |slot| slot.copy_from_slice(&bytes[..length]))
    }

    /// A number is taken only for a message that left: the claim comes first.
    #[inline]
    fn send<M: Message>(
        &mut self,
        now: Nanos,
        numbered: impl FnOnce(SeqNum) -> M,
    ) -> Result<(), OfferError> {
        let session = &mut self.session;
        let mut encode = Some(numbered);
        let mut attempt = |slot: &mut [u8]| {
            if let Some(numbered) = encode.take() {
                numbered(session.take_number(now)).encode(slot);
            }
        };
        match self.orders.offer(M::BYTES, &mut attempt) {
            // The stream was rotated under the first attempt: the second finds the new term.
            Err(OfferError::AdminAction) => self.orders.offer(M::BYTES, &mut attempt),
            other => other,
        }
    }
}
