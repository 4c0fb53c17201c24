//! What travels in the rings and is journalled (`sbe-schemas/journal.xml`).

use crate::codec::message::messages;
use crate::types::{
    AccountId, CancelRejectTo, ChannelId, ClOrdId, ExecId, ExecType, FeedState, InstrumentId,
    KillAction, KillScope, LinkState, MassScope, Nanos, OrdStatus, OrdType, OrderId, Price,
    RequestKind, SessionId, Side, TimeInForce, UtcNanos, VenueId,
};

messages! {
    schema journal;
    /// Any message of the schema.
    enum Journal;

    /// A new order.
    OrderRequest = order_request_codec::OrderRequestEncoder / OrderRequestDecoder {
        /// The client's identifier of this request (tag 11).
        cl_ord_id: ClOrdId,
        /// When what caused this was read from the transport.
        ingress_time: Nanos,
        /// Limit price (tag 44).
        price: Option<Price>,
        /// The session.
        session_id: SessionId,
        /// Quantity of the whole order (tag 38).
        order_qty: u32,
        /// Instrument (tag 48).
        security_id: InstrumentId,
        /// Account (tag 1).
        account: AccountId,
        /// Nanoseconds from `ingress_time` to when this was put into the ring, saturating.
        sent_delta: u32,
        /// Side (tag 54).
        side: Side,
        /// Order type (tag 40).
        ord_type: OrdType,
        /// How long it stands (tag 59).
        time_in_force: TimeInForce,
    }
    /// A cancel.
    CancelRequest = cancel_request_codec::CancelRequestEncoder / CancelRequestDecoder {
        /// The client's identifier of this request (tag 11).
        cl_ord_id: ClOrdId,
        /// The client's identifier of the order it is about (tag 41); 0 is none.
        orig_cl_ord_id: ClOrdId,
        /// When what caused this was read from the transport.
        ingress_time: Nanos,
        /// The session.
        session_id: SessionId,
        /// Nanoseconds from `ingress_time` to when this was put into the ring, saturating.
        sent_delta: u32,
    }
    /// A replace.
    ReplaceRequest = replace_request_codec::ReplaceRequestEncoder / ReplaceRequestDecoder {
        /// The client's identifier of this request (tag 11).
        cl_ord_id: ClOrdId,
        /// The client's identifier of the order it is about (tag 41); 0 is none.
        orig_cl_ord_id: ClOrdId,
        /// When what caused this was read from the transport.
        ingress_time: Nanos,
        /// Limit price (tag 44).
        price: Price,
        /// The session.
        session_id: SessionId,
        /// Quantity of the whole order (tag 38).
        order_qty: u32,
        /// Nanoseconds from `ingress_time` to when this was put into the ring, saturating.
        sent_delta: u32,
    }
    /// A mass cancel.
    MassCancelRequest = mass_cancel_request_codec::MassCancelRequestEncoder / MassCancelRequestDecoder {
        /// The client's identifier of this request (tag 11).
        cl_ord_id: ClOrdId,
        /// When what caused this was read from the transport.
        ingress_time: Nanos,
        /// The session.
        session_id: SessionId,
        /// Instrument (tag 48).
        security_id: InstrumentId,
        /// Nanoseconds from `ingress_time` to when this was put into the ring, saturating.
        sent_delta: u32,
        /// What is cancelled.
        mass_scope: MassScope,
    }
    /// A strategy's session came up or went down; down cancels its orders.
    SessionLink = session_link_codec::SessionLinkEncoder / SessionLinkDecoder {
        /// The session.
        session_id: SessionId,
        /// Up or down.
        link_state: LinkState,
    }
    /// An order that passed every check.
    ApprovedOrder = approved_order_codec::ApprovedOrderEncoder / ApprovedOrderDecoder {
        /// The gateway's identifier (tag 37); 0 is none.
        order_id: OrderId,
        /// When what caused this was read from the transport.
        ingress_time: Nanos,
        /// Limit price (tag 44).
        price: Option<Price>,
        /// Quantity of the whole order (tag 38).
        order_qty: u32,
        /// Instrument (tag 48).
        security_id: InstrumentId,
        /// Account (tag 1).
        account: AccountId,
        /// The session, for the router's last look at the kill switch.
        session_id: SessionId,
        /// Nanoseconds from `ingress_time` to when this was put into the ring, saturating.
        sent_delta: u32,
        /// Side (tag 54).
        side: Side,
        /// Order type (tag 40).
        ord_type: OrdType,
        /// How long it stands (tag 59).
        time_in_force: TimeInForce,
    }
    /// A cancel on its way to the venue.
    ApprovedCancel = approved_cancel_codec::ApprovedCancelEncoder / ApprovedCancelDecoder {
        /// The gateway's identifier (tag 37); 0 is none.
        order_id: OrderId,
        /// When what caused this was read from the transport.
        ingress_time: Nanos,
        /// Instrument (tag 48): leads to the venue where the router does not know the order.
        security_id: InstrumentId,
        /// Nanoseconds from `ingress_time` to when this was put into the ring, saturating.
        sent_delta: u32,
    }
    /// A replace that passed every check.
    ApprovedReplace = approved_replace_codec::ApprovedReplaceEncoder / ApprovedReplaceDecoder {
        /// The gateway's identifier (tag 37); 0 is none.
        order_id: OrderId,
        /// When what caused this was read from the transport.
        ingress_time: Nanos,
        /// Limit price (tag 44).
        price: Price,
        /// Quantity of the whole order (tag 38).
        order_qty: u32,
        /// Nanoseconds from `ingress_time` to when this was put into the ring, saturating.
        sent_delta: u32,
    }
    /// The latch as risk holds it, for the router's last look.
    KillNotice = kill_notice_codec::KillNoticeEncoder / KillNoticeDecoder {
        /// Which one, in its scope.
        id: u32,
        /// What is stopped.
        kill_scope: KillScope,
        /// What to do.
        kill_action: KillAction,
    }
    /// A venue's execution report.
    VenueExecution = venue_execution_codec::VenueExecutionEncoder / VenueExecutionDecoder {
        /// The gateway's identifier (tag 37); 0 is none.
        order_id: OrderId,
        /// Identifier of the execution (tag 17).
        exec_id: ExecId,
        /// When what caused this was read from the transport.
        ingress_time: Nanos,
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
        /// Nanoseconds from `ingress_time` to when this was put into the ring, saturating.
        sent_delta: u32,
        /// The venue's reason (tag 103); 0 is none.
        ord_rej_reason: u16,
        /// What is reported (tag 150).
        exec_type: ExecType,
        /// State of the order (tag 39).
        ord_status: OrdStatus,
    }
    /// A venue's refusal of a cancel or replace.
    VenueCancelReject = venue_cancel_reject_codec::VenueCancelRejectEncoder / VenueCancelRejectDecoder {
        /// The gateway's identifier (tag 37); 0 is none.
        order_id: OrderId,
        /// When what caused this was read from the transport.
        ingress_time: Nanos,
        /// Nanoseconds from `ingress_time` to when this was put into the ring, saturating.
        sent_delta: u32,
        /// The venue's reason (tag 102); 0 is none.
        cxl_rej_reason: u16,
        /// State of the order (tag 39).
        ord_status: OrdStatus,
        /// What is answered (tag 434).
        cxl_rej_response_to: CancelRejectTo,
    }
    /// The venue's session came up or went down.
    VenueLink = venue_link_codec::VenueLinkEncoder / VenueLinkDecoder {
        /// The venue.
        venue_id: VenueId,
        /// Up or down.
        link_state: LinkState,
    }
    /// An approved request that did not leave; the reservation it made is released.
    RouterRefusal = router_refusal_codec::RouterRefusalEncoder / RouterRefusalDecoder {
        /// The gateway's identifier (tag 37); 0 is none.
        order_id: OrderId,
        /// When what caused this was read from the transport.
        ingress_time: Nanos,
        /// Nanoseconds from `ingress_time` to when this was put into the ring, saturating.
        sent_delta: u32,
        /// The gateway's own reason; 0 is none.
        deny_reason: u16,
        /// What was asked for.
        decision_kind: RequestKind,
    }
    /// An execution report for a strategy, less its session numbering.
    OrderReport = order_report_codec::OrderReportEncoder / OrderReportDecoder {
        /// The gateway's identifier (tag 37); 0 is none.
        order_id: OrderId,
        /// The client's identifier of this request (tag 11).
        cl_ord_id: ClOrdId,
        /// The client's identifier of the order it is about (tag 41); 0 is none.
        orig_cl_ord_id: ClOrdId,
        /// Identifier of the execution (tag 17).
        exec_id: ExecId,
        /// When what caused this was read from the transport.
        ingress_time: Nanos,
        /// Limit price (tag 44).
        price: Option<Price>,
        /// Price of this trade (tag 31).
        last_px: Option<Price>,
        /// The session.
        session_id: SessionId,
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
        /// Nanoseconds from `ingress_time` to when this was put into the ring, saturating.
        sent_delta: u32,
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
    /// A cancel reject for a strategy.
    CancelRejectReport = cancel_reject_report_codec::CancelRejectReportEncoder / CancelRejectReportDecoder {
        /// The gateway's identifier (tag 37); 0 is none.
        order_id: OrderId,
        /// The client's identifier of this request (tag 11).
        cl_ord_id: ClOrdId,
        /// The client's identifier of the order it is about (tag 41); 0 is none.
        orig_cl_ord_id: ClOrdId,
        /// When what caused this was read from the transport.
        ingress_time: Nanos,
        /// The session.
        session_id: SessionId,
        /// Nanoseconds from `ingress_time` to when this was put into the ring, saturating.
        sent_delta: u32,
        /// The venue's reason (tag 102); 0 is none.
        cxl_rej_reason: u16,
        /// The gateway's own reason; 0 is none.
        deny_reason: u16,
        /// State of the order (tag 39).
        ord_status: OrdStatus,
        /// What is answered (tag 434).
        cxl_rej_response_to: CancelRejectTo,
    }
    /// The answer to a mass cancel.
    MassCancelReport = mass_cancel_report_codec::MassCancelReportEncoder / MassCancelReportDecoder {
        /// The client's identifier of this request (tag 11).
        cl_ord_id: ClOrdId,
        /// When what caused this was read from the transport.
        ingress_time: Nanos,
        /// The session.
        session_id: SessionId,
        /// Orders for which a cancel was sent (tag 533).
        total_affected_orders: u32,
        /// Nanoseconds from `ingress_time` to when this was put into the ring, saturating.
        sent_delta: u32,
    }
    /// Best bid and offer as risk may use it.
    ReferencePrice = reference_price_codec::ReferencePriceEncoder / ReferencePriceDecoder {
        /// Best bid (tag 132).
        bid_px: Option<Price>,
        /// Best offer (tag 133).
        offer_px: Option<Price>,
        /// When what caused this was read from the transport.
        ingress_time: Nanos,
        /// Instrument (tag 48).
        security_id: InstrumentId,
        /// Feed channel.
        channel_id: ChannelId,
    }
    /// A channel's state; repeated as a heartbeat while it is current.
    FeedStatus = feed_status_codec::FeedStatusEncoder / FeedStatusDecoder {
        /// When what caused this was read from the transport.
        ingress_time: Nanos,
        /// Feed channel.
        channel_id: ChannelId,
        /// Whether it can be relied on.
        feed_state: FeedState,
    }
    /// An operator's kill switch command.
    KillCommand = kill_command_codec::KillCommandEncoder / KillCommandDecoder {
        /// The command's number.
        command_id: u64,
        /// Which one, in its scope.
        id: u32,
        /// What is stopped.
        kill_scope: KillScope,
        /// What to do.
        kill_action: KillAction,
        ;
        /// Who.
        operator_name: [u8; 16],
        /// Why.
        reason: [u8; 48],
    }
    /// First record of every segment.
    SegmentStart = segment_start_codec::SegmentStartEncoder / SegmentStartDecoder {
        /// Place of the segment in the journal.
        segment_number: u64,
        /// Number of its first record.
        first_record: u64,
        /// When it was started.
        utc_time: UtcNanos,
        /// The same on the monotonic clock.
        monotonic_time: Nanos,
        ;
        /// SHA-256 of the limits, instruments, accounts and sessions in force.
        config_digest: [u8; 32],
    }
    /// What risk decided on the request recorded just before it.
    Decision = decision_codec::DecisionEncoder / DecisionDecoder {
        /// The gateway's identifier (tag 37); 0 is none.
        order_id: OrderId,
        /// The client's identifier of this request (tag 11).
        cl_ord_id: ClOrdId,
        /// Price the collar compared with.
        reference_px: Option<Price>,
        /// The limit that refused, in its check's unit.
        limit_value: Option<i64>,
        /// What was compared with it.
        value: Option<i64>,
        /// The session.
        session_id: SessionId,
        /// The gateway's own reason; 0 is none.
        deny_reason: u16,
        /// What was asked for.
        decision_kind: RequestKind,
    }
}
