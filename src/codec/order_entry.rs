//! Order entry and its session layer (`sbe-schemas/order-entry.xml`).

use crate::codec::message::messages;
use crate::types::{
    AccountId, CancelRejectTo, ClOrdId, EstablishmentRejectCode, ExecId, ExecType, FlowType,
    InstrumentId, MassScope, NegotiationRejectCode, OrdStatus, OrdType, OrderId, Price,
    RetransmitRejectCode, SeqNum, SessionId, Side, TerminationCode, TimeInForce, UtcNanos,
};

messages! {
    schema order_entry;
    /// Any message of the schema.
    enum OrderEntry;

    /// FIXP: initiates a session.
    Negotiate = negotiate_codec::NegotiateEncoder / NegotiateDecoder {
        /// The session.
        session_id: SessionId,
        /// What the client promises.
        client_flow: FlowType,
        /// Version of the negotiation.
        session_ver_id: u64,
        /// When it was asked; identifies the request.
        timestamp: UtcNanos,
        ;
        /// HMAC-SHA256 with the session's key.
        credentials: [u8; 32],
    }
    /// FIXP: accepts a session.
    NegotiationResponse = negotiation_response_codec::NegotiationResponseEncoder / NegotiationResponseDecoder {
        /// The session.
        session_id: SessionId,
        /// What the server promises.
        server_flow: FlowType,
        /// Version of the negotiation.
        session_ver_id: u64,
        /// Timestamp of the request answered.
        request_timestamp: UtcNanos,
    }
    /// FIXP: refuses a session.
    NegotiationReject = negotiation_reject_codec::NegotiationRejectEncoder / NegotiationRejectDecoder {
        /// The session.
        session_id: SessionId,
        /// Why.
        code: NegotiationRejectCode,
        /// Version of the negotiation.
        session_ver_id: u64,
        /// Timestamp of the request answered.
        request_timestamp: UtcNanos,
    }
    /// FIXP: binds a negotiated session to this transport.
    Establish = establish_codec::EstablishEncoder / EstablishDecoder {
        /// The session.
        session_id: SessionId,
        /// Longest silence to expect, in milliseconds.
        keepalive_interval: u32,
        /// Version of the negotiation.
        session_ver_id: u64,
        /// When it was asked; identifies the request.
        timestamp: UtcNanos,
        /// Next number to be sent.
        next_seq_no: SeqNum,
        ;
        /// HMAC-SHA256 with the session's key.
        credentials: [u8; 32],
    }
    /// FIXP: accepts the binding.
    EstablishmentAck = establishment_ack_codec::EstablishmentAckEncoder / EstablishmentAckDecoder {
        /// The session.
        session_id: SessionId,
        /// Longest silence to expect, in milliseconds.
        keepalive_interval: u32,
        /// Version of the negotiation.
        session_ver_id: u64,
        /// Timestamp of the request answered.
        request_timestamp: UtcNanos,
        /// Next number to be sent.
        next_seq_no: SeqNum,
        /// Next number expected.
        expected_seq_no: SeqNum,
        /// Largest ClOrdID used so far; 0 is none.
        last_cl_ord_id: ClOrdId,
    }
    /// FIXP: refuses the binding.
    EstablishmentReject = establishment_reject_codec::EstablishmentRejectEncoder / EstablishmentRejectDecoder {
        /// The session.
        session_id: SessionId,
        /// Why.
        code: EstablishmentRejectCode,
        /// Version of the negotiation.
        session_ver_id: u64,
        /// Timestamp of the request answered.
        request_timestamp: UtcNanos,
    }
    /// FIXP: keepalive, and the next number to expect.
    Sequence = sequence_codec::SequenceEncoder / SequenceDecoder {
        /// The session.
        session_id: SessionId,
        /// Next number to be sent.
        next_seq_no: SeqNum,
    }
    /// FIXP: these messages of an idempotent flow were not received and will not be applied.
    NotApplied = not_applied_codec::NotAppliedEncoder / NotAppliedDecoder {
        /// The session.
        session_id: SessionId,
        /// First of them.
        from_seq_no: SeqNum,
        /// How many.
        count: u32,
    }
    /// FIXP: asks for messages of a recoverable flow again.
    RetransmitRequest = retransmit_request_codec::RetransmitRequestEncoder / RetransmitRequestDecoder {
        /// The session.
        session_id: SessionId,
        /// First of them.
        from_seq_no: SeqNum,
        /// When it was asked; identifies the request.
        timestamp: UtcNanos,
        /// How many.
        count: u32,
    }
    /// FIXP: the messages that follow are sent again.
    Retransmission = retransmission_codec::RetransmissionEncoder / RetransmissionDecoder {
        /// The session.
        session_id: SessionId,
        /// Next number to be sent.
        next_seq_no: SeqNum,
        /// Timestamp of the request answered.
        request_timestamp: UtcNanos,
        /// How many.
        count: u32,
    }
    /// FIXP: refuses a RetransmitRequest.
    RetransmitReject = retransmit_reject_codec::RetransmitRejectEncoder / RetransmitRejectDecoder {
        /// The session.
        session_id: SessionId,
        /// Why.
        code: RetransmitRejectCode,
        /// Timestamp of the request answered.
        request_timestamp: UtcNanos,
    }
    /// FIXP: unbinds the transport.
    Terminate = terminate_codec::TerminateEncoder / TerminateDecoder {
        /// The session.
        session_id: SessionId,
        /// Why.
        code: TerminationCode,
        /// Version of the negotiation.
        session_ver_id: u64,
    }
    /// FIX `NewOrderSingle` (MsgType D).
    NewOrderSingle = new_order_single_codec::NewOrderSingleEncoder / NewOrderSingleDecoder {
        /// The session.
        session_id: SessionId,
        /// Place in the session (FIX tag 34).
        msg_seq_num: SeqNum,
        /// The client's identifier of this request (tag 11).
        cl_ord_id: ClOrdId,
        /// When the client sent it (tag 52).
        sending_time: UtcNanos,
        /// Limit price (tag 44).
        price: Option<Price>,
        /// Quantity of the whole order (tag 38).
        order_qty: u32,
        /// Instrument (tag 48).
        security_id: InstrumentId,
        /// Account (tag 1).
        account: AccountId,
        /// Side (tag 54).
        side: Side,
        /// Order type (tag 40).
        ord_type: OrdType,
        /// How long it stands (tag 59).
        time_in_force: TimeInForce,
    }
    /// FIX `OrderCancelRequest` (MsgType F).
    OrderCancelRequest = order_cancel_request_codec::OrderCancelRequestEncoder / OrderCancelRequestDecoder {
        /// The session.
        session_id: SessionId,
        /// Place in the session (FIX tag 34).
        msg_seq_num: SeqNum,
        /// The client's identifier of this request (tag 11).
        cl_ord_id: ClOrdId,
        /// When the client sent it (tag 52).
        sending_time: UtcNanos,
        /// The client's identifier of the order it is about (tag 41); 0 is none.
        orig_cl_ord_id: ClOrdId,
    }
    /// FIX `OrderCancelReplaceRequest` (MsgType G).
    OrderCancelReplaceRequest = order_cancel_replace_request_codec::OrderCancelReplaceRequestEncoder / OrderCancelReplaceRequestDecoder {
        /// The session.
        session_id: SessionId,
        /// Place in the session (FIX tag 34).
        msg_seq_num: SeqNum,
        /// The client's identifier of this request (tag 11).
        cl_ord_id: ClOrdId,
        /// When the client sent it (tag 52).
        sending_time: UtcNanos,
        /// The client's identifier of the order it is about (tag 41); 0 is none.
        orig_cl_ord_id: ClOrdId,
        /// Limit price (tag 44).
        price: Price,
        /// Quantity of the whole order (tag 38).
        order_qty: u32,
    }
    /// Cancels all orders in its scope.
    OrderMassActionRequest = order_mass_action_request_codec::OrderMassActionRequestEncoder / OrderMassActionRequestDecoder {
        /// The session.
        session_id: SessionId,
        /// Place in the session (FIX tag 34).
        msg_seq_num: SeqNum,
        /// The client's identifier of this request (tag 11).
        cl_ord_id: ClOrdId,
        /// When the client sent it (tag 52).
        sending_time: UtcNanos,
        /// Instrument (tag 48).
        security_id: InstrumentId,
        /// What is cancelled.
        mass_action_scope: MassScope,
    }
    /// FIX `ExecutionReport` (MsgType 8).
    ExecutionReport = execution_report_codec::ExecutionReportEncoder / ExecutionReportDecoder {
        /// The session.
        session_id: SessionId,
        /// Place in the session (FIX tag 34).
        msg_seq_num: SeqNum,
        /// The gateway's identifier (tag 37); 0 is none.
        order_id: OrderId,
        /// The client's identifier of this request (tag 11).
        cl_ord_id: ClOrdId,
        /// The client's identifier of the order it is about (tag 41); 0 is none.
        orig_cl_ord_id: ClOrdId,
        /// Identifier of the execution (tag 17).
        exec_id: ExecId,
        /// When it happened (tag 60).
        transact_time: UtcNanos,
        /// Limit price (tag 44).
        price: Option<Price>,
        /// Price of this trade (tag 31).
        last_px: Option<Price>,
        /// Quantity of the whole order (tag 38).
        order_qty: u32,
        /// Quantity of this trade (tag 32); 0 is none.
        last_qty: u32,
        /// Quantity traded so far (tag 14).
        cum_qty: u32,
        /// Quantity still open (tag 151).
        leaves_qty: u32,
        /// Instrument (tag 48).
        security_id: InstrumentId,
        /// Account (tag 1).
        account: AccountId,
        /// The venue's reason (tag 103); 0 is none.
        ord_rej_reason: u16,
        /// The gateway's own reason; 0 is none.
        deny_reason: u16,
        /// What is reported (tag 150).
        exec_type: ExecType,
        /// State of the order (tag 39).
        ord_status: OrdStatus,
        /// Side (tag 54).
        side: Side,
    }
    /// FIX `OrderCancelReject` (MsgType 9).
    OrderCancelReject = order_cancel_reject_codec::OrderCancelRejectEncoder / OrderCancelRejectDecoder {
        /// The session.
        session_id: SessionId,
        /// Place in the session (FIX tag 34).
        msg_seq_num: SeqNum,
        /// The gateway's identifier (tag 37); 0 is none.
        order_id: OrderId,
        /// The client's identifier of this request (tag 11).
        cl_ord_id: ClOrdId,
        /// The client's identifier of the order it is about (tag 41); 0 is none.
        orig_cl_ord_id: ClOrdId,
        /// When it happened (tag 60).
        transact_time: UtcNanos,
        /// The venue's reason (tag 102); 0 is none.
        cxl_rej_reason: u16,
        /// The gateway's own reason; 0 is none.
        deny_reason: u16,
        /// State of the order (tag 39).
        ord_status: OrdStatus,
        /// What is answered (tag 434).
        cxl_rej_response_to: CancelRejectTo,
    }
    /// A message that could not be understood or taken.
    BusinessMessageReject = business_message_reject_codec::BusinessMessageRejectEncoder / BusinessMessageRejectDecoder {
        /// The session.
        session_id: SessionId,
        /// Place in the session (FIX tag 34).
        msg_seq_num: SeqNum,
        /// Number of the message refused (tag 45).
        ref_seq_num: SeqNum,
        /// Template of the message refused.
        ref_template_id: u16,
        /// Why (tag 380).
        business_reject_reason: u16,
    }
    /// FIX `OrderMassActionReport` (MsgType BZ).
    OrderMassActionReport = order_mass_action_report_codec::OrderMassActionReportEncoder / OrderMassActionReportDecoder {
        /// The session.
        session_id: SessionId,
        /// Place in the session (FIX tag 34).
        msg_seq_num: SeqNum,
        /// The client's identifier of this request (tag 11).
        cl_ord_id: ClOrdId,
        /// When it happened (tag 60).
        transact_time: UtcNanos,
        /// Orders for which a cancel was sent (tag 533).
        total_affected_orders: u32,
    }
}
