//! What concerns many orders at once: kill switches, mass cancels, sessions that go down.
//!
//! An input only marks the orders; [`Engine::tick`] sends their cancels, a bounded number at a time, so that no input costs
//! more than a look at the orders it is about and no ring has to take them all.

use crate::codec::journal::{
    KillCommand, KillNotice, MassCancelReport, MassCancelRequest, SessionLink,
};
use crate::risk::engine::{Effects, Engine};
use crate::risk::limits::SWEEP_CANCELS_MAX;
use crate::risk::orders::Order;
use crate::types::{
    AccountId, ClOrdId, InstrumentId, KillAction, KillScope, LinkState, MassScope, Nanos,
    SessionId, VenueId,
};

impl Engine {
    /// Looks at up to [`SWEEP_CANCELS_MAX`] of the orders that are due and sends their cancels; returns at how many. Orders
    /// at a venue that is down wait until it is up. The log is to record the tick before.
    pub fn tick(&mut self, now: Nanos, out: &mut impl Effects) -> usize {
        let mut count = 0;
        while count < SWEEP_CANCELS_MAX {
            let Some(slot) = self.orders.take_due() else { break };
            // An order looked at is work too, or a sweep of a dead venue's orders would not be bounded.
            count += 1;
            let order = self.orders.get(slot);
            if !self.tables.venues[self.venue_of(order)].is_up {
                self.orders.get_mut(slot).cancel_owed = true;
            } else if !self.is_cancel_pending(order) {
                let cl_ord_id = order.cl_ord_id;
                // Nobody asked for this one by a request of its own.
                self.orders.get_mut(slot).cancel_cl_ord_id = ClOrdId(0);
                self.pass_cancel(now, slot, cl_ord_id, now, out);
            }
        }
        count
    }

    pub(super) fn mass_cancel_request(
        &mut self,
        now: Nanos,
        request: &MassCancelRequest,
        out: &mut impl Effects,
    ) {
        let mut total_affected_orders = 0;
        match self.tables.session(request.session_id) {
            Some(session) => {
                let _ = self.tables.sessions[session].advance(request.cl_ord_id);
                let instrument = self.tables.instrument(request.security_id);
                total_affected_orders = match request.mass_scope {
                    MassScope::Session => self.cancel_session(session),
                    MassScope::Instrument => self.cancel_where(session, |engine, exposure| {
                        Some(engine.tables.exposures[exposure].instrument) == instrument
                    }),
                };
            }
            None => self.counts.inputs_unknown += 1,
        }
        out.mass_cancel_report(MassCancelReport {
            cl_ord_id: request.cl_ord_id,
            ingress_time: request.ingress_time,
            session_id: request.session_id,
            total_affected_orders,
            sent_delta: now.delta32(request.ingress_time),
        });
    }

    pub(super) fn session_link(&mut self, link: &SessionLink) {
        let Some(session) = self.tables.session(link.session_id) else {
            self.counts.inputs_unknown += 1;
            return;
        };
        self.tables.sessions[session].is_up = link.link_state == LinkState::Up;
        if link.link_state == LinkState::Down && self.tables.sessions[session].cancel_on_disconnect
        {
            self.cancel_session(session);
        }
    }

    /// Marks all orders of a session; returns how many are newly to be cancelled.
    pub(super) fn cancel_session(&mut self, session: usize) -> u32 {
        self.cancel_where(session, |_, _| true)
    }

    /// Marks those orders of a session whose exposure is `chosen`.
    fn cancel_where(&mut self, session: usize, chosen: impl Fn(&Engine, usize) -> bool) -> u32 {
        self.cancel_orders(session, |engine, order| chosen(engine, order.exposure))
    }

    fn cancel_orders(&mut self, session: usize, chosen: impl Fn(&Engine, &Order) -> bool) -> u32 {
        let (mut count, mut next) = (0, self.orders.session_first(session));
        while let Some(slot) = next {
            let order = self.orders.get(slot);
            if chosen(self, order) && !self.is_cancel_pending(order) && self.orders.make_due(slot) {
                count += 1;
            }
            next = self.orders.session_next(slot);
        }
        count
    }

    /// Has all orders of a session cancelled once their venues are up.
    pub(super) fn owe_cancels(&mut self, session: usize) {
        let mut next = self.orders.session_first(session);
        while let Some(slot) = next {
            self.orders.get_mut(slot).cancel_owed = true;
            next = self.orders.session_next(slot);
        }
    }

    /// A venue is back: orders there are cancelled that a sweep met while it was away, and those of sessions that went
    /// away meanwhile.
    pub(super) fn cancel_abandoned(&mut self, venue: usize) {
        for session in 0..self.tables.sessions.len() {
            let state = &self.tables.sessions[session];
            let is_abandoned = state.cancel_on_disconnect && (!state.is_up || self.is_draining);
            self.cancel_orders(session, |engine, order| {
                (is_abandoned || order.cancel_owed) && engine.venue_of(order) == venue
            });
        }
    }

    /// C01. Latches: only a later command for the same scope and number releases it. One for what is not configured is
    /// refused: it stops nothing, and the router, which keeps every scope it is told of, does not hear of it.
    pub(super) fn kill_command(&mut self, command: &KillCommand, out: &mut impl Effects) {
        let is_killed = command.kill_action != KillAction::Rearm;
        self.kill_command_id = command.command_id;
        let Some(latch) = self.latch(command.kill_scope, command.id) else {
            self.counts.inputs_unknown += 1;
            self.kill_refused_id = command.command_id;
            return;
        };
        *latch = is_killed;
        out.kill_notice(KillNotice {
            id: command.id,
            kill_scope: command.kill_scope,
            kill_action: command.kill_action,
        });
        if command.kill_action == KillAction::KillAndCancel {
            self.cancel_scope(command.kill_scope, command.id);
        }
    }

    fn latch(&mut self, scope: KillScope, id: u32) -> Option<&mut bool> {
        let tables = &mut self.tables;
        Some(match scope {
            KillScope::Firm => &mut self.is_firm_killed,
            KillScope::Venue => {
                let place = tables.venue(VenueId(id))?;
                &mut tables.venues[place].is_killed
            }
            KillScope::Account => {
                let place = tables.account(AccountId(id))?;
                &mut tables.accounts[place].is_killed
            }
            KillScope::Session => {
                let place = tables.session(SessionId(id))?;
                &mut tables.sessions[place].is_killed
            }
            KillScope::Instrument => {
                let place = tables.instrument(InstrumentId(id))?;
                &mut tables.instruments[place].is_killed
            }
        })
    }

    fn cancel_scope(&mut self, scope: KillScope, id: u32) {
        for session in 0..self.tables.sessions.len() {
            if scope == KillScope::Session && self.tables.sessions[session].id != SessionId(id) {
                continue;
            }
            self.cancel_where(session, |engine, exposure| {
                let exposure = &engine.tables.exposures[exposure];
                let instrument = &engine.tables.instruments[exposure.instrument];
                match scope {
                    KillScope::Firm | KillScope::Session => true,
                    KillScope::Venue => engine.tables.venues[instrument.venue].id == VenueId(id),
                    KillScope::Account => {
                        engine.tables.accounts[exposure.account].id == AccountId(id)
                    }
                    KillScope::Instrument => instrument.id == InstrumentId(id),
                }
            });
        }
    }

    /// Every kill switch that is on.
    pub(super) fn latched(&self, mut each: impl FnMut(KillScope, u32)) {
        let tables = &self.tables;
        if self.is_firm_killed {
            each(KillScope::Firm, 0);
        }
        for venue in tables.venues.iter().filter(|venue| venue.is_killed) {
            each(KillScope::Venue, venue.id.0);
        }
        for account in tables.accounts.iter().filter(|account| account.is_killed) {
            each(KillScope::Account, account.id.0);
        }
        for session in tables.sessions.iter().filter(|session| session.is_killed) {
            each(KillScope::Session, session.id.0);
        }
        for instrument in tables.instruments.iter().filter(|instrument| instrument.is_killed) {
            each(KillScope::Instrument, instrument.id.0);
        }
    }
}
