//! What comes back from venues: executions, cancel rejects, refusals of the router.
//!
//! The venue's word counts, even against our own account of an order: its cumulative quantity is the truth about what
//! traded, in whatever order its reports arrive, and a trade changes the position whatever the limits.

use crate::codec::journal::{
    CancelRejectReport, OrderReport, RouterRefusal, VenueCancelReject, VenueExecution,
};
use crate::risk::engine::{Effects, Engine};
use crate::types::{
    CancelRejectTo, ClOrdId, DenyReason, ExecId, ExecType, Nanos, OrdStatus, Price, RequestKind,
};

impl Engine {
    pub(super) fn venue_execution(
        &mut self,
        now: Nanos,
        execution: &VenueExecution,
        out: &mut impl Effects,
    ) {
        let Some(slot) = self.orders.by_id(execution.order_id) else {
            self.counts.executions_unknown += 1;
            return;
        };
        let order = self.orders.get_mut(slot);
        if execution.exec_id != ExecId(0) && execution.exec_id == order.last_exec_id {
            self.counts.executions_duplicate += 1;
            return;
        }
        order.last_exec_id = execution.exec_id;
        if !order.is_open() {
            self.counts.executions_late += 1;
        }
        match execution.exec_type {
            ExecType::New => self.accepted(now, slot, execution, out),
            ExecType::Trade => self.traded(now, slot, execution, out),
            ExecType::Replaced => self.replaced(now, slot, execution, out),
            ExecType::Canceled => self.ended(now, slot, execution, OrdStatus::Canceled, out),
            ExecType::Expired => self.ended(now, slot, execution, OrdStatus::Expired, out),
            ExecType::Rejected => self.ended(now, slot, execution, OrdStatus::Rejected, out),
        }
    }

    fn accepted(
        &mut self,
        now: Nanos,
        slot: u32,
        execution: &VenueExecution,
        out: &mut impl Effects,
    ) {
        let order = self.orders.get_mut(slot);
        if order.status != OrdStatus::PendingNew {
            // A trade overtook it, or it came twice.
            self.counts.executions_duplicate += u64::from(order.is_open());
            return;
        }
        order.status = OrdStatus::New;
        self.counts.executions += 1;
        self.report(now, slot, execution, ClOrdId(0), out);
    }

    fn traded(
        &mut self,
        now: Nanos,
        slot: u32,
        execution: &VenueExecution,
        out: &mut impl Effects,
    ) {
        let Some(traded) = self.fill(slot, execution) else {
            self.counts.executions_duplicate += 1;
            return;
        };
        if traded != execution.last_qty {
            self.counts.executions_gap += 1;
        }
        let order = self.orders.get_mut(slot);
        if order.is_open() {
            let is_done = execution.leaves_qty == 0 && order.cum >= order.qty;
            if execution.ord_status.is_final() || is_done {
                let status = if execution.ord_status.is_final() {
                    execution.ord_status
                } else {
                    OrdStatus::Filled
                };
                self.close(slot, status);
            } else {
                order.status = OrdStatus::PartiallyFilled;
            }
        }
        self.counts.executions += 1;
        self.report(now, slot, execution, ClOrdId(0), out);
    }

    fn replaced(
        &mut self,
        now: Nanos,
        slot: u32,
        execution: &VenueExecution,
        out: &mut impl Effects,
    ) {
        let order = self.orders.get_mut(slot);
        if !order.is_open() {
            return;
        }
        let replaced = order.cl_ord_id;
        let was_pending = order.is_replace_pending();
        if was_pending {
            order.qty = order.replace_qty;
            order.price = Some(order.replace_price).into();
        } else {
            // The venue changed the order by itself, as exchanges may.
            self.counts.answers_unexpected += 1;
        }
        let order = self.orders.get_mut(slot);
        if execution.order_qty != 0 {
            order.qty = execution.order_qty;
        }
        order.price = execution.price.or(order.price.get()).into();
        if order.status == OrdStatus::PendingNew {
            order.status = OrdStatus::New;
        }
        if was_pending {
            self.orders.end_replace(slot, true);
        }
        if self.fill(slot, execution).is_some() {
            self.counts.executions_gap += 1;
            let order = self.orders.get_mut(slot);
            order.status = OrdStatus::PartiallyFilled;
        }
        self.charge(slot);
        if execution.ord_status.is_final() {
            self.close(slot, execution.ord_status);
        }
        self.counts.executions += 1;
        let orig_cl_ord_id = if was_pending { replaced } else { ClOrdId(0) };
        self.report(now, slot, execution, orig_cl_ord_id, out);
    }

    fn ended(
        &mut self,
        now: Nanos,
        slot: u32,
        execution: &VenueExecution,
        status: OrdStatus,
        out: &mut impl Effects,
    ) {
        let told_more = self.fill(slot, execution).is_some();
        self.counts.executions_gap += u64::from(told_more);
        let order = self.orders.get(slot);
        let was_open = order.is_open();
        if !was_open && !told_more {
            return;
        }
        // FIX 4.4: a cancel that was asked for is reported under the ClOrdID of its request.
        let canceled = order.cl_ord_id;
        let is_asked = was_open
            && status == OrdStatus::Canceled
            && order.cancel_pending
            && order.cancel_cl_ord_id != ClOrdId(0);
        if was_open {
            self.close(slot, status);
        }
        self.counts.executions += 1;
        let mut report = self.report_of(now, slot, execution);
        if is_asked {
            report.cl_ord_id = self.orders.get(slot).cancel_cl_ord_id;
            report.orig_cl_ord_id = canceled;
        }
        out.report(report);
    }

    /// Moves the order to the venue's cumulative quantity; returns what traded since, `None` where nothing did.
    fn fill(&mut self, slot: u32, execution: &VenueExecution) -> Option<u32> {
        let order = self.orders.get_mut(slot);
        let traded = execution.cum_qty.checked_sub(order.cum).filter(|&qty| qty > 0)?;
        order.cum = execution.cum_qty;
        let released = traded.min(order.reserved);
        order.reserved -= released;
        let is_over = order.cum > order.qty_charged();
        let price = execution.last_px.or(order.price.get()).unwrap_or_default();
        let side = order.side;
        self.counts.overfills += u64::from(is_over);
        let place = self.orders.get(slot).exposure;
        let exposure = &mut self.tables.exposures[place];
        let multiplier = self.tables.instruments[exposure.instrument].multiplier;
        exposure.release(side, released);
        exposure.trade(side, traded);
        self.tables.traded[place].add(side, traded, price, multiplier);
        Some(traded)
    }

    /// Brings the reservation of an open order to what it may still trade.
    pub(super) fn charge(&mut self, slot: u32) {
        let order = self.orders.get_mut(slot);
        let due = order.qty_charged().saturating_sub(order.cum);
        let (old, side) = (order.reserved, order.side);
        order.reserved = due;
        let exposure = &mut self.tables.exposures[order.exposure];
        exposure.release(side, old);
        exposure.reserve(side, due);
    }

    /// Releases what an order reserves and closes it.
    fn close(&mut self, slot: u32, status: OrdStatus) {
        let order = self.orders.get_mut(slot);
        let (reserved, side) = (order.reserved, order.side);
        order.reserved = 0;
        self.tables.exposures[order.exposure].release(side, reserved);
        self.orders.close(slot, status);
    }

    pub(super) fn venue_cancel_reject(
        &mut self,
        now: Nanos,
        reject: &VenueCancelReject,
        out: &mut impl Effects,
    ) {
        let Some(slot) = self.orders.by_id(reject.order_id) else {
            self.counts.executions_unknown += 1;
            return;
        };
        let is_open = self.orders.get(slot).is_open();
        let request = self.answer_change(slot, reject.cxl_rej_response_to);
        // FIX 4.4, OrderCancelReject: OrdStatus Rejected is that of an order the venue does not know. Any other end is
        // reported by an execution of its own, before this or after it.
        if is_open
            && reject.cxl_rej_response_to == CancelRejectTo::Cancel
            && reject.ord_status == OrdStatus::Rejected
        {
            self.unknown_at_venue(now, slot, reject, request, out);
            return;
        }
        let Some((cl_ord_id, orig_cl_ord_id)) = request else { return };
        let order = self.orders.get(slot);
        out.cancel_reject(CancelRejectReport {
            order_id: order.id,
            cl_ord_id,
            orig_cl_ord_id,
            ingress_time: reject.ingress_time,
            session_id: self.tables.sessions[order.session].id,
            sent_delta: now.delta32(reject.ingress_time),
            cxl_rej_reason: reject.cxl_rej_reason,
            deny_reason: 0,
            ord_status: order.status,
            cxl_rej_response_to: reject.cxl_rej_response_to,
        });
    }

    /// The venue has no such order to cancel, so it is over. What traded of it unreported counts when it is told.
    fn unknown_at_venue(
        &mut self,
        now: Nanos,
        slot: u32,
        reject: &VenueCancelReject,
        request: Option<(ClOrdId, ClOrdId)>,
        out: &mut impl Effects,
    ) {
        self.close(slot, OrdStatus::Canceled);
        let mut report = self.standing(slot);
        if let Some((cl_ord_id, orig_cl_ord_id)) = request {
            (report.cl_ord_id, report.orig_cl_ord_id) = (cl_ord_id, orig_cl_ord_id);
        }
        report.ingress_time = reject.ingress_time;
        report.sent_delta = now.delta32(reject.ingress_time);
        report.exec_type = ExecType::Canceled;
        out.report(report);
    }

    /// Takes back a cancel or replace that was refused. Returns the `ClOrdID` of the request and of the order, where a
    /// client waits for the answer.
    fn answer_change(&mut self, slot: u32, to: CancelRejectTo) -> Option<(ClOrdId, ClOrdId)> {
        let order = self.orders.get_mut(slot);
        let cl_ord_id = order.cl_ord_id;
        match to {
            CancelRejectTo::Cancel => {
                if !order.cancel_pending && order.is_open() {
                    self.counts.answers_unexpected += 1;
                    return None;
                }
                order.cancel_pending = false;
                // A sweep's cancel has no request to answer.
                let request = std::mem::take(&mut order.cancel_cl_ord_id);
                (request != ClOrdId(0)).then_some((request, cl_ord_id))
            }
            CancelRejectTo::Replace => {
                if !order.is_replace_pending() {
                    self.counts.answers_unexpected += 1;
                    return None;
                }
                let request = order.replace_cl_ord_id;
                let is_open = order.is_open();
                self.orders.end_replace(slot, false);
                if is_open {
                    self.charge(slot);
                }
                Some((request, cl_ord_id))
            }
        }
    }

    pub(super) fn router_refusal(
        &mut self,
        now: Nanos,
        refusal: &RouterRefusal,
        out: &mut impl Effects,
    ) {
        let Some(slot) = self.orders.by_id(refusal.order_id) else {
            self.counts.executions_unknown += 1;
            return;
        };
        let to = match refusal.decision_kind {
            RequestKind::New => return self.order_refused(now, slot, refusal, out),
            RequestKind::Cancel => CancelRejectTo::Cancel,
            RequestKind::Replace => CancelRejectTo::Replace,
        };
        let order = self.orders.get_mut(slot);
        let is_sweeps = to == CancelRejectTo::Cancel && order.cancel_cl_ord_id == ClOrdId(0);
        if is_sweeps && refusal.deny_reason != DenyReason::TooLateToCancel.code() {
            // The venue's session broke before risk heard of it. Nobody else remembers that this order is to go.
            order.cancel_owed = true;
        }
        let Some((cl_ord_id, orig_cl_ord_id)) = self.answer_change(slot, to) else { return };
        let order = self.orders.get(slot);
        out.cancel_reject(CancelRejectReport {
            order_id: order.id,
            cl_ord_id,
            orig_cl_ord_id,
            ingress_time: refusal.ingress_time,
            session_id: self.tables.sessions[order.session].id,
            sent_delta: now.delta32(refusal.ingress_time),
            cxl_rej_reason: 0,
            deny_reason: refusal.deny_reason,
            ord_status: order.status,
            cxl_rej_response_to: to,
        });
    }

    /// An approved order did not leave. Believed only of an order the venue has said nothing about.
    fn order_refused(
        &mut self,
        now: Nanos,
        slot: u32,
        refusal: &RouterRefusal,
        out: &mut impl Effects,
    ) {
        if self.orders.get(slot).status != OrdStatus::PendingNew {
            self.counts.answers_unexpected += 1;
            return;
        }
        self.close(slot, OrdStatus::Rejected);
        let mut report = self.standing(slot);
        report.ingress_time = refusal.ingress_time;
        report.sent_delta = now.delta32(refusal.ingress_time);
        report.deny_reason = refusal.deny_reason;
        report.exec_type = ExecType::Rejected;
        out.report(report);
    }

    /// How an order stands, as a report without its cause.
    fn standing(&self, slot: u32) -> OrderReport {
        let order = self.orders.get(slot);
        let exposure = &self.tables.exposures[order.exposure];
        OrderReport {
            order_id: order.id,
            cl_ord_id: order.cl_ord_id,
            orig_cl_ord_id: ClOrdId(0),
            exec_id: ExecId(0),
            ingress_time: Nanos(0),
            price: order.price.get(),
            last_px: None::<Price>,
            session_id: self.tables.sessions[order.session].id,
            order_qty: order.qty,
            last_qty: 0,
            cum_qty: order.cum,
            leaves_qty: order.leaves(),
            security_id: self.tables.instruments[exposure.instrument].id,
            account: self.tables.accounts[exposure.account].id,
            sent_delta: 0,
            ord_rej_reason: 0,
            deny_reason: 0,
            exec_type: ExecType::New,
            ord_status: order.status,
            side: order.side,
        }
    }

    fn report_of(&self, now: Nanos, slot: u32, execution: &VenueExecution) -> OrderReport {
        OrderReport {
            exec_id: execution.exec_id,
            ingress_time: execution.ingress_time,
            last_px: execution.last_px,
            last_qty: execution.last_qty,
            sent_delta: now.delta32(execution.ingress_time),
            ord_rej_reason: execution.ord_rej_reason,
            exec_type: execution.exec_type,
            ..self.standing(slot)
        }
    }

    fn report(
        &mut self,
        now: Nanos,
        slot: u32,
        execution: &VenueExecution,
        orig_cl_ord_id: ClOrdId,
        out: &mut impl Effects,
    ) {
        out.report(OrderReport { orig_cl_ord_id, ..self.report_of(now, slot, execution) });
    }
}
