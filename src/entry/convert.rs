//! Between order-entry messages and what travels in the rings: field by field, nothing decided.

use crate::codec::journal::{
    CancelRejectReport, CancelRequest, MassCancelReport, MassCancelRequest, OrderReport,
    OrderRequest, ReplaceRequest,
};
use crate::codec::order_entry::{
    ExecutionReport, NewOrderSingle, OrderCancelReject, OrderCancelReplaceRequest,
    OrderCancelRequest, OrderMassActionReport, OrderMassActionRequest,
};
use crate::types::{Nanos, SeqNum, SessionId, UtcNanos};

#[inline]
pub(super) fn new_order(
    session: SessionId,
    m: &NewOrderSingle,
    ingress: Nanos,
    sent: u32,
) -> OrderRequest {
    OrderRequest {
        cl_ord_id: m.cl_ord_id,
        ingress_time: ingress,
        price: m.price,
        session_id: session,
        order_qty: m.order_qty,
        security_id: m.security_id,
        account: m.account,
        sent_delta: sent,
        side: m.side,
        ord_type: m.ord_type,
        time_in_force: m.time_in_force,
    }
}

#[inline]
pub(super) fn cancel(
    session: SessionId,
    m: &OrderCancelRequest,
    ingress: Nanos,
    sent: u32,
) -> CancelRequest {
    CancelRequest {
        cl_ord_id: m.cl_ord_id,
        orig_cl_ord_id: m.orig_cl_ord_id,
        ingress_time: ingress,
        session_id: session,
        sent_delta: sent,
    }
}

#[inline]
pub(super) fn replace(
    session: SessionId,
    m: &OrderCancelReplaceRequest,
    ingress: Nanos,
    sent: u32,
) -> ReplaceRequest {
    ReplaceRequest {
        cl_ord_id: m.cl_ord_id,
        orig_cl_ord_id: m.orig_cl_ord_id,
        ingress_time: ingress,
        price: m.price,
        session_id: session,
        order_qty: m.order_qty,
        sent_delta: sent,
    }
}

pub(super) fn mass_cancel(
    session: SessionId,
    m: &OrderMassActionRequest,
    ingress: Nanos,
    sent: u32,
) -> MassCancelRequest {
    MassCancelRequest {
        cl_ord_id: m.cl_ord_id,
        ingress_time: ingress,
        session_id: session,
        security_id: m.security_id,
        sent_delta: sent,
        mass_scope: m.mass_action_scope,
    }
}

#[inline]
pub(super) fn execution(m: &OrderReport, utc: UtcNanos) -> ExecutionReport {
    ExecutionReport {
        session_id: m.session_id,
        msg_seq_num: SeqNum(0),
        order_id: m.order_id,
        cl_ord_id: m.cl_ord_id,
        orig_cl_ord_id: m.orig_cl_ord_id,
        exec_id: m.exec_id,
        transact_time: utc,
        price: m.price,
        last_px: m.last_px,
        order_qty: m.order_qty,
        last_qty: m.last_qty,
        cum_qty: m.cum_qty,
        leaves_qty: m.leaves_qty,
        security_id: m.security_id,
        account: m.account,
        ord_rej_reason: m.ord_rej_reason,
        deny_reason: m.deny_reason,
        exec_type: m.exec_type,
        ord_status: m.ord_status,
        side: m.side,
    }
}

pub(super) fn cancel_reject(m: &CancelRejectReport, utc: UtcNanos) -> OrderCancelReject {
    OrderCancelReject {
        session_id: m.session_id,
        msg_seq_num: SeqNum(0),
        order_id: m.order_id,
        cl_ord_id: m.cl_ord_id,
        orig_cl_ord_id: m.orig_cl_ord_id,
        transact_time: utc,
        cxl_rej_reason: m.cxl_rej_reason,
        deny_reason: m.deny_reason,
        ord_status: m.ord_status,
        cxl_rej_response_to: m.cxl_rej_response_to,
    }
}

/// A mass action report, to be numbered.
pub(super) fn mass_action(m: &MassCancelReport, utc: UtcNanos) -> OrderMassActionReport {
    OrderMassActionReport {
        session_id: m.session_id,
        msg_seq_num: SeqNum(0),
        cl_ord_id: m.cl_ord_id,
        transact_time: utc,
        total_affected_orders: m.total_affected_orders,
    }
}
