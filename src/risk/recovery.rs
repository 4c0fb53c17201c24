//! The engine as the journal sees it: recorded inputs applied again, and a digest of the state they lead to.

use crate::codec::journal::{
    ApprovedCancel, ApprovedOrder, ApprovedReplace, CancelRejectReport, Decision, Journal,
    KillNotice, MassCancelReport, OrderReport,
};
use crate::gate::{Belief, CannotRestore, Input, Mark, StateMachine};
use crate::risk::engine::{Effects, Engine, Recorded};
use crate::types::{ClOrdId, DenyReason, Nanos, Price, SessionId};

/// Hands on decisions; nothing else takes effect a second time.
struct DecisionsOnly<'a>(&'a mut dyn FnMut(Decision));

impl Effects for DecisionsOnly<'_> {
    fn decided(&mut self, decision: Decision) {
        (self.0)(decision);
    }
    fn approve_order(&mut self, _: ApprovedOrder) {}
    fn approve_cancel(&mut self, _: ApprovedCancel) {}
    fn approve_replace(&mut self, _: ApprovedReplace) {}
    fn report(&mut self, _: OrderReport) {}
    fn cancel_reject(&mut self, _: CancelRejectReport) {}
    fn mass_cancel_report(&mut self, _: MassCancelReport) {}
    fn kill_notice(&mut self, _: KillNotice) {}
}

impl StateMachine for Engine {
    fn replay(
        &mut self,
        now: Nanos,
        input: &Input,
        belief: Belief,
        recorded: &[Decision],
        decided: &mut dyn FnMut(Decision),
    ) -> Result<(), CannotRestore> {
        let mut out = DecisionsOnly(decided);
        match input {
            Input::Message(message) => {
                self.recorded = match (belief, recorded.first()) {
                    (Belief::Recorded, Some(decision)) => Some(recorded_as(decision)),
                    (Belief::Recorded, None) | (Belief::Recompute, _) => None,
                };
                self.apply(now, message, &mut out);
                self.recorded = None;
            }
            Input::Mark(Mark::RunStart) => self.restart(now),
            Input::Mark(Mark::Tick) => {
                self.tick(now, &mut out);
            }
            Input::Mark(Mark::Drain) => self.drain(),
        }
        match self.cannot_restore.take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn decides_on(&self, message: &Journal) -> bool {
        matches!(
            message,
            Journal::OrderRequest(_) | Journal::CancelRequest(_) | Journal::ReplaceRequest(_)
        )
    }

    fn digest(&self) -> u64 {
        Engine::digest(self)
    }
}

fn recorded_as(decision: &Decision) -> Recorded {
    if decision.deny_reason == 0 {
        Recorded::Approved(decision.order_id)
    } else {
        Recorded::Denied(DenyReason::from_code(decision.deny_reason))
    }
}

/// FNV-1a over words: for comparing states, not for keeping secrets.
struct Fold(u64);

impl Fold {
    fn word(&mut self, word: u64) {
        for byte in word.to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn signed(&mut self, value: i64) {
        self.word(u64::from_le_bytes(value.to_le_bytes()));
    }

    fn wide(&mut self, value: i128) {
        for half in value.to_le_bytes().chunks_exact(8) {
            self.word(half.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)));
        }
    }

    fn price(&mut self, price: Option<Price>) {
        self.signed(price.map_or(i64::MAX, Price::units));
    }
}

impl Engine {
    /// The largest ClOrdID the session ever used; 0 is none.
    pub fn last_cl_ord_id(&self, session: SessionId) -> ClOrdId {
        let mut sessions = self.tables.sessions.iter();
        sessions.find(|known| known.id == session).map_or(ClOrdId(0), |known| known.last_cl_ord_id)
    }

    /// A number that two engines share when they hold the same positions, open orders, identifiers and kill switches.
    /// What a restart forgets (links, markets, throttles) is not in it.
    pub fn digest(&self) -> u64 {
        let mut fold = Fold(0xcbf2_9ce4_8422_2325);
        fold.word(self.orders.next_sequence());
        fold.word(self.kill_command_id);
        fold.word(self.kill_refused_id);
        self.latched(|scope, id| {
            fold.word(u64::from(scope.wire()));
            fold.word(u64::from(id));
        });
        for session in &self.tables.sessions {
            fold.word(session.last_cl_ord_id.0);
        }
        for (exposure, traded) in self.tables.exposures.iter().zip(&self.tables.traded) {
            fold.signed(exposure.net);
            fold.word(exposure.open_buys);
            fold.word(exposure.open_sells);
            fold.word(traded.bought);
            fold.word(traded.sold);
            fold.wide(traded.bought_notional);
            fold.wide(traded.sold_notional);
        }
        for order in self.orders.open_orders() {
            fold.word(order.id.0);
            fold.word(order.cl_ord_id.0);
            fold.word(order.replace_cl_ord_id.0);
            fold.price(order.price.get());
            for qty in [order.qty, order.cum, order.reserved] {
                fold.word(u64::from(qty));
            }
            fold.word(u64::from(order.status.wire()));
        }
        fold.0
    }
}
