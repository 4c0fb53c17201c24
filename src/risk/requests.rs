//! Requests of strategies: new, cancel, replace. Each is decided in a fixed order of checks; the first that fails names the
//! reason.

use crate::codec::journal::{
    ApprovedCancel, ApprovedOrder, ApprovedReplace, CancelRejectReport, CancelRequest, Decision,
    OrderReport, OrderRequest, ReplaceRequest,
};
use crate::gate::CannotRestore;
use crate::risk::check::{self, Denial, Verdict};
use crate::risk::engine::{Effects, Engine, Recorded};
use crate::risk::exposure::Likeness;
use crate::risk::orders::{NewOrder, Order};
use crate::types::{
    CancelRejectTo, ClOrdId, DenyReason, ExecId, ExecType, Nanos, OrdStatus, OrdType, OrderId,
    Price, RequestKind, Side, TimeInForce,
};

/// What a request may be charged to.
#[derive(Clone, Copy, Debug)]
struct Target {
    session: usize,
    exposure: usize,
}

/// An order as it would be after the request.
#[derive(Clone, Copy, Debug)]
struct Proposal {
    target: Target,
    side: Side,
    /// None: a market order.
    price: Option<Price>,
    qty: u32,
    /// What the reservation grows by.
    growth: u32,
    /// It only takes quantity away, so it needs no market data and no limit.
    lowers: bool,
}

impl Engine {
    /// As [`Engine::apply`] of a new order, without the way through an enum.
    pub fn order(&mut self, now: Nanos, request: &OrderRequest, out: &mut impl Effects) {
        let mut reference = None;
        let verdict = self.order_verdict(now, request, &mut reference);
        let verdict = self.believed(verdict, |engine| engine.order_target(request));
        match verdict {
            Ok(target) => self.accept_order(now, request, target, reference, out),
            Err(denial) => self.deny_order(now, request, denial, reference, out),
        }
    }

    /// C00 to C33 in their order. The throttle, the `ClOrdID` and the row of identical orders are charged whatever the
    /// outcome.
    #[inline(always)]
    fn order_verdict(
        &mut self,
        now: Nanos,
        request: &OrderRequest,
        reference: &mut Option<Price>,
    ) -> Result<Target, Denial> {
        let session = self.tables.session(request.session_id).ok_or(DenyReason::UnknownSession)?;
        let state = &mut self.tables.sessions[session];
        let rate = state.throttle.request(now);
        let id_grows = state.advance(request.cl_ord_id);
        let target = self.order_target(request)?;
        let place = self.place_in_row(now, request, target);
        shape(request)?;
        let proposal = Proposal {
            target,
            side: request.side,
            price: request.price,
            qty: request.order_qty,
            growth: request.order_qty,
            lowers: false,
        };
        self.may_trade(now, &proposal)?;
        self.order_limits(&proposal, reference)?;
        if let (Some(place), Some(duplicate)) = (place, self.duplicate)
            && place >= duplicate.count
        {
            let limit = duplicate.count.saturating_sub(1);
            return Err(Denial::beyond(DenyReason::DuplicateOrder, limit, place));
        }
        if !id_grows {
            return Err(DenyReason::DuplicateClOrdId.into());
        }
        rate?;
        self.position_limit(&proposal)?;
        self.open_order_limit(session)?;
        Ok(target)
    }

    #[inline(always)]
    fn order_target(&self, request: &OrderRequest) -> Result<Target, Denial> {
        let session = self.tables.session(request.session_id).ok_or(DenyReason::UnknownSession)?;
        let account = self.tables.account(request.account).ok_or(DenyReason::UnknownAccount)?;
        if !self.tables.sessions[session].may_use(account) {
            return Err(DenyReason::AccountNotOfSession.into());
        }
        let instrument =
            self.tables.instrument(request.security_id).ok_or(DenyReason::UnknownInstrument)?;
        let exposure =
            self.tables.exposure(account, instrument).ok_or(DenyReason::InstrumentNotOfAccount)?;
        Ok(Target { session, exposure })
    }

    #[inline(always)]
    fn place_in_row(&mut self, now: Nanos, request: &OrderRequest, target: Target) -> Option<u32> {
        let config = self.duplicate?;
        let likeness = Likeness {
            side: request.side,
            ord_type: request.ord_type,
            price: request.price.into(),
            qty: request.order_qty,
        };
        Some(self.tables.exposures[target.exposure].row.place(now, likeness, config))
    }

    /// C01 and C03.
    #[inline(always)]
    fn may_trade(&self, now: Nanos, proposal: &Proposal) -> Verdict {
        let exposure = &self.tables.exposures[proposal.target.exposure];
        let instrument = &self.tables.instruments[exposure.instrument];
        let session = &self.tables.sessions[proposal.target.session];
        let venue = &self.tables.venues[instrument.venue];
        let account = &self.tables.accounts[exposure.account];
        check::kill_switch(
            self.is_firm_killed,
            venue.is_killed,
            account.is_killed,
            session.is_killed,
            instrument.is_killed,
        )?;
        if self.is_draining {
            return Err(DenyReason::ShuttingDown.into());
        }
        if !session.is_up {
            return Err(DenyReason::SessionDown.into());
        }
        if !venue.is_up {
            return Err(DenyReason::VenueDown.into());
        }
        if proposal.lowers {
            return Ok(());
        }
        check::feed_ready(now, self.tables.channels[instrument.channel].heard, self.feed_stale_ns)
    }

    /// C10 to C16.
    #[inline(always)]
    fn order_limits(&self, proposal: &Proposal, reference: &mut Option<Price>) -> Verdict {
        let exposure = &self.tables.exposures[proposal.target.exposure];
        let instrument = &self.tables.instruments[exposure.instrument];
        if let Some(price) = proposal.price {
            check::tick(price, instrument.tick)?;
        }
        check::lot(proposal.qty, instrument.lot, instrument.qty_min)?;
        if proposal.lowers {
            return Ok(());
        }
        check::max_qty(proposal.qty, exposure.qty_max)?;
        let price = match proposal.price {
            Some(price) => price,
            None => check::protected_price(
                proposal.side,
                instrument.quote(),
                instrument.market_protection,
                instrument.tick,
            )?,
        };
        check::max_notional(
            price,
            proposal.qty,
            instrument.multiplier,
            exposure.notional_max.get(),
        )?;
        let collar = instrument.collar.ok_or(DenyReason::LimitMissing)?;
        let market = check::reference(collar.reference, proposal.side, instrument.quote())?;
        *reference = Some(market);
        check::collar(collar, proposal.side, price, market, instrument.tick)
    }

    /// C30.
    #[inline(always)]
    fn position_limit(&self, proposal: &Proposal) -> Verdict {
        let exposure = &self.tables.exposures[proposal.target.exposure];
        check::worst_position(
            proposal.side,
            exposure.net,
            exposure.open(proposal.side),
            proposal.growth,
            exposure.long_max.get(),
            exposure.short_max.get(),
        )
    }

    /// C33.
    #[inline(always)]
    fn open_order_limit(&self, session: usize) -> Verdict {
        let (count, limit) =
            (self.orders.session_count(session), self.tables.sessions[session].open_orders_max);
        if count >= limit {
            return Err(Denial::beyond(DenyReason::TooManyOpenOrders, limit, u64::from(count) + 1));
        }
        if !self.orders.has_room() {
            let limit = u64::try_from(self.orders.open_max()).unwrap_or(u64::MAX);
            return Err(Denial::beyond(DenyReason::TooManyOpenOrders, limit, limit + 1));
        }
        Ok(())
    }

    #[inline(always)]
    fn accept_order(
        &mut self,
        now: Nanos,
        request: &OrderRequest,
        target: Target,
        reference: Option<Price>,
        out: &mut impl Effects,
    ) {
        let Target { session, exposure } = target;
        let new = NewOrder { request, session, exposure };
        let order_id = match self.recorded {
            Some(Recorded::Approved(id)) if self.orders.reopen(&new, id) => id,
            Some(Recorded::Approved(id)) => {
                let what = "open_orders_max is too small for an order in the journal";
                self.cannot_restore = Some(CannotRestore { what, id: id.0 });
                return;
            }
            Some(Recorded::Denied(_)) | None => self.orders.open(&new),
        };
        self.tables.exposures[target.exposure].reserve(request.side, request.order_qty);
        self.counts.orders_approved += 1;
        out.decided(Decision {
            order_id,
            cl_ord_id: request.cl_ord_id,
            reference_px: reference,
            limit_value: None,
            value: None,
            session_id: request.session_id,
            deny_reason: 0,
            decision_kind: RequestKind::New,
        });
        out.approve_order(ApprovedOrder {
            order_id,
            ingress_time: request.ingress_time,
            price: request.price,
            order_qty: request.order_qty,
            security_id: request.security_id,
            account: request.account,
            session_id: request.session_id,
            sent_delta: now.delta32(request.ingress_time),
            side: request.side,
            ord_type: request.ord_type,
            time_in_force: request.time_in_force,
        });
    }

    #[cold]
    fn deny_order(
        &mut self,
        now: Nanos,
        request: &OrderRequest,
        denial: Denial,
        reference: Option<Price>,
        out: &mut impl Effects,
    ) {
        self.count_denied(denial.reason);
        out.decided(Decision {
            order_id: OrderId(0),
            cl_ord_id: request.cl_ord_id,
            reference_px: reference,
            limit_value: denial.limit,
            value: denial.value,
            session_id: request.session_id,
            deny_reason: denial.reason.code(),
            decision_kind: RequestKind::New,
        });
        out.report(denied_report(now, request, denial.reason));
    }

    pub(super) fn cancel_request(
        &mut self,
        now: Nanos,
        request: &CancelRequest,
        out: &mut impl Effects,
    ) {
        let slot = self.cancel_verdict(now, request);
        let session = self.tables.session(request.session_id);
        let slot = self.believed(slot, |engine| {
            engine.open_order(session.ok_or(DenyReason::UnknownSession)?, request.orig_cl_ord_id)
        });
        match slot {
            Ok(slot) => {
                self.orders.get_mut(slot).cancel_cl_ord_id = request.cl_ord_id;
                self.pass_cancel(now, slot, request.cl_ord_id, request.ingress_time, out);
            }
            Err(denial) => self.deny_change(
                now,
                Change {
                    kind: RequestKind::Cancel,
                    cl_ord_id: request.cl_ord_id,
                    orig_cl_ord_id: request.orig_cl_ord_id,
                    session_id: request.session_id,
                    ingress_time: request.ingress_time,
                },
                denial,
                None,
                out,
            ),
        }
    }

    /// A cancel passes whatever the limits, if there is something to cancel and no other cancel is on its way.
    fn cancel_verdict(&mut self, now: Nanos, request: &CancelRequest) -> Result<u32, Denial> {
        let session = self.tables.session(request.session_id).ok_or(DenyReason::UnknownSession)?;
        let state = &mut self.tables.sessions[session];
        let _ = state.advance(request.cl_ord_id);
        if !state.throttle.cancel(now) {
            self.counts.cancels_beyond_reserve += 1;
        }
        let slot = self.open_order(session, request.orig_cl_ord_id)?;
        if self.is_cancel_pending(self.orders.get(slot)) {
            return Err(DenyReason::CancelPending.into());
        }
        Ok(slot)
    }

    fn open_order(&self, session: usize, cl_ord_id: ClOrdId) -> Result<u32, Denial> {
        let slot = self.orders.by_client(session, cl_ord_id).ok_or(DenyReason::UnknownOrder)?;
        if !self.orders.get(slot).is_open() {
            return Err(DenyReason::TooLateToCancel.into());
        }
        Ok(slot)
    }

    /// Whether a cancel is on its way over the link as it is now.
    pub(super) fn is_cancel_pending(&self, order: &Order) -> bool {
        order.cancel_pending && order.cancel_epoch == self.tables.venues[self.venue_of(order)].epoch
    }

    /// Sends a cancel of an open order to the router, for a request or a sweep.
    pub(super) fn pass_cancel(
        &mut self,
        now: Nanos,
        slot: u32,
        cl_ord_id: ClOrdId,
        ingress_time: Nanos,
        out: &mut impl Effects,
    ) {
        let epoch = self.tables.venues[self.venue_of(self.orders.get(slot))].epoch;
        let order = self.orders.get_mut(slot);
        (order.cancel_pending, order.cancel_epoch, order.cancel_owed) = (true, epoch, false);
        let (order_id, session, exposure) = (order.id, order.session, order.exposure);
        let security_id = self.tables.instruments[self.tables.exposures[exposure].instrument].id;
        self.counts.cancels_approved += 1;
        out.decided(Decision {
            order_id,
            cl_ord_id,
            reference_px: None,
            limit_value: None,
            value: None,
            session_id: self.tables.sessions[session].id,
            deny_reason: 0,
            decision_kind: RequestKind::Cancel,
        });
        let sent_delta = now.delta32(ingress_time);
        out.approve_cancel(ApprovedCancel { order_id, ingress_time, security_id, sent_delta });
    }

    pub(super) fn replace_request(
        &mut self,
        now: Nanos,
        request: &ReplaceRequest,
        out: &mut impl Effects,
    ) {
        let mut reference = None;
        let slot = self.replace_verdict(now, request, &mut reference);
        let session = self.tables.session(request.session_id);
        let slot = self.believed(slot, |engine| {
            engine.open_order(session.ok_or(DenyReason::UnknownSession)?, request.orig_cl_ord_id)
        });
        match slot {
            Ok(slot) => self.accept_replace(now, request, slot, reference, out),
            Err(denial) => self.deny_change(
                now,
                Change {
                    kind: RequestKind::Replace,
                    cl_ord_id: request.cl_ord_id,
                    orig_cl_ord_id: request.orig_cl_ord_id,
                    session_id: request.session_id,
                    ingress_time: request.ingress_time,
                },
                denial,
                reference,
                out,
            ),
        }
    }

    /// As for an order of the new total, charged for what the reservation would grow by.
    fn replace_verdict(
        &mut self,
        now: Nanos,
        request: &ReplaceRequest,
        reference: &mut Option<Price>,
    ) -> Result<u32, Denial> {
        let session = self.tables.session(request.session_id).ok_or(DenyReason::UnknownSession)?;
        let state = &mut self.tables.sessions[session];
        let rate = state.throttle.request(now);
        let id_grows = state.advance(request.cl_ord_id);
        let slot = self.open_order(session, request.orig_cl_ord_id)?;
        let order = self.orders.get(slot);
        if order.is_replace_pending() {
            return Err(DenyReason::ReplacePending.into());
        }
        if self.is_cancel_pending(order) {
            return Err(DenyReason::CancelPending.into());
        }
        let (OrdType::Limit, TimeInForce::Day) = (order.ord_type, order.time_in_force) else {
            return Err(DenyReason::ReplaceNotAllowed.into());
        };
        if request.order_qty == 0 {
            return Err(DenyReason::QtyMissing.into());
        }
        if request.order_qty <= order.cum {
            return Err(Denial::beyond(
                DenyReason::ReplaceBelowFilled,
                order.cum,
                request.order_qty,
            ));
        }
        let proposal = Proposal {
            target: Target { session, exposure: order.exposure },
            side: order.side,
            price: Some(request.price),
            qty: request.order_qty,
            growth: request.order_qty.saturating_sub(order.qty),
            lowers: request.order_qty < order.qty && Some(request.price) == order.price.get(),
        };
        self.may_trade(now, &proposal)?;
        self.order_limits(&proposal, reference)?;
        if !id_grows {
            return Err(DenyReason::DuplicateClOrdId.into());
        }
        rate?;
        self.position_limit(&proposal)?;
        Ok(slot)
    }

    fn accept_replace(
        &mut self,
        now: Nanos,
        request: &ReplaceRequest,
        slot: u32,
        reference: Option<Price>,
        out: &mut impl Effects,
    ) {
        self.orders.begin_replace(slot, request.cl_ord_id, request.order_qty, request.price);
        self.charge(slot);
        let order_id = self.orders.get(slot).id;
        self.counts.replaces_approved += 1;
        out.decided(Decision {
            order_id,
            cl_ord_id: request.cl_ord_id,
            reference_px: reference,
            limit_value: None,
            value: None,
            session_id: request.session_id,
            deny_reason: 0,
            decision_kind: RequestKind::Replace,
        });
        out.approve_replace(ApprovedReplace {
            order_id,
            ingress_time: request.ingress_time,
            price: request.price,
            order_qty: request.order_qty,
            sent_delta: now.delta32(request.ingress_time),
        });
    }

    fn deny_change(
        &mut self,
        now: Nanos,
        change: Change,
        denial: Denial,
        reference: Option<Price>,
        out: &mut impl Effects,
    ) {
        self.count_denied(denial.reason);
        let session = self.tables.session(change.session_id);
        let slot = session.and_then(|s| self.orders.by_client(s, change.orig_cl_ord_id));
        let (order_id, ord_status) = match slot.map(|slot| self.orders.get(slot)) {
            Some(order) => (order.id, order.status),
            None => (OrderId(0), OrdStatus::Rejected), // FIX 4.4, OrderCancelReject: where the order is unknown
        };
        out.decided(Decision {
            order_id,
            cl_ord_id: change.cl_ord_id,
            reference_px: reference,
            limit_value: denial.limit,
            value: denial.value,
            session_id: change.session_id,
            deny_reason: denial.reason.code(),
            decision_kind: change.kind,
        });
        out.cancel_reject(CancelRejectReport {
            order_id,
            ord_status,
            ..change_denied_report(now, change, denial.reason)
        });
    }

    /// While recovering, what was recorded instead of `verdict`; `place` says where an approved request belongs.
    fn believed<T>(
        &mut self,
        verdict: Result<T, Denial>,
        place: impl FnOnce(&Engine) -> Result<T, Denial>,
    ) -> Result<T, Denial> {
        match self.recorded {
            None => verdict,
            Some(Recorded::Denied(reason)) => {
                Err(reason.unwrap_or(DenyReason::UnknownOrder).into())
            }
            Some(Recorded::Approved(id)) => {
                let target = place(self);
                if target.is_err() {
                    let what = "an approved request of the journal names a session, account, \
                                instrument or order that is not configured any more";
                    self.cannot_restore = Some(CannotRestore { what, id: id.0 });
                }
                target
            }
        }
    }
}

/// A cancel or replace that is being denied.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    pub(super) kind: RequestKind,
    pub(super) cl_ord_id: ClOrdId,
    pub(super) orig_cl_ord_id: ClOrdId,
    pub(super) session_id: crate::types::SessionId,
    pub(super) ingress_time: Nanos,
}

/// Whether an order has what its type needs.
#[inline(always)]
fn shape(request: &OrderRequest) -> Verdict {
    if request.order_qty == 0 {
        return Err(DenyReason::QtyMissing.into());
    }
    match (request.ord_type, request.price) {
        (OrdType::Limit, Some(_)) | (OrdType::Market, None) => Ok(()),
        (OrdType::Limit, None) => Err(DenyReason::PriceMissing.into()),
        (OrdType::Market, Some(_)) => Err(DenyReason::PriceNotAllowed.into()),
    }
}

/// The report on an order that was denied.
pub(super) fn denied_report(now: Nanos, request: &OrderRequest, reason: DenyReason) -> OrderReport {
    OrderReport {
        order_id: OrderId(0),
        cl_ord_id: request.cl_ord_id,
        orig_cl_ord_id: ClOrdId(0),
        exec_id: ExecId(0),
        ingress_time: request.ingress_time,
        price: request.price,
        last_px: None,
        session_id: request.session_id,
        order_qty: request.order_qty,
        last_qty: 0,
        cum_qty: 0,
        leaves_qty: 0,
        security_id: request.security_id,
        account: request.account,
        sent_delta: now.delta32(request.ingress_time),
        ord_rej_reason: 0,
        deny_reason: reason.code(),
        exec_type: ExecType::Rejected,
        ord_status: OrdStatus::Rejected,
        side: request.side,
    }
}

/// The report on a cancel or replace that was denied, of an order nothing is known about.
pub(super) fn change_denied_report(
    now: Nanos,
    change: Change,
    reason: DenyReason,
) -> CancelRejectReport {
    CancelRejectReport {
        order_id: OrderId(0),
        cl_ord_id: change.cl_ord_id,
        orig_cl_ord_id: change.orig_cl_ord_id,
        ingress_time: change.ingress_time,
        session_id: change.session_id,
        sent_delta: now.delta32(change.ingress_time),
        cxl_rej_reason: 0,
        deny_reason: reason.code(),
        ord_status: OrdStatus::Rejected,
        cxl_rej_response_to: match change.kind {
            RequestKind::Replace => CancelRejectTo::Replace,
            RequestKind::New | RequestKind::Cancel => CancelRejectTo::Cancel,
        },
    }
}
