//! The session layer between strategies, gateway and venues: FIXP 1.1 point-to-point on Aeron, as two pure state machines.
//!
//! A client negotiates (who am I, with proof), establishes (bind to this transport) and then sends numbered business
//! messages on an *idempotent* flow: what was lost is told in `NotApplied` and is not applied later. The server numbers
//! its reports on a *recoverable* flow: what was lost is asked for again with `RetransmitRequest`. `Sequence` is the
//! keepalive of both. Three intervals of silence end the session.
//!
//! Where FIXP leaves room, here is what was chosen: a session is named by its configured `SessionID`, and
//! `SessionVerID`, which must grow, tells its negotiations apart; business messages carry their `MsgSeqNum`, so that a
//! gap shows on the message itself; credentials are proven again on each `Establish`.
//!
//! This module must not send, receive, store messages or read a clock: it answers with what to send and what to do.

mod client;
mod credentials;
mod server;

pub use client::{ClientAction, ClientConfig, ClientResponse, ClientSession, ClientState};
pub use credentials::{ParseKeyError, SessionKey};
pub use server::{ServerAction, ServerConfig, ServerResponse, ServerSession, ServerState};

use crate::codec::order_entry::OrderEntry;
use crate::types::{SeqNum, SessionId};

/// Silent intervals after which a peer is taken for dead (FIXP 1.1, "Session Heartbeat").
pub const SILENT_INTERVALS: u64 = 3;

/// The session a message belongs to.
#[inline]
pub fn session_of(message: &OrderEntry) -> SessionId {
    match message {
        OrderEntry::Negotiate(m) => m.session_id,
        OrderEntry::NegotiationResponse(m) => m.session_id,
        OrderEntry::NegotiationReject(m) => m.session_id,
        OrderEntry::Establish(m) => m.session_id,
        OrderEntry::EstablishmentAck(m) => m.session_id,
        OrderEntry::EstablishmentReject(m) => m.session_id,
        OrderEntry::Sequence(m) => m.session_id,
        OrderEntry::NotApplied(m) => m.session_id,
        OrderEntry::RetransmitRequest(m) => m.session_id,
        OrderEntry::Retransmission(m) => m.session_id,
        OrderEntry::RetransmitReject(m) => m.session_id,
        OrderEntry::Terminate(m) => m.session_id,
        OrderEntry::NewOrderSingle(m) => m.session_id,
        OrderEntry::OrderCancelRequest(m) => m.session_id,
        OrderEntry::OrderCancelReplaceRequest(m) => m.session_id,
        OrderEntry::OrderMassActionRequest(m) => m.session_id,
        OrderEntry::ExecutionReport(m) => m.session_id,
        OrderEntry::OrderCancelReject(m) => m.session_id,
        OrderEntry::BusinessMessageReject(m) => m.session_id,
        OrderEntry::OrderMassActionReport(m) => m.session_id,
    }
}

/// The place of a business message in its session; `None` for a session message.
#[inline]
pub fn sequence_of(message: &OrderEntry) -> Option<SeqNum> {
    match message {
        OrderEntry::NewOrderSingle(m) => Some(m.msg_seq_num),
        OrderEntry::OrderCancelRequest(m) => Some(m.msg_seq_num),
        OrderEntry::OrderCancelReplaceRequest(m) => Some(m.msg_seq_num),
        OrderEntry::OrderMassActionRequest(m) => Some(m.msg_seq_num),
        OrderEntry::ExecutionReport(m) => Some(m.msg_seq_num),
        OrderEntry::OrderCancelReject(m) => Some(m.msg_seq_num),
        OrderEntry::BusinessMessageReject(m) => Some(m.msg_seq_num),
        OrderEntry::OrderMassActionReport(m) => Some(m.msg_seq_num),
        OrderEntry::Negotiate(_)
        | OrderEntry::NegotiationResponse(_)
        | OrderEntry::NegotiationReject(_)
        | OrderEntry::Establish(_)
        | OrderEntry::EstablishmentAck(_)
        | OrderEntry::EstablishmentReject(_)
        | OrderEntry::Sequence(_)
        | OrderEntry::NotApplied(_)
        | OrderEntry::RetransmitRequest(_)
        | OrderEntry::Retransmission(_)
        | OrderEntry::RetransmitReject(_)
        | OrderEntry::Terminate(_) => None,
    }
}

/// Whether a business message is one that clients send (an order, cancel, replace or mass cancel).
#[inline]
fn is_request(message: &OrderEntry) -> bool {
    matches!(
        message,
        OrderEntry::NewOrderSingle(_)
            | OrderEntry::OrderCancelRequest(_)
            | OrderEntry::OrderCancelReplaceRequest(_)
            | OrderEntry::OrderMassActionRequest(_)
    )
}

#[cfg(test)]
mod tests;
